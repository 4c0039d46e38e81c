// One vector register, as the kernels see it: lanes of 32 bits, and the few things that processors do each in
// their own way. All else is written with the compiler's own vectors. A vector is exactly as wide as a
// register: one that is wider would be taken apart through memory.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define SPM_LANES 16
#elif defined(__AVX2__)
#define SPM_LANES 8
#else
#define SPM_LANES 4
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

constexpr size_t kLanes = SPM_LANES;
constexpr size_t kVectorBytes = 4 * kLanes;

typedef float F32 __attribute__((vector_size(kVectorBytes)));
typedef int32_t I32 __attribute__((vector_size(kVectorBytes)));
typedef uint32_t U32 __attribute__((vector_size(kVectorBytes)));
typedef int8_t I8 __attribute__((vector_size(kLanes)));
typedef uint16_t U16 __attribute__((vector_size(kVectorBytes / 2)));

#define SPM_INLINE static inline __attribute__((always_inline))

SPM_INLINE U32 load_words(const uint8_t* p) {
  U32 words;
  memcpy(&words, p, sizeof words);
  return words;
}

SPM_INLINE F32 load(const float* p) {
  F32 values;
  memcpy(&values, p, sizeof values);
  return values;
}

SPM_INLINE void store(float* p, F32 values) { memcpy(p, &values, sizeof values); }

SPM_INLINE F32 to_float(I32 values) { return __builtin_convertvector(values, F32); }
SPM_INLINE F32 to_float(U32 values) { return to_float((I32)values); }  // all of ours are below 2^31

SPM_INLINE F32 all(float x) { return F32{} + x; }
SPM_INLINE U32 words_of(uint32_t x) { return U32{} + x; }

SPM_INLINE float sum(F32 x) {
  float total = 0;
  for (size_t i = 0; i < kLanes; i++) total += x[i];
  return total;
}

SPM_INLINE float largest(F32 x) {
  float most = x[0];
  for (size_t i = 1; i < kLanes; i++) most = x[i] > most ? x[i] : most;
  return most;
}

// Half precision, code by code as IEEE 754 says: subnormal, infinite and not a number included. The magnitude
// shifted into a float's place is 2^112 too small, and a multiplication mends that exactly.
SPM_INLINE F32 from_halves(U32 codes) {
  const U32 magnitude = (codes & 0x7fffu) << 13;
  const F32 scaled = (F32)magnitude * 0x1p112f;
  const U32 not_finite = (U32)(magnitude >= 0x0f800000u) & 0x7f800000u;
  return (F32)((U32)scaled | not_finite | (codes & 0x8000u) << 16);
}

// What a processor has of its own.
//   fused(a, b, c)         a b + c, rounded once where the processor can
//   dot(sum, w, x)         sum + w0 x0 + w1 x1 + w2 x2 + w3 x3 in each lane: w unsigned bytes below 128,
//                          x signed bytes, the same in every lane and none of them -128
//   dot_signed(sum, w, x)  the same for w = as_signed(bytes): bytes of any sign, plus kSignedOffset
//   look_up(table, w)      table[w] for each byte of w, all of them below 16
//   load_halves, store_halves

#if SPM_LANES == 16

SPM_INLINE F32 fused(F32 a, F32 b, F32 c) { return (F32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
SPM_INLINE I32 dot(I32 sum, U32 w, int32_t x) {
  return (I32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, _mm512_set1_epi32(x));
}
SPM_INLINE U32 look_up(const int8_t* table, U32 w) {
  const __m512i levels = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)table));
  return (U32)_mm512_shuffle_epi8(levels, (__m512i)w);
}
SPM_INLINE F32 load_halves(const uint8_t* p) {
  return (F32)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
}
SPM_INLINE void store_halves(uint8_t* p, F32 x) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
}

#elif SPM_LANES == 8

SPM_INLINE F32 fused(F32 a, F32 b, F32 c) { return (F32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
SPM_INLINE I32 add_pairs(I32 sum, __m256i pairs) {
  return sum + (I32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#if defined(__AVXVNNI__)
SPM_INLINE I32 dot(I32 sum, U32 w, int32_t x) {
  return (I32)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)w, _mm256_set1_epi32(x));
}
#else
// Pairs of products are added in 16 bits: 2 * 127 * 127 fits, and so does 2 * 128 * 127.
SPM_INLINE I32 dot(I32 sum, U32 w, int32_t x) {
  return add_pairs(sum, _mm256_maddubs_epi16((__m256i)w, _mm256_set1_epi32(x)));
}
#endif
SPM_INLINE U32 look_up(const int8_t* table, U32 w) {
  const __m256i levels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)table));
  return (U32)_mm256_shuffle_epi8(levels, (__m256i)w);
}
SPM_INLINE F32 load_halves(const uint8_t* p) {
  return (F32)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
}
SPM_INLINE void store_halves(uint8_t* p, F32 x) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(__ARM_FEATURE_DOTPROD)

SPM_INLINE F32 fused(F32 a, F32 b, F32 c) {
  return (F32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
SPM_INLINE I32 dot(I32 sum, U32 w, int32_t x) {
  return (I32)vdotq_s32((int32x4_t)sum, (int8x16_t)w, (int8x16_t)vdupq_n_s32(x));
}
SPM_INLINE U32 look_up(const int8_t* table, U32 w) { return (U32)vqtbl1q_s8(vld1q_s8(table), (uint8x16_t)w); }
SPM_INLINE F32 load_halves(const uint8_t* p) { return (F32)vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
SPM_INLINE void store_halves(uint8_t* p, F32 x) {
  vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32((float32x4_t)x)));
}

#else  // any processor

SPM_INLINE F32 fused(F32 a, F32 b, F32 c) { return a * b + c; }
#if defined(__SSE2__)
// Bytes 0 and 2, then 1 and 3, as signed halves of each lane; a multiplication adds the products of two
// halves.
SPM_INLINE __m128i even_bytes(__m128i w) { return _mm_srai_epi16(_mm_slli_epi16(w, 8), 8); }
SPM_INLINE I32 dot(I32 sum, U32 w, int32_t x) {
  const __m128i of_w = (__m128i)w, of_x = _mm_set1_epi32(x);
  return sum + (I32)_mm_madd_epi16(even_bytes(of_w), even_bytes(of_x)) +
         (I32)_mm_madd_epi16(_mm_srai_epi16(of_w, 8), _mm_srai_epi16(of_x, 8));
}
#else
SPM_INLINE I32 dot(I32 sum, U32 w, int32_t x) {
  for (int i = 0; i < 4; i++) sum += ((I32)(w << (24 - 8 * i)) >> 24) * (int)(int8_t)((uint32_t)x >> (8 * i));
  return sum;
}
#endif
SPM_INLINE U32 look_up(const int8_t* table, U32 w) {
  uint8_t bytes[kVectorBytes];
  memcpy(bytes, &w, sizeof w);
  for (uint8_t& byte : bytes) byte = (uint8_t)table[byte];
  return load_words(bytes);
}
SPM_INLINE F32 load_halves(const uint8_t* p) {
  U16 codes;
  memcpy(&codes, p, sizeof codes);
  return from_halves(__builtin_convertvector(codes, U32));
}
// To the nearest, of two as near the even one. Adding 2^12 less the bits that are lost, or what carries into
// an exponent, is rounding; below 2^-14 the sum with a half cuts the bits off where the subnormals end.
SPM_INLINE void store_halves(uint8_t* p, F32 x) {
  const U32 bits = (U32)x, sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  const U32 normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
  const U32 subnormal = (U32)((F32)magnitude + 0.5f) - 0x3f000000u;
  const U32 finite = magnitude < (113u << 23) ? subnormal : normal;
  const U32 large = magnitude > 0x7f800000u ? words_of(0x7e00u) : words_of(0x7c00u);
  const U32 codes = (magnitude < 0x477ff000u ? finite : large) | sign;
  const U16 halves = __builtin_convertvector(codes, U16);
  memcpy(p, &halves, sizeof halves);
}

#endif

// Bytes of any sign. Where dot wants them unsigned, 128 is added to each, and taken off the sum again.
#if SPM_LANES == 16 || defined(__AVXVNNI__)
constexpr int kSignedOffset = 128;
#else
constexpr int kSignedOffset = 0;
#endif
SPM_INLINE U32 as_signed(U32 w) { return kSignedOffset ? w ^ 0x80808080u : w; }
SPM_INLINE I32 dot_signed(I32 sum, U32 w, int32_t x) {
#if SPM_LANES == 8 && !defined(__AVXVNNI__)  // |w| times x with the sign of w
  const __m256i turned = _mm256_sign_epi8(_mm256_set1_epi32(x), (__m256i)w);
  return add_pairs(sum, _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)w), turned));
#else
  return dot(sum, w, x);
#endif
}

// e^x to 2e-7 of itself; infinite where a float32 cannot hold it, and below 2^-126 a power of two near that.
// 2^n is put together from its bits, 2^f for f in [-1/2, 1/2] is a Taylor series.
SPM_INLINE F32 exponential(F32 x) {
  F32 y = x * 1.44269504f;  // in powers of two
  y = y < -126.f ? all(-126.f) : y;
  y = y > 127.f ? all(127.f) : y;
  const I32 n = __builtin_convertvector(y + (y < 0.f ? all(-0.5f) : all(0.5f)), I32);
  const F32 f = y - to_float(n);
  F32 p = fused(all(1.54035304e-4f), f, all(1.33335581e-3f));
  p = fused(p, f, all(9.61812911e-3f));
  p = fused(p, f, all(5.55041087e-2f));
  p = fused(p, f, all(2.40226507e-1f));
  p = fused(p, f, all(6.93147181e-1f));
  p = fused(p, f, all(1.f));
  const F32 power = p * (F32)(((U32)n + 127u) << 23);
  return x > 88.0f ? all(__builtin_inff()) : power;
}

}  // namespace
