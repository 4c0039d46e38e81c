// What a query gathers from the positions before it.
//
// The keys of a head lie in blocks of kLanes positions, a lane a position: element e of all of them, then element
// e + 1. A query's product with kLanes keys needs no sum across lanes. The values lie position after position,
// each padded to kMostLanes elements.
//
// Queries that share a kv head are taken together, so that a key that has been loaded serves them all.
#pragma once

#include <math.h>

#include "kernels.hpp"
#include "pointwise.hpp"

namespace {

using spm::llama::Kept;
using spm::llama::KeysValues;

struct KeptFloats {
  static constexpr size_t kBytes = 4;
  SPM_INLINE F32 load(const uint8_t* p) { return (F32)load_words(p); }
  SPM_INLINE void store(uint8_t* p, F32 x) { memcpy(p, &x, sizeof x); }
};

struct KeptHalves {
  static constexpr size_t kBytes = 2;
  SPM_INLINE F32 load(const uint8_t* p) { return load_halves(p); }
  SPM_INLINE void store(uint8_t* p, F32 x) { store_halves(p, x); }
};

constexpr size_t kMost = spm::llama::kMostLanes;
SPM_INLINE size_t padded(size_t n) { return (n + kMost - 1) / kMost * kMost; }

template <class E>
void keep(const KeysValues& at, size_t position, const float* key, const float* value) {
  const size_t d = at.head_dim;
  uint8_t* to = at.keys + (position / kLanes * d * kLanes + position % kLanes) * E::kBytes;
  for (size_t e = 0; e < d; e += kLanes) {
    const size_t n = d - e < kLanes ? d - e : kLanes;
    F32 of_key = {}, of_value = {};
    memcpy(&of_key, key + e, 4 * n);
    memcpy(&of_value, value + e, 4 * n);
    E::store(at.values + (position * padded(d) + e) * E::kBytes, of_value);
    uint8_t stored[kVectorBytes];
    E::store(stored, of_key);
    for (size_t i = 0; i < n; i++) memcpy(to + (e + i) * kLanes * E::kBytes, stored + i * E::kBytes, E::kBytes);
  }
}

template <class E>
void recall(const KeysValues& at, size_t position, float* key) {
  const uint8_t* block = at.keys + position / kLanes * at.head_dim * kLanes * E::kBytes;
  for (size_t e = 0; e < at.head_dim; e++) key[e] = E::load(block + e * kLanes * E::kBytes)[position % kLanes];
}

// scores (J, S): exp of each query's products with the first n keys over its largest; sums (J,) of them.
template <class E, size_t J>
void score(const KeysValues& at, size_t n, const float* q, float* scores, size_t S, float* sums) {
  const size_t d = at.head_dim;
  const float scale = 1.f / sqrtf((float)d);
  F32 most[J];
  for (size_t j = 0; j < J; j++) most[j] = all(-INFINITY);
  for (size_t i = 0; i < n; i += kLanes) {
    const uint8_t* keys = at.keys + i * d * E::kBytes;
    F32 products[J] = {};
    for (size_t e = 0; e < d; e++) {
      const F32 key = E::load(keys + e * kLanes * E::kBytes);
#pragma GCC unroll 8
      for (size_t j = 0; j < J; j++) products[j] = fused(key, all(q[j * d + e]), products[j]);
    }
    for (size_t j = 0; j < J; j++) {
      products[j] *= scale;
      for (size_t lane = n - i; lane < kLanes; lane++) products[j][lane] = -INFINITY;  // nothing is kept there yet
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
void mix(const KeysValues& at, size_t n, size_t e, const float* scores, size_t S, const float* sums, float* y) {
  const size_t row = padded(at.head_dim) * E::kBytes;
  const uint8_t* values = at.values + e * E::kBytes;
  F32 mixed[J][N] = {};
  for (size_t i = 0; i < n; i++, values += row) {
    F32 part[N];
    for (size_t v = 0; v < N; v++) part[v] = E::load(values + v * kLanes * E::kBytes);
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
