// Python's strings as UTF-8. They are immutable, so this needs no lock of the interpreter's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace spm {

// A character of a str that is half of a UTF-16 pair and so has no UTF-8.
struct LoneSurrogate {
  size_t index;
  uint32_t code;
};

// Appends `n` characters, one in each of `units`, which are 8, 16 or 32 bits wide.
template <class Unit>
void append_utf8(const Unit* units, size_t n, std::string& out) {
  size_t size = out.size();
  out.resize(size + n * (sizeof(Unit) == 1 ? 2 : sizeof(Unit) == 2 ? 3 : 4));
  auto* to = reinterpret_cast<uint8_t*>(out.data()) + size;
  for (size_t i = 0; i < n; i++) {
    uint32_t c = units[i];
    if (c < 0x80) {
      *to++ = uint8_t(c);
    } else if (c < 0x800) {
      *to++ = uint8_t(0xC0 | c >> 6);
      *to++ = uint8_t(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      if (c >> 11 == 0x1B) throw LoneSurrogate{i, c};
      *to++ = uint8_t(0xE0 | c >> 12);
      *to++ = uint8_t(0x80 | (c >> 6 & 0x3F));
      *to++ = uint8_t(0x80 | (c & 0x3F));
    } else {
      *to++ = uint8_t(0xF0 | c >> 18);
      *to++ = uint8_t(0x80 | (c >> 12 & 0x3F));
      *to++ = uint8_t(0x80 | (c >> 6 & 0x3F));
      *to++ = uint8_t(0x80 | (c & 0x3F));
    }
  }
  out.resize(size_t(to - reinterpret_cast<uint8_t*>(out.data())));
}

}  // namespace spm
