// What a block of each type means, a few lines a type.
//
// A panel is `kLanes` rows of a matrix side by side, so that a lane is a row and nothing is ever added across
// lanes. The rows' blocks are cut into words of four bytes, and word i of all rows lies together, a vector. A
// half-precision scale that would break the words' alignment is taken out, all rows' scales in front of them:
//
//     Q4_0 in a file, 18 bytes a block:  d q0 q1 q2 q3 | d q0 q1 q2 q3 | ...      d two bytes, q four each
//     in a panel of 4 rows, 72 bytes:    dddd  q0q0q0q0  q1q1q1q1  q2q2q2q2  q3q3q3q3
//
// A panel has as many bytes as its rows had. A weight is a * (u - offset), or a * u + m for types with a
// minimum: u a small integer, a and m shared by a group of 16 or 32 weights.
//
//     kValues, kBytes   of a block
//     kGroup            weights that share a scale
//     kHalfAt           where in the block the scale lies that is taken out, or -1
//     kOffset, kMinimum which of the two kinds it is
//     kSigned           bytes of u are signed
//     weights(p, j)     u of weights 4j .. 4j+3, four bytes in each lane
//     scales(p, a)      a of every group; with a minimum scales(p, a, m)
//
// Where each bit lies is drawn in spm/gguf/integers.py and quants.py. The float operations are ggml's, in its
// order, so that what is unpacked is the same to the bit.
#pragma once

#include "lanes.hpp"

namespace {

template <size_t values, size_t bytes, size_t group, int half_at, int offset, bool is_signed = false>
struct Block {
  static constexpr size_t kValues = values, kBytes = bytes, kGroup = group;
  static constexpr int kHalfAt = half_at, kOffset = offset;
  static constexpr bool kMinimum = false, kSigned = is_signed;
  static constexpr size_t kWordsAt = half_at < 0 ? 0 : 2 * kLanes;  // in the panel, behind the scales

  // Where word i of the file's block lies in the panel's.
  static constexpr size_t place(size_t i) { return i; }
  SPM_INLINE U32 word(const uint8_t* p, size_t i) { return load_words(p + kWordsAt + kVectorBytes * i); }
};

template <size_t values, size_t bytes, size_t group>
struct BlockWithMinimum : Block<values, bytes, group, -1, 0> {
  static constexpr bool kMinimum = true;
};

SPM_INLINE U32 nibbles(U32 w, bool high) { return (high ? w >> 4 : w) & 0x0f0f0f0fu; }

// Every bit moved from its place `from` to `to`: one shift.
SPM_INLINE U32 moved(U32 w, size_t from, size_t to) {
  return from < to ? w << (to - from) : w >> (from - to);
}

// Bits 4j .. 4j+3 of each lane, one to a byte, as the fifth bit of a weight.
SPM_INLINE U32 fifth_bits(U32 bits, size_t j) { return (bits >> (4 * j) & 15u) * 0x02040810u & 0x10101010u; }

SPM_INLINE F32 byte(U32 w, size_t i) { return to_float((w >> (8 * i)) & 0xffu); }
SPM_INLINE F32 signed_byte_of(U32 w, size_t i) { return to_float((I32)(w << (24 - 8 * i)) >> 24); }

// ---- blocks of 32 ----

struct Q4_0 : Block<32, 18, 32, 0, 8> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) { return nibbles(word(p, j & 3), j & 4); }
  SPM_INLINE void scales(const uint8_t* p, F32* a) { a[0] = load_halves(p); }
};

struct Q4_1 : BlockWithMinimum<32, 20, 32> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) { return nibbles(word(p, 1 + (j & 3)), j & 4); }
  SPM_INLINE void scales(const uint8_t* p, F32* a, F32* m) {
    const U32 d_m = word(p, 0);
    a[0] = from_halves(d_m & 0xffffu);
    m[0] = from_halves(d_m >> 16);
  }
};

struct Q5_0 : Block<32, 22, 32, 0, 16> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    return nibbles(word(p, 1 + (j & 3)), j & 4) | fifth_bits(word(p, 0), j);
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a) { a[0] = load_halves(p); }
};

struct Q5_1 : BlockWithMinimum<32, 24, 32> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    return nibbles(word(p, 2 + (j & 3)), j & 4) | fifth_bits(word(p, 1), j);
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a, F32* m) { Q4_1::scales(p, a, m); }
};

struct Q8_0 : Block<32, 34, 32, 0, 0, true> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) { return word(p, j); }
  SPM_INLINE void scales(const uint8_t* p, F32* a) { a[0] = load_halves(p); }
};

alignas(16) constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

struct IQ4_NL : Block<32, 18, 32, 0, 0, true> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) { return look_up(kIq4Levels, Q4_0::weights(p, j)); }
  SPM_INLINE void scales(const uint8_t* p, F32* a) { a[0] = load_halves(p); }
};

// ---- super-blocks of 256 ----

// Two bits of each weight lie in 8 words for 128 weights, 32 at each of four places.
SPM_INLINE size_t pair_place(size_t j) { return 2 * (j >> 3 & 3); }
SPM_INLINE size_t pair_word(size_t j) { return (j >> 5) * 8 + (j & 7); }

// Blocks whose parts are read side by side have their words in the order in which they are first read, so
// that memory is read from front to back, as processors foresee it: scales, then pairs of a word of each
// part.

struct Q2_K : BlockWithMinimum<256, 84, 16> {
  static constexpr size_t place(size_t i) { return i == 20 ? 0 : i + 1; }  // d and dmin, scales, qs
  SPM_INLINE U32 word(const uint8_t* p, size_t i) { return Block::word(p, place(i)); }
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    return word(p, 4 + pair_word(j)) >> pair_place(j) & 0x03030303u;
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a, F32* m) {
    const U32 d_dmin = word(p, 20);
    const F32 d = from_halves(d_dmin & 0xffffu), dmin = from_halves(d_dmin >> 16);
    for (size_t g = 0; g < 16; g++) {
      const U32 packed = word(p, g / 4);
      a[g] = d * byte(nibbles(packed, false), g & 3);
      m[g] = -(dmin * byte(nibbles(packed, true), g & 3));
    }
  }
};

struct Q3_K : Block<256, 110, 16, 108, 4> {
  static constexpr size_t place(size_t i) {  // scales, pairs of qs and hmask, the other qs
    if (i >= 24) return i - 24;
    if (i < 8) return 4 + 2 * i;
    return i < 16 ? 3 + 2 * (i - 8) : i + 3;
  }
  SPM_INLINE U32 word(const uint8_t* p, size_t i) { return Block::word(p, place(i)); }
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    const U32 low = word(p, 8 + pair_word(j)) >> pair_place(j) & 0x03030303u;
    return low | (moved(word(p, j & 7), j >> 3, 2) & 0x04040404u);
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a) {
    const F32 d = load_halves(p);
    const U32 high = word(p, 26);
    for (size_t g = 0; g < 16; g++) {
      const U32 low = nibbles(word(p, 24 + (g / 4 & 1)), g >= 8);
      const U32 packed = low | ((high >> (2 * (g / 4))) & 0x03030303u) << 4;
      a[g] = d * (byte(packed, g & 3) - 32.f);
    }
  }
};

// The scales and minima of Q4_K and Q5_K, six bits each: eight scales in two words, eight minima in two more.
SPM_INLINE void scales_and_minima(U32 d_dmin, U32 s, U32 m, U32 low, F32* scale, F32* minimum) {
  const F32 d = from_halves(d_dmin & 0xffffu), dmin = from_halves(d_dmin >> 16);
  const U32 scales[2] = {s & 0x3f3f3f3fu, (low & 0x0f0f0f0fu) | (s >> 2 & 0x30303030u)};
  const U32 minima[2] = {m & 0x3f3f3f3fu, (low >> 4 & 0x0f0f0f0fu) | (m >> 2 & 0x30303030u)};
  for (size_t g = 0; g < 8; g++) {
    scale[g] = d * byte(scales[g / 4], g & 3);
    minimum[g] = -(dmin * byte(minima[g / 4], g & 3));
  }
}

struct Q4_K : BlockWithMinimum<256, 144, 32> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    return nibbles(word(p, 4 + (j >> 4) * 8 + (j & 7)), j & 8);
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a, F32* m) {
    scales_and_minima(word(p, 0), word(p, 1), word(p, 2), word(p, 3), a, m);
  }
};

struct Q5_K : BlockWithMinimum<256, 176, 32> {
  static constexpr size_t place(size_t i) {  // scales, pairs of qs and qh, the other qs
    if (i < 4 || i >= 20) return i;
    return i < 12 ? 5 + 2 * (i - 4) : 4 + 2 * (i - 12);
  }
  SPM_INLINE U32 word(const uint8_t* p, size_t i) { return Block::word(p, place(i)); }
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    const U32 fifth = moved(word(p, 4 + (j & 7)), j >> 3, 4) & 0x10101010u;
    return nibbles(word(p, 12 + (j >> 4) * 8 + (j & 7)), j & 8) | fifth;
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a, F32* m) { Q4_K::scales(p, a, m); }
};

struct Q6_K : Block<256, 210, 16, 208, 32> {
  static constexpr size_t place(size_t i) {  // scales; of each half pairs of ql and qh, the other ql
    if (i >= 48) return i - 48;
    const size_t half = i < 32 ? i / 16 : (i - 32) / 8, at = 4 + 24 * half;
    if (i >= 32) return at + 1 + 2 * (i - 32 - 8 * half);
    const size_t low = i - 16 * half;
    return at + (low < 8 ? 2 * low : 8 + low);
  }
  SPM_INLINE U32 word(const uint8_t* p, size_t i) { return Block::word(p, place(i)); }
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    const size_t half = j >> 5, quarter = j >> 3 & 3;
    const U32 low = nibbles(word(p, half * 16 + (quarter & 1) * 8 + (j & 7)), quarter & 2);
    return low | (moved(word(p, 32 + pair_word(j)), pair_place(j), 4) & 0x30303030u);
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a) {
    const F32 d = load_halves(p);
    for (size_t g = 0; g < 16; g++) a[g] = d * signed_byte_of(word(p, 48 + g / 4), g & 3);
  }
};

struct IQ4_XS : Block<256, 136, 32, -1, 0, true> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) {
    return look_up(kIq4Levels, nibbles(word(p, 2 + (j >> 3) * 4 + (j & 3)), j & 4));
  }
  SPM_INLINE void scales(const uint8_t* p, F32* a) {
    const U32 first = word(p, 0), low = word(p, 1);
    const F32 d = from_halves(first & 0xffffu);
    for (size_t g = 0; g < 8; g++) {
      const U32 scale = ((low >> (4 * g)) & 15u) | ((first >> (16 + 2 * g)) & 3u) << 4;
      a[g] = d * (to_float(scale) - 32.f);
    }
  }
};

// ---- what every other type of integers times scales unpacks to ----

struct Integers : Block<16, 20, 16, -1, 0, true> {
  SPM_INLINE U32 weights(const uint8_t* p, size_t j) { return word(p, 1 + j); }
  SPM_INLINE void scales(const uint8_t* p, F32* a) { a[0] = (F32)word(p, 0); }
};

// ---- floating weights: a panel is column after column, the rows of each side by side ----

struct Float32 {
  static constexpr size_t kBytes = 4;
  SPM_INLINE F32 weights(const uint8_t* p) { return (F32)load_words(p); }
};

struct Float16 {
  static constexpr size_t kBytes = 2;
  SPM_INLINE F32 weights(const uint8_t* p) { return load_halves(p); }
};

struct BFloat16 {
  static constexpr size_t kBytes = 2;
  SPM_INLINE F32 weights(const uint8_t* p) {
    U16 codes;
    memcpy(&codes, p, sizeof codes);
    return (F32)(__builtin_convertvector(codes, U32) << 16);
  }
};

}  // namespace
