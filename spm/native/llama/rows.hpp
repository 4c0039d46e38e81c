// What passes between the operations: T rows of n float32, and the same rows rounded to int8 once they are
// needed.
#pragma once

#include <mutex>
#include <optional>

#include "checks.hpp"
#include "kernels.hpp"
#include "memory.hpp"

namespace spm::llama {

inline size_t rounded_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Rounded rows and the memory that they are in.
struct RoundedRows {
  std::shared_ptr<uint8_t[]> memory;
  Rounded rounded;
};

// The rows' first numbers lie `stride` apart, a whole number of vectors. Between n and stride there may be
// any number, NaN too: sums and gates run over it, and nobody reads what they make of it.
class Rows {
 public:
  Rows(Recycler& recycler, size_t T, size_t n)
      : T(T),
        n(n),
        stride(rounded_up(n, kMostLanes)),
        memory_(recycler.get(times(T, times(stride, sizeof(float))))) {}

  size_t T, n, stride;

  float* row(size_t t) { return reinterpret_cast<float*>(memory_.get()) + t * stride; }
  const float* row(size_t t) const { return reinterpret_cast<const float*>(memory_.get()) + t * stride; }
  Floats floats() const { return {row(0), stride}; }
  const std::shared_ptr<uint8_t[]>& memory() const { return memory_; }

  std::optional<RoundedRows> rounded;  // made by the first product that asks

 private:
  std::shared_ptr<uint8_t[]> memory_;
};

}  // namespace spm::llama
