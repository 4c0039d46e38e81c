// Memory in pages of megabytes, where the system has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace spm {

// For memory that is not touched yet: fewer page faults, and one place in the processor's list of pages for
// what would take hundreds.
inline void ask_for_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t size) {
#ifdef __linux__
  constexpr uintptr_t kHugePage = 2 << 20;
  uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) & ~(kHugePage - 1);
  uintptr_t end = (reinterpret_cast<uintptr_t>(data) + size) & ~(kHugePage - 1);
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// A vector becomes `n` times `value`.
template <class T>
void fill_huge(std::vector<T>& vector, size_t n, const T& value) {
  vector = {};
  vector.reserve(n);
  ask_for_huge_pages(vector.data(), n * sizeof(T));
  vector.assign(n, value);
}

}  // namespace spm
