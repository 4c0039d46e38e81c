#include "processor.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace spm::llama {

extern const Kernels kPortable;
#if defined(__x86_64__)
extern const Kernels kAvx512, kAvxVnni, kAvx2;
#elif defined(__aarch64__)
extern const Kernels kNeonDot;
#endif

#if defined(__x86_64__)
namespace {

// Two that not every compiler has a name for. Both need no more of the system than AVX2 does.
bool has_f16c() {
  unsigned a, b, c = 0, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

bool has_avx_vnni() {
  unsigned a = 0, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

}  // namespace
#endif

std::vector<const Kernels*> kernels_for_this_processor() {
  std::vector<const Kernels*> found;
#if defined(__x86_64__)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2") && has_f16c();
  const bool v4 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  if (v3 && v4 && __builtin_cpu_supports("avx512vnni")) found.push_back(&kAvx512);
  if (v3 && has_avx_vnni()) found.push_back(&kAvxVnni);
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
