// y = x · Wᵀ, panel by panel.
//
// With x rounded to d q, 32 at a time, and a weight being a (u - offset) or a u + m,
//
//     sum over k of w x  =  sum over groups of  a d (sum of u q  -  offset sum of q)        or
//                           sum over groups of  a d (sum of u q)  +  m d (sum of q)
//
// so that all that is done for each weight is an integer dot product of bytes; the sums of q were taken when
// x was rounded. Products with an offset begin at what the offset takes off, so that they are exact integers.
//
// For many rows of x the time is that of the dot products. Then two panels at a time are unpacked once to
// bytes, and a tile of 6 rows of x by 2 panels is kept in registers.
#pragma once

#include "kernels.hpp"
#include "panels.hpp"

namespace {

using spm::llama::Floats;
using spm::llama::Rounded;

constexpr int kUnrolled = kLanes == 4 ? 1 : 64;  // groups of a block
constexpr size_t kFewRows = 12;                  // up to here a panel is read for every four rows of x anew
constexpr size_t kTilePanels = 2;
constexpr size_t kTileRows = kLanes == 16 ? 6 : 3;

SPM_INLINE int32_t four(const int8_t* q) {
  int32_t bytes;
  memcpy(&bytes, q, 4);
  return bytes;
}

// What the sum of u q begins at for a group whose q add up to `sum_of_q`.
template <class Q>
SPM_INLINE I32 first_sum(int32_t sum_of_q) {
  constexpr int offset = Q::kOffset + (Q::kSigned ? kSignedOffset : 0);
  return I32{} - offset * sum_of_q;
}

// Which of a row's sums belongs to the group at k.
template <class Q>
SPM_INLINE size_t which_sum(size_t t, size_t cols, size_t k) {
  return t * (cols / Q::kGroup) + k / Q::kGroup;
}

template <class Q>
SPM_INLINE int32_t sum_of_q(Rounded x, size_t t, size_t cols, size_t k) {
  return (Q::kGroup == 32 ? x.sum32 : x.sum16)[which_sum<Q>(t, cols, k)];
}

template <class Q>
SPM_INLINE F32 scaled_sum_of_q(Rounded x, size_t t, size_t cols, size_t k) {
  return all((Q::kGroup == 32 ? x.d_sum32 : x.d_sum16)[which_sum<Q>(t, cols, k)]);
}

template <bool is_signed>
SPM_INLINE I32 dot_of(I32 sum, U32 w, int32_t x) {
  if constexpr (is_signed)
    return dot_signed(sum, w, x);
  else
    return dot(sum, w, x);
}

// Asks for the x of the block at k. While a panel streams from memory every miss waits in line behind it, and
// what was in the first cache has been washed out of it, x too: more of x belongs to a panel's byte where
// groups are short.
template <class Q>
SPM_INLINE void expect_x(Rounded x, size_t t, size_t cols, size_t k) {
  for (size_t i = 0; i < Q::kValues; i += 64) __builtin_prefetch(x.q + t * cols + k + i);
  __builtin_prefetch(x.sum16 + which_sum<Q>(t, cols, k));
  __builtin_prefetch(x.d + (t * cols + k) / 32);
}

// T rows of x by one panel.
template <class Q, size_t T>
void few_rows(const uint8_t* panel, size_t cols, Rounded x, float* y, size_t stride) {
  constexpr size_t groups = Q::kValues / Q::kGroup, words = Q::kGroup / 4;
  F32 sums[T] = {};
  F32 a[groups], m[groups];
  for (size_t k = 0; k < cols; k += Q::kValues, panel += kLanes * Q::kBytes) {
    if constexpr (groups == 16)
      for (size_t t = 0; t < T; t++) expect_x<Q>(x, t, cols, k + Q::kValues);
    read_scales<Q>(panel, a, m);
#pragma GCC unroll kUnrolled
    for (size_t g = 0; g < groups; g++) {
      const size_t at = k + g * Q::kGroup;
      I32 products[T];
      for (size_t t = 0; t < T; t++) products[t] = first_sum<Q>(sum_of_q<Q>(x, t, cols, at));
#pragma GCC unroll 8
      for (size_t j = 0; j < words; j++) {
        U32 w = Q::weights(panel, g * words + j);
        if constexpr (Q::kSigned) w = as_signed(w);
#pragma GCC unroll 4
        for (size_t t = 0; t < T; t++)
          products[t] = dot_of<Q::kSigned>(products[t], w, four(x.q + t * cols + at + 4 * j));
      }
#pragma GCC unroll 4
      for (size_t t = 0; t < T; t++) {
        const float d = x.d[t * (cols / 32) + at / 32];
        sums[t] = fused(to_float(products[t]), a[g] * d, sums[t]);
        if constexpr (Q::kMinimum) sums[t] = fused(m[g], scaled_sum_of_q<Q>(x, t, cols, at), sums[t]);
      }
    }
  }
  for (size_t t = 0; t < T; t++) store(y + t * stride, sums[t]);
}

// Panels unpacked: bytes u, and the scales a and minima m of each group, in vectors.
struct Unpacked {
  uint8_t* u;  // (kTilePanels, cols / 4) vectors
  float* a;    // (kTilePanels, cols / group) vectors
  float* m;
};

SPM_INLINE Unpacked unpacked_in(uint8_t* scratch, size_t cols) {
  float* scales = (float*)(scratch + kTilePanels * kLanes * cols);
  return {scratch, scales, scales + kTilePanels * kLanes * (cols / 16)};
}

template <class Q>
void unpack_panel(const uint8_t* panel, size_t cols, size_t which, Unpacked to) {
  constexpr size_t groups = Q::kValues / Q::kGroup;
  uint8_t* u = to.u + which * kLanes * cols;
  float* a = to.a + which * kLanes * (cols / Q::kGroup);
  float* m = to.m + which * kLanes * (cols / Q::kGroup);
  F32 scales[groups], minima[groups];
  for (size_t k = 0; k < cols; k += Q::kValues, panel += kLanes * Q::kBytes) {
    read_scales<Q>(panel, scales, minima);
    for (size_t g = 0; g < groups; g++, a += kLanes, m += kLanes) {
      store(a, scales[g]);
      if constexpr (Q::kMinimum) store(m, minima[g]);
    }
#pragma GCC unroll kUnrolled
    for (size_t j = 0; j < Q::kValues / 4; j++, u += kVectorBytes) {
      U32 w = Q::weights(panel, j);
      if constexpr (Q::kSigned) w = as_signed(w);
      memcpy(u, &w, sizeof w);
    }
  }
}

// T rows of x by kTilePanels unpacked panels.
template <class Q, size_t T>
__attribute__((noinline)) void tile(Unpacked w, size_t cols, Rounded x, float* y, size_t stride) {
  constexpr size_t P = kTilePanels, group = Q::kGroup;
  F32 sums[T][P] = {};
  for (size_t g = 0; g < cols / group; g++) {
    I32 products[T][P];
    for (size_t t = 0; t < T; t++)
      for (size_t p = 0; p < P; p++) products[t][p] = first_sum<Q>(sum_of_q<Q>(x, t, cols, g * group));
#pragma GCC unroll 8
    for (size_t j = 0; j < group / 4; j++) {
      U32 u[P];
      for (size_t p = 0; p < P; p++)
        u[p] = load_words(w.u + p * kLanes * cols + (g * (group / 4) + j) * kVectorBytes);
#pragma GCC unroll 8
      for (size_t t = 0; t < T; t++) {
        const int32_t q = four(x.q + t * cols + g * group + 4 * j);
        for (size_t p = 0; p < P; p++) products[t][p] = dot_of<Q::kSigned>(products[t][p], u[p], q);
      }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < T; t++) {
      const float d = x.d[t * (cols / 32) + g * group / 32];
      for (size_t p = 0; p < P; p++) {
        const size_t at = (p * (cols / group) + g) * kLanes;
        sums[t][p] = fused(to_float(products[t][p]), load(w.a + at) * d, sums[t][p]);
        if constexpr (Q::kMinimum)
          sums[t][p] = fused(load(w.m + at), scaled_sum_of_q<Q>(x, t, cols, g * group), sums[t][p]);
      }
    }
  }
  for (size_t t = 0; t < T; t++)
    for (size_t p = 0; p < P; p++) store(y + t * stride + p * kLanes, sums[t][p]);
}

template <class Q>
void multiply_few(const uint8_t* panel, size_t cols, Rounded x, size_t T, float* y, size_t stride) {
  size_t t = 0;
  for (; t + 4 <= T; t += 4) few_rows<Q, 4>(panel, cols, x.row(t, cols), y + t * stride, stride);
  for (; t + 2 <= T; t += 2) few_rows<Q, 2>(panel, cols, x.row(t, cols), y + t * stride, stride);
  if (t < T) few_rows<Q, 1>(panel, cols, x.row(t, cols), y + t * stride, stride);
}

template <class Q>
void multiply_blocks(const uint8_t* panel, size_t panels, size_t cols, Rounded x, size_t T, float* y,
                     size_t stride, uint8_t* scratch) {
  const size_t panel_bytes = cols / Q::kValues * kLanes * Q::kBytes;
  size_t p = 0;
  for (; T > kFewRows && p + kTilePanels <= panels; p += kTilePanels) {
    const Unpacked w = unpacked_in(scratch, cols);
    for (size_t i = 0; i < kTilePanels; i++) unpack_panel<Q>(panel + (p + i) * panel_bytes, cols, i, w);
    size_t t = 0;
    for (; t + kTileRows <= T; t += kTileRows)
      tile<Q, kTileRows>(w, cols, x.row(t, cols), y + t * stride + p * kLanes, stride);
    for (; t < T; t++) tile<Q, 1>(w, cols, x.row(t, cols), y + t * stride + p * kLanes, stride);
  }
  for (; p < panels; p++) multiply_few<Q>(panel + p * panel_bytes, cols, x, T, y + p * kLanes, stride);
}

// Floating weights: x as it is. Four sums to a row of x, so that none waits for the one before it.
template <class W, size_t T>
void few_rows_of_floats(const uint8_t* panel, size_t cols, Floats x, float* y, size_t stride) {
  constexpr size_t step = kLanes * W::kBytes, N = T == 1 ? 4 : 1;
  F32 sums[N][T] = {};
  size_t k = 0;
  for (; k + N <= cols; k += N)
    for (size_t n = 0; n < N; n++) {
      const F32 w = W::weights(panel + (k + n) * step);
      for (size_t t = 0; t < T; t++) sums[n][t] = fused(w, all(x.data[t * x.stride + k + n]), sums[n][t]);
    }
  for (; k < cols; k++)
    for (size_t t = 0; t < T; t++)
      sums[0][t] = fused(W::weights(panel + k * step), all(x.data[t * x.stride + k]), sums[0][t]);
  for (size_t t = 0; t < T; t++) {
    F32 total = sums[0][t];
    for (size_t n = 1; n < N; n++) total += sums[n][t];
    store(y + t * stride, total);
  }
}

template <class W>
void multiply_floats(const uint8_t* panel, size_t panels, size_t cols, Floats x, size_t T, float* y,
                     size_t stride) {
  for (size_t p = 0; p < panels; p++, panel += cols * kLanes * W::kBytes, y += kLanes) {
    size_t t = 0;
    for (; t + 8 <= T; t += 8)
      few_rows_of_floats<W, 8>(panel, cols, {x.data + t * x.stride, x.stride}, y + t * stride, stride);
    for (; t + 4 <= T; t += 4)
      few_rows_of_floats<W, 4>(panel, cols, {x.data + t * x.stride, x.stride}, y + t * stride, stride);
    for (; t < T; t++)
      few_rows_of_floats<W, 1>(panel, cols, {x.data + t * x.stride, x.stride}, y + t * stride, stride);
  }
}

}  // namespace
