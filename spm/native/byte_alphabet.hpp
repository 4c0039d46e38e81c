// GPT-2's alphabet: each byte is one printable character. The specification is spm/text/byte_level.py.
//
//     byte     0x21 ... 0x7E    0xA1 ... 0xFF, but 0xAD    the others: 0x00 0x01 ... 0x20 ... 0xAD
//     letter   !        ~       ¡        ÿ                             Ā    ā        Ġ        Ń
#pragma once

#include <array>
#include <string>

#include "text.hpp"

namespace spm {

class ByteAlphabet {
 public:
  ByteAlphabet() {
    Code beyond = 0x100;
    for (int byte = 0; byte < 256; byte++) {
      bool shows_itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      code_[byte] = shows_itself ? Code(byte) : beyond++;
      byte_[code_[byte]] = int16_t(byte);
    }
  }

  Code operator[](uint8_t byte) const { return code_[byte]; }
  std::string spelled(uint8_t byte) const {
    uint8_t text[4];
    return {text, write_character(code_[byte], text)};
  }

  // Appends the bytes of a piece; false if it has a character that is none of the alphabet's.
  bool read(std::string_view piece, std::string& bytes) const {
    for (const char *p = piece.data(), *end = p + piece.size(); p < end;) {
      Character c = read_character(p, end);
      if (c.code >= byte_.size() || byte_[c.code] < 0) return false;
      bytes += char(byte_[c.code]);
      p += c.size;
    }
    return true;
  }

 private:
  static constexpr auto kNone = [] {
    std::array<int16_t, 0x100 + 68> none{};
    none.fill(-1);
    return none;
  }();
  std::array<Code, 256> code_;
  std::array<int16_t, 0x100 + 68> byte_ = kNone;
};

}  // namespace spm
