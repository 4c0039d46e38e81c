// What is done to each row by itself.
#pragma once

#include <math.h>

#include "kernels.hpp"
#include "lanes.hpp"

namespace {

SPM_INLINE F32 absolute(F32 x) { return (F32)((U32)x & 0x7fffffffu); }
SPM_INLINE F32 greater(F32 a, F32 b) { return a > b ? a : b; }

// x to d q, 32 at a time: d = max |x| / 127, q to the nearest. What is not finite makes d not a number, so
// that it is seen in the end.
void round_row(const float* x, size_t cols, spm::llama::Rounded to) {
  int8_t* q = to.q;
  for (size_t block = 0; block < cols / 32; block++, x += 32, q += 32) {
    F32 most = {}, spoilt = {};
    for (size_t i = 0; i < 32; i += kLanes) {
      const F32 values = load(x + i);
      most = greater(absolute(values), most);
      spoilt += values * 0.f;
    }
    const float largest_value = largest(most);
    const float inverse = largest_value > 1e-30f ? 127.f / largest_value : 0.f;  // below: nothing
    for (size_t i = 0; i < 32; i += kLanes) {
      // 1.5 * 2^23 leaves no bits behind the point: the sum is rounded to the nearest whole, even if between
      // two
      const F32 shifted = load(x + i) * inverse + 12582912.f;
      const I32 whole = (I32)shifted - 0x4b400000;
      const I8 bytes = __builtin_convertvector(whole, I8);
      memcpy(q + i, &bytes, sizeof bytes);
    }
    const float d = largest_value / 127.f + sum(spoilt);
    int32_t low = 0, high = 0;
    for (size_t i = 0; i < 16; i++) low += q[i], high += q[16 + i];
    to.d[block] = d;
    to.sum32[block] = low + high;
    to.sum16[2 * block] = low;
    to.sum16[2 * block + 1] = high;
    to.d_sum32[block] = d * (float)(low + high);
    to.d_sum16[2 * block] = d * (float)low;
    to.d_sum16[2 * block + 1] = d * (float)high;
  }
}

void rms_norm(const float* x, const float* weight, float eps, size_t n, float* y) {
  F32 squares = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) squares = fused(load(x + i), load(x + i), squares);
  float total = sum(squares);
  for (; i < n; i++) total += x[i] * x[i];
  const float scale = 1.f / sqrtf(total / (float)n + eps);
  for (i = 0; i + kLanes <= n; i += kLanes) store(y + i, load(x + i) * scale * load(weight + i));
  for (; i < n; i++) y[i] = x[i] * scale * weight[i];
}

// Rows are padded to whole vectors: these three may run over their ends.

void swiglu(const float* gate, const float* up, size_t n, float* y) {
  for (size_t i = 0; i < n; i += kLanes) {
    const F32 g = load(gate + i);
    store(y + i, g / (exponential(-g) + 1.f) * load(up + i));
  }
}

void add(const float* a, const float* b, size_t n, float* y) {
  for (size_t i = 0; i < n; i += kLanes) store(y + i, load(a + i) + load(b + i));
}

// Pairs (0, 1), (2, 3), ... of every head turned by angles (head_dim / 2 cosines and sines, alternating).
void rope(const float* x, const float* cos_sin, size_t heads, size_t head_dim, float* y) {
  for (size_t h = 0; h < heads; h++, x += head_dim, y += head_dim)
    for (size_t i = 0; i < head_dim; i += 2) {
      const float even = x[i], odd = x[i + 1];
      y[i] = even * cos_sin[i] - odd * cos_sin[i + 1];
      y[i + 1] = even * cos_sin[i + 1] + odd * cos_sin[i];
    }
}

}  // namespace
