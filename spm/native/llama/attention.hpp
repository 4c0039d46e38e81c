// What a query gathers from the positions before it.
//
// The keys of a head lie in blocks of kLanes positions, a lane a position: element e of all of them, then
// element e + 1. A query's product with kLanes keys needs no sum across lanes. The values lie position after
// position. Kept as int8, every 32 elements have their scales in front of them.
//
// Queries that share a kv head are taken together, so that a key that has been loaded serves them all.
#pragma once

#include <math.h>

#include "kernels.hpp"
#include "pointwise.hpp"

namespace {

using spm::llama::Kept;
using spm::llama::KeysValues;

constexpr size_t kMost = spm::llama::kMostLanes;
SPM_INLINE size_t padded(size_t n) { return (n + kMost - 1) / kMost * kMost; }

// The first n of up to kLanes numbers, and zeros.
SPM_INLINE F32 load_some(const float* p, size_t n) {
  F32 values = {};
  memcpy(&values, p, 4 * (n < kLanes ? n : kLanes));
  return values;
}

// Each way of keeping: where element e of a block of keys is, and elements e .. e + kLanes of a value.

template <size_t bytes, F32 (*load_lanes)(const uint8_t*), void (*store_lanes)(uint8_t*, F32)>
struct KeptPlain {
  SPM_INLINE F32 keys(const uint8_t* block, size_t e) { return load_lanes(block + e * kLanes * bytes); }
  SPM_INLINE F32 value(const uint8_t* row, size_t e) { return load_lanes(row + e * bytes); }

  static void keep_key(uint8_t* block, size_t lane, size_t d, const float* key) {
    uint8_t stored[kVectorBytes];
    for (size_t e = 0; e < d; e++) {
      if (e % kLanes == 0) store_lanes(stored, load_some(key + e, d - e));
      memcpy(block + (e * kLanes + lane) * bytes, stored + e % kLanes * bytes, bytes);
    }
  }
  static void keep_value(uint8_t* row, size_t d, const float* value) {
    for (size_t e = 0; e < d; e += kLanes) store_lanes(row + e * bytes, load_some(value + e, d - e));
  }
};

SPM_INLINE F32 load_floats(const uint8_t* p) { return (F32)load_words(p); }
SPM_INLINE void store_floats(uint8_t* p, F32 x) { memcpy(p, &x, sizeof x); }
using KeptFloats = KeptPlain<4, load_floats, store_floats>;
using KeptHalves = KeptPlain<2, load_halves, store_halves>;

// Groups of 32: a scale for each lane (of a value: one scale), then the int8.
struct KeptInt8 {
  static constexpr size_t kKeyGroup = kLanes * 36, kValueGroup = 36;

  SPM_INLINE F32 load_int8(const uint8_t* p) {
    I8 bytes;
    memcpy(&bytes, p, sizeof bytes);
    return to_float(__builtin_convertvector(bytes, I32));
  }
  SPM_INLINE F32 keys(const uint8_t* block, size_t e) {
    const uint8_t* group = block + e / 32 * kKeyGroup;
    return load_int8(group + (4 + e % 32) * kLanes) * load_floats(group);
  }
  SPM_INLINE F32 value(const uint8_t* row, size_t e) {
    const uint8_t* group = row + e / 32 * kValueGroup;
    float scale;
    memcpy(&scale, group, sizeof scale);
    return load_int8(group + 4 + e % 32) * scale;
  }

  // Up to 32 numbers as d q, d = max |x| / 127; d is not a number if one of them is not.
  static float round(const float* x, size_t n, int8_t* q) {
    float most = 0, spoilt = 0;
    for (size_t i = 0; i < n; i++) {
      most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
      spoilt += x[i] * 0.f;
    }
    const float inverse = most > 1e-30f && spoilt == 0 ? 127.f / most : 0.f;
    for (size_t i = 0; i < n; i++) q[i] = inverse > 0 ? (int8_t)lrintf(x[i] * inverse) : 0;
    return most / 127.f + spoilt;
  }
  static void keep_key(uint8_t* block, size_t lane, size_t d, const float* key) {
    for (size_t e = 0; e < d; e += 32, block += kKeyGroup) {
      int8_t q[32];
      const size_t n = d - e < 32 ? d - e : 32;
      const float scale = round(key + e, n, q);
      memcpy(block + 4 * lane, &scale, sizeof scale);
      for (size_t i = 0; i < n; i++) block[(4 + i) * kLanes + lane] = (uint8_t)q[i];
    }
  }
  static void keep_value(uint8_t* row, size_t d, const float* value) {
    for (size_t e = 0; e < d; e += 32, row += kValueGroup) {
      int8_t q[32] = {};
      const float scale = round(value + e, d - e < 32 ? d - e : 32, q);
      memcpy(row, &scale, sizeof scale);
      memcpy(row + 4, q, sizeof q);
    }
  }
};

SPM_INLINE uint8_t* block_of(const KeysValues& at, size_t position) {
  return at.keys + position / kLanes * kLanes * spm::llama::kept_bytes(at.kept, at.head_dim);
}

template <class E>
void keep(const KeysValues& at, size_t position, const float* key, const float* value) {
  E::keep_key(block_of(at, position), position % kLanes, at.head_dim, key);
  E::keep_value(at.values + position * spm::llama::kept_bytes(at.kept, at.head_dim), at.head_dim, value);
}

template <class E>
void recall(const KeysValues& at, size_t position, float* key) {
  for (size_t e = 0; e < at.head_dim; e++) key[e] = E::keys(block_of(at, position), e)[position % kLanes];
}

// scores (J, S): exp of each query's products with the first n keys over its largest; sums (J,) of them.
template <class E, size_t J>
void score(const KeysValues& at, size_t n, const float* q, float* scores, size_t S, float* sums) {
  const size_t d = at.head_dim;
  const float scale = 1.f / sqrtf((float)d);
  F32 most[J];
  for (size_t j = 0; j < J; j++) most[j] = all(-INFINITY);
  for (size_t i = 0; i < n; i += kLanes) {
    const uint8_t* block = block_of(at, i);
    F32 products[J] = {};
    for (size_t e = 0; e < d; e++) {
      const F32 key = E::keys(block, e);
#pragma GCC unroll 8
      for (size_t j = 0; j < J; j++) products[j] = fused(key, all(q[j * d + e]), products[j]);
    }
    for (size_t j = 0; j < J; j++) {
      products[j] *= scale;
      for (size_t lane = n - i; lane < kLanes; lane++)
        products[j][lane] = -INFINITY;  // nothing is kept there yet
      store(scores + j * S + i, products[j]);
      most[j] = greater(products[j], most[j]);
    }
  }
  for (size_t j = 0; j < J; j++) {
    const float top = largest(most[j]);
    F32 total = {};
    for (size_t i = 0; i < n; i += kLanes) {
      const F32 e = exponential(load(scores + j * S + i) - top);
      store(scores + j * S + i, e);
      total += e;
    }
    sums[j] = sum(total);
  }
}

// y (J, d) from element e on, N vectors of it: the first n values, mixed by the scores.
template <class E, size_t J, size_t N>
void mix(const KeysValues& at, size_t n, size_t e, const float* scores, size_t S, const float* sums,
         float* y) {
  const size_t row_bytes = spm::llama::kept_bytes(at.kept, at.head_dim);
  const uint8_t* row = at.values;
  F32 mixed[J][N] = {};
  for (size_t i = 0; i < n; i++, row += row_bytes) {
    F32 part[N];
    for (size_t v = 0; v < N; v++) part[v] = E::value(row, e + v * kLanes);
#pragma GCC unroll 8
    for (size_t j = 0; j < J; j++)
      for (size_t v = 0; v < N; v++) mixed[j][v] = fused(part[v], all(scores[j * S + i]), mixed[j][v]);
  }
  for (size_t j = 0; j < J; j++)
    for (size_t v = 0; v < N; v++) {
      const F32 share = mixed[j][v] / sums[j];
      const size_t from = e + v * kLanes;
      const size_t left = at.head_dim - from < kLanes ? at.head_dim - from : kLanes;
      memcpy(y + j * at.head_dim + from, &share, 4 * left);
    }
}

template <class E, size_t J>
void attend_together(const KeysValues& at, size_t n, const float* q, float* y, float* scratch) {
  constexpr size_t N = J == 8 ? 2 : 4;
  const size_t d = at.head_dim, S = padded(n);
  float sums[J];
  score<E, J>(at, n, q, scratch, S, sums);
  size_t e = 0;
  for (; e + N * kLanes <= d; e += N * kLanes) mix<E, J, N>(at, n, e, scratch, S, sums, y);
  for (; e < d; e += kLanes) mix<E, J, 1>(at, n, e, scratch, S, sums, y);
}

template <class E>
void attend(const KeysValues& at, size_t n, const float* q, size_t heads, float* y, float* scratch) {
  const size_t d = at.head_dim;
  size_t h = 0;
  for (; h + 8 <= heads; h += 8) attend_together<E, 8>(at, n, q + h * d, y + h * d, scratch);
  for (; h + 4 <= heads; h += 4) attend_together<E, 4>(at, n, q + h * d, y + h * d, scratch);
  for (; h < heads; h++) attend_together<E, 1>(at, n, q + h * d, y + h * d, scratch);
}

}  // namespace
