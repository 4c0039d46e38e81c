// Where words begin among 64 ASCII characters, all at once.
//
// Each kind of character is a word of 64 bits, one for each place, and what begins a word is a matter of
// shifts. Llama-3's pattern, the first place to the left:
//
//     text       I t ' s     2 0 2 4   ! ! ↵     o k
//     letters    1 1 . 1 . . . . . . . . . . . . 1 1
//     numbers    . . . . . . 1 1 1 1 . . . . . . . .      begin where the run does, and behind each three
//     others     . . 1 . . . . . . . . 1 1 . . . . .      take the space before and the newlines behind
//     white      . . . . 1 1 . . . . 1 . . 1 1 1 . .      its last place leads what follows
//     begins     1 . 1 . 1 1 1 . . 1 1 . . . 1 1 . .
//
// The first place begins a word. What depends on more than is seen is left to the next time: a place is
// certain if the one behind it is seen, and all of a run of white space is.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "cuts.hpp"

namespace spm {

// Kinds of 64 characters. What is none of ASCII is marked as beyond, and means nothing elsewhere.
struct AsciiKinds {
  uint64_t letters, lower, numbers, white, newlines, blanks, apostrophes, beyond;
};

class AsciiReader {
 public:
  explicit AsciiReader(Isa isa)
      : read_(isa == Isa::avx512 || isa == Isa::avx2 ? &read_avx2 : &read_portable) {}

  AsciiKinds operator()(const char* p) const { return read_(reinterpret_cast<const uint8_t*>(p)); }

 private:
  using Kinds = AsciiKinds (*)(const uint8_t*);

  // Bits of a byte's kind.
  enum : uint8_t {
    kLetters = 3,
    kNumbers = 4,
    kWhites = 24,
    kBlanks = 16,
    kNewlines = 32,
    kApostrophes = 64
  };

  // A byte is of a kind if both halves of it are: what one bit cannot say, two do. 0x80 and above are of
  // none.
  static constexpr std::array<uint8_t, 16> kLow = [] {
    std::array<uint8_t, 16> low{};
    for (int i = 0; i < 16; i++) {
      if (i >= 1) low[i] |= 1;   // @ is no letter, and ` neither
      if (i <= 10) low[i] |= 2;  // Z and z are the last ones
      if (i <= 9) low[i] |= kNumbers;
      if (i >= 9 && i <= 13) low[i] |= 8;  // from \t to \r
      if (i == 0) low[i] |= kBlanks;
      if (i == 10 || i == 13) low[i] |= kNewlines;
      if (i == 7) low[i] |= kApostrophes;
    }
    return low;
  }();
  static constexpr std::array<uint8_t, 16> kHigh = {
      8 | kNewlines, 0, kBlanks | kApostrophes, kNumbers, 1, 2, 1, 2};

  static AsciiKinds read_portable(const uint8_t* p) {
    AsciiKinds kinds{};
    for (int k = 0; k < 64; k += 8) {
      uint64_t bytes, of = 0;
      std::memcpy(&bytes, p + k, 8);
      for (int i = 0; i < 8; i++) of |= uint64_t(kLow[p[k + i] & 15] & kHigh[p[k + i] >> 4]) << 8 * i;
      auto has = [&](uint64_t word, int bit) {  // one bit of each of eight bytes, in a row
        return ((word >> bit & 0x0101010101010101ull) * 0x0102040810204080ull >> 56) << k;
      };
      uint64_t letters = has(of, 0) | has(of, 1);
      kinds.letters |= letters;
      kinds.lower |= letters & has(bytes, 5);
      kinds.numbers |= has(of, 2);
      kinds.white |= has(of, 3) | has(of, 4);
      kinds.blanks |= has(of, 4);
      kinds.newlines |= has(of, 5);
      kinds.apostrophes |= has(of, 6);
      kinds.beyond |= has(bytes, 7);
    }
    return kinds;
  }

#if SPM_X86
  __attribute__((target("avx2"))) static uint64_t any_avx2(__m256i a, __m256i b, uint8_t kind) {
    const __m256i mask = _mm256_set1_epi8(char(kind)), zero = _mm256_setzero_si256();
    uint32_t low = uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(a, mask), zero)));
    uint32_t high = uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_and_si256(b, mask), zero)));
    return ~(low | uint64_t(high) << 32);
  }
  __attribute__((target("avx2"))) static uint64_t bit_avx2(__m256i a, __m256i b, int shift) {
    uint32_t low = uint32_t(_mm256_movemask_epi8(_mm256_slli_epi16(a, shift)));
    uint32_t high = uint32_t(_mm256_movemask_epi8(_mm256_slli_epi16(b, shift)));
    return low | uint64_t(high) << 32;
  }
  __attribute__((target("avx2"))) static __m256i kind_avx2(__m256i bytes) {
    const __m256i low =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kLow.data())));
    const __m256i high =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kHigh.data())));
    const __m256i half = _mm256_set1_epi8(15);
    return _mm256_and_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(bytes, half)),
                            _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half)));
  }
  __attribute__((target("avx2"))) static AsciiKinds read_avx2(const uint8_t* p) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32));
    const __m256i x = kind_avx2(a), y = kind_avx2(b);
    AsciiKinds kinds;
    kinds.letters = any_avx2(x, y, kLetters);
    kinds.lower = kinds.letters & bit_avx2(a, b, 2);
    kinds.numbers = any_avx2(x, y, kNumbers);
    kinds.white = any_avx2(x, y, kWhites);
    kinds.blanks = any_avx2(x, y, kBlanks);
    kinds.newlines = any_avx2(x, y, kNewlines);
    kinds.apostrophes = any_avx2(x, y, kApostrophes);
    kinds.beyond = bit_avx2(a, b, 0);
    return kinds;
  }
#else
  static AsciiKinds read_avx2(const uint8_t* p) { return read_portable(p); }
#endif

  Kinds read_;
};

}  // namespace spm
