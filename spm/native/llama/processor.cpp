#include "processor.hpp"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace spm::llama {

extern const Kernels kPortable;
#if defined(__x86_64__)
extern const Kernels kAvx512, kAvxVnni, kAvx2;
#elif defined(__aarch64__)
extern const Kernels kNeonDot;
#endif

std::vector<const Kernels*> kernels_for_this_processor() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
                  __builtin_cpu_supports("bmi2");
  const bool v4 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  if (v3 && v4 && __builtin_cpu_supports("avx512vnni")) found.push_back(&kAvx512);
  if (v3 && __builtin_cpu_supports("avxvnni")) found.push_back(&kAvxVnni);
  if (v3) found.push_back(&kAvx2);
#elif defined(__aarch64__) && defined(__APPLE__)
  found.push_back(&kNeonDot);  // every Apple silicon has it
#elif defined(__aarch64__) && defined(__linux__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found.push_back(&kNeonDot);
#endif
  found.push_back(&kPortable);
  return found;
}

}  // namespace spm::llama
