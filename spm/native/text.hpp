// Characters of a text in space form.
//
// Inside pieces a space is written ▁ (U+2581). The core works on the text as it was typed and takes
// U+0020 and U+2581 for the same character, so that nothing has to be copied or rewritten first.
//
// Any bytes are a text. As in llama.cpp, a character is as long as its first byte announces, or what is
// left of the text; one that is not well-formed has a number above all code points, made of its bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "utf8.hpp"

namespace spm {

using Code = uint32_t;  // a code point in space form: U+2581 is U+0020

constexpr Code kSpace = 0x20;
constexpr Code kMark = 0x2581;
constexpr char kMarkUtf8[] = "\xE2\x96\x81";

// Bytes of the character that a lead byte begins, by the lead byte alone (llama.cpp unicode_len_utf8,
// sentencepiece OneCharLen).
inline unsigned lead_size(uint8_t lead) { return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

struct Character {
  Code code;
  unsigned size;  // bytes
};

// The code point at `p`, which must be well-formed UTF-8; surrogates may be spelled as if they were not.
inline Character read_code_point(const char* p) {
  const auto* u = reinterpret_cast<const uint8_t*>(p);
  if (u[0] < 0x80) return {u[0], 1};
  if (u[0] < 0xE0) return {Code(u[0] & 0x1F) << 6 | (u[1] & 0x3F), 2};
  if (u[0] < 0xF0) return {Code(u[0] & 0x0F) << 12 | Code(u[1] & 0x3F) << 6 | (u[2] & 0x3F), 3};
  return {Code(u[0] & 0x07) << 18 | Code(u[1] & 0x3F) << 12 | Code(u[2] & 0x3F) << 6 | (u[3] & 0x3F), 4};
}

// The same in space form.
inline Character read_well_formed(const char* p) {
  Character c = read_code_point(p);
  return {c.code == kMark ? kSpace : c.code, c.size};
}

// Bytes of the well-formed character that begins at `p`, or 0.
inline unsigned well_formed_size(const uint8_t* p, size_t left) {
  auto tail = [&](unsigned i) { return i < left && (p[i] & 0xC0) == 0x80; };
  uint8_t a = p[0];
  if (a < 0x80) return 1;
  if (a < 0xC2) return 0;
  if (a < 0xE0) return tail(1) ? 2 : 0;
  if (a < 0xF0) {
    if (!tail(1) || !tail(2)) return 0;
    if (a == 0xE0 && p[1] < 0xA0) return 0;
    if (a == 0xED && p[1] > 0x9F) return 0;
    return 3;
  }
  if (a > 0xF4 || !tail(1) || !tail(2) || !tail(3)) return 0;
  if (a == 0xF0 && p[1] < 0x90) return 0;
  if (a == 0xF4 && p[1] > 0x8F) return 0;
  return 4;
}

// The character at `p` < `end`, whatever stands there.
inline Character read_character(const char* p, const char* end) {
  const auto* u = reinterpret_cast<const uint8_t*>(p);
  if (u[0] < 0x80) return {u[0], 1};
  if (well_formed_size(u, size_t(end - p))) return read_well_formed(p);
  unsigned size = std::min<unsigned>(lead_size(u[0]), unsigned(std::min<size_t>(4, size_t(end - p))));
  Code bytes = 0;
  for (unsigned i = 0; i < size; i++) bytes = bytes << 8 | u[i];
  return {Code(8 + size) << 28 | (bytes & 0x0FFFFFFF), size};  // of four bytes the first is 0xF.
}

// Whether `n` bytes only lack more to be a well-formed character: completed in the way that fits every
// lead byte, they are one.
inline bool is_unfinished(const uint8_t* p, size_t n) {
  if (n >= lead_size(p[0])) return false;
  uint8_t second = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
  uint8_t whole[4] = {0, second, 0x80, 0x80};
  std::memcpy(whole, p, n);
  return well_formed_size(whole, 4) > 0;
}

// Where the first byte stands that begins no well-formed character; the text's size if there is none.
inline size_t valid_prefix(std::string_view text) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  size_t n = text.size(), i = 0;
  while (i < n) {
    while (i + 8 <= n) {  // eight ASCII bytes at a time
      uint64_t word;
      std::memcpy(&word, p + i, 8);
      if (word & 0x8080808080808080ull) break;
      i += 8;
    }
    if (i >= n) break;
    unsigned size = well_formed_size(p + i, n - i);
    if (!size) return i;
    i += size;
  }
  return n;
}

// A text in which every byte that belongs to no well-formed character is U+FFFD, as sentencepiece reads
// it. `origin`, if given, gets for each byte the one that it came from, and one entry more for the end.
inline std::string replace_malformed(std::string_view text, std::vector<size_t>* origin) {
  std::string out;
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    unsigned size = well_formed_size(p + i, text.size() - i);
    std::string_view shown = size ? text.substr(i, size) : "\xEF\xBF\xBD";
    for (size_t k = 0; origin && k < shown.size(); k++) origin->push_back(size ? i + k : i);
    out += shown;
    i += std::max(size, 1u);
  }
  if (origin) origin->push_back(text.size());
  return out;
}

// A text as llama.cpp reads code points (`unicode_cpts_from_utf8`): a byte that begins none is U+FFFD, but
// surrogates and overlong spellings are some. `origin` as above. What is above U+10FFFF is refused.
struct NoCodePoint {
  size_t at;
  Code code;
};
inline std::string respell(std::string_view text, std::vector<size_t>* origin) {
  std::string out;
  auto is_tail = [&](size_t at) { return at < text.size() && (uint8_t(text[at]) & 0xC0) == 0x80; };
  for (size_t i = 0; i < text.size();) {
    uint8_t lead = uint8_t(text[i]);
    unsigned size = lead < 0xC0 ? 1 : lead_size(lead), tails = 0;
    while (tails + 1 < size && is_tail(i + tails + 1)) tails++;
    bool is_one = lead < 0x80 || (lead >= 0xC0 && lead < 0xF8 && tails + 1 == size);
    Code code = is_one ? read_code_point(&text[i]).code : 0xFFFD;
    if (code > 0x10FFFF) throw NoCodePoint{i, code};
    char spelled[4];
    size_t n = size_t(write_character(code, reinterpret_cast<uint8_t*>(spelled)) -
                      reinterpret_cast<uint8_t*>(spelled));
    out.append(spelled, n);
    const unsigned read = is_one ? size : 1;
    for (size_t k = 0; origin && k < n; k++) origin->push_back(n == read ? i + k : i);
    i += read;
  }
  if (origin) origin->push_back(text.size());
  return out;
}

// A text with ▁ for its spaces, and one more in front if `prefix` is set: what llama.cpp merges.
inline std::string escape(std::string_view text, bool prefix, std::vector<size_t>* origin) {
  std::string out;
  auto write = [&](std::string_view shown, size_t at) {
    out += shown;
    if (origin) origin->insert(origin->end(), shown.size(), at);
  };
  if (prefix) write(kMarkUtf8, 0);
  for (size_t i = 0; i < text.size(); i++) write(text[i] == ' ' ? kMarkUtf8 : text.substr(i, 1), i);
  if (origin) origin->push_back(text.size());
  return out;
}

// Asks memory for what will be read soon.
inline void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  (void)p;
#endif
}

// Tables are hashed with a seed, so that nobody who writes a text or a vocabulary can choose what
// collides. This makes a multiplier of it, whatever the seed.
inline uint64_t mixed(uint64_t seed) {
  seed = (seed ^ seed >> 31) * 0xD6E8FEB86659FD93ull + 0x9E3779B97F4A7C15ull;
  seed = (seed ^ seed >> 29) * 0xBF58476D1CE4E5B9ull;
  return seed ^ seed >> 32;
}

// A piece in space form: its characters ▁ become spaces.
inline std::string to_space_form(std::string_view piece) {
  std::string out;
  out.reserve(piece.size());
  const char *p = piece.data(), *end = p + piece.size();
  while (p < end) {
    Character c = read_character(p, end);
    if (c.code == kSpace)
      out += ' ';
    else
      out.append(p, c.size);
    p += c.size;
  }
  return out;
}

}  // namespace spm
