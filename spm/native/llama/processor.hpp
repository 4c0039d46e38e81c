// Which tables of kernels this build has, and which of them this processor can run.
#pragma once

#include <vector>

#include "kernels.hpp"

namespace spm::llama {

// The best first.
std::vector<const Kernels*> kernels_for_this_processor();

}  // namespace spm::llama
