// Arguments are looked at before anything is read or written: Python may pass any.
#pragma once

#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>

namespace spm::llama {

inline void require(bool right, const char* what) {
  if (!right) throw std::invalid_argument(std::string("the compiled core refuses ") + what);
}

// A product of sizes; one that is beyond every memory is memory that is not there.
inline size_t times(size_t a, size_t b) {
  size_t product;
  if (__builtin_mul_overflow(a, b, &product)) throw std::bad_alloc();
  return product;
}

}  // namespace spm::llama
