// Python's strings as UTF-8. They are immutable, so this needs no lock of the interpreter's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace spm {

// A character of a str that is half of a UTF-16 pair and so has no UTF-8.
struct LoneSurrogate {
  size_t index;
  uint32_t code;
};

template <class Unit>
size_t utf8_size(const Unit* units, size_t n) {
  size_t size = n;
  for (size_t i = 0; i < n; i++)
    size += size_t(units[i] >= 0x80) + size_t(uint32_t(units[i]) >= 0x800) +
            size_t(uint32_t(units[i]) >= 0x10000);
  return size;
}

inline uint8_t* write_character(uint32_t c, uint8_t* to) {
  if (c < 0x80) {
    *to++ = uint8_t(c);
    return to;
  }
  if (c < 0x800) {
    *to++ = uint8_t(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      *to++ = uint8_t(0xE0 | c >> 12);
    } else {
      *to++ = uint8_t(0xF0 | c >> 18);
      *to++ = uint8_t(0x80 | (c >> 12 & 0x3F));
    }
    *to++ = uint8_t(0x80 | (c >> 6 & 0x3F));
  }
  *to++ = uint8_t(0x80 | (c & 0x3F));
  return to;
}

// Appends `n` characters, one in each of `units`, which are 8, 16 or 32 bits wide. Sixteen ASCII
// characters in a row only become narrower.
template <class Unit>
void append_utf8(const Unit* units, size_t n, std::string& out) {
  constexpr size_t kRow = 16;
  size_t begin = out.size();
  out.resize(begin + utf8_size(units, n));
  auto* to = reinterpret_cast<uint8_t*>(out.data()) + begin;
  for (size_t i = 0; i < n;) {
    size_t row = std::min(kRow, n - i);
    Unit any = 0;
    for (size_t k = 0; k < row; k++) any |= units[i + k];
    if (row == kRow && any < 0x80) {
      for (size_t k = 0; k < kRow; k++) to[k] = uint8_t(units[i + k]);
      to += kRow;
    } else {
      for (size_t k = 0; k < row; k++) {
        if (uint32_t(units[i + k]) >> 11 == 0x1B) throw LoneSurrogate{i + k, uint32_t(units[i + k])};
        to = write_character(units[i + k], to);
      }
    }
    i += row;
  }
}

}  // namespace spm
