// Rows of a file to panels, and a panel's rows back to numbers.
#pragma once

#include "blocks.hpp"

namespace {

// At most kLanes rows, `row_bytes` apart, to a panel; lanes without a row are zero.
template <class Q>
void pack_blocks(const uint8_t* source, size_t rows, size_t row_bytes, uint8_t* panel) {
  constexpr size_t words = Q::kBytes / 4;               // the scale that is taken out fills half a word
  constexpr size_t words_at = Q::kHalfAt == 0 ? 2 : 0;  // in the block of the file
  if (rows < kLanes) memset(panel, 0, kLanes * row_bytes);
  for (size_t at = 0; at < row_bytes; at += Q::kBytes, panel += kLanes * Q::kBytes) {
    for (size_t row = 0; row < rows; row++) {
      const uint8_t* block = source + row * row_bytes + at;
      if constexpr (Q::kHalfAt >= 0) memcpy(panel + 2 * row, block + Q::kHalfAt, 2);
      for (size_t i = 0; i < words; i++)
        memcpy(panel + Q::kWordsAt + Q::place(i) * kVectorBytes + 4 * row, block + words_at + 4 * i, 4);
    }
  }
}

template <class W>
void pack_floats(const uint8_t* source, size_t rows, size_t row_bytes, uint8_t* panel) {
  if (rows < kLanes) memset(panel, 0, kLanes * row_bytes);
  for (size_t at = 0; at < row_bytes; at += W::kBytes, panel += kLanes * W::kBytes)
    for (size_t row = 0; row < rows; row++)
      memcpy(panel + W::kBytes * row, source + row * row_bytes + at, W::kBytes);
}

// The scales of a block, and the minima if it has them.
template <class Q>
SPM_INLINE void read_scales(const uint8_t* panel, F32* a, F32* m) {
  if constexpr (Q::kMinimum)
    Q::scales(panel, a, m);
  else
    Q::scales(panel, a);
}

// Row `lane` as float32 (cols,): rounded after the product and again after the sum, as ggml does.
template <class Q>
void unpack_blocks(const uint8_t* panel, size_t lane, size_t cols, float* out) {
  F32 a[Q::kValues / Q::kGroup], m[Q::kValues / Q::kGroup];
  for (size_t k = 0; k < cols; k += Q::kValues, panel += kLanes * Q::kBytes) {
    read_scales<Q>(panel, a, m);
    for (size_t i = 0; i < Q::kValues; i++) {
      const uint32_t word = Q::weights(panel, i / 4)[lane] >> (8 * (i % 4));
      const float u = Q::kSigned ? (float)(int8_t)word : (float)(uint8_t)word;
      const size_t g = i / Q::kGroup;
      out[k + i] = Q::kMinimum ? a[g][lane] * u + m[g][lane] : a[g][lane] * (u - Q::kOffset);
    }
  }
}

template <class W>
void unpack_floats(const uint8_t* panel, size_t lane, size_t cols, float* out) {
  for (size_t k = 0; k < cols; k++) out[k] = W::weights(panel + k * kLanes * W::kBytes)[lane];
}

}  // namespace
