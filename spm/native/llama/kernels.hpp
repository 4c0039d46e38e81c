// The arithmetic of a Llama, once for each kind of processor: a table of functions, chosen when the program
// runs. kernels.cpp is compiled several times, with other flags each time, and makes one table each time.
//
// Included where everything is compiled for one processor, so nothing from the standard library but C's own
// headers: an inline function of theirs, compiled for AVX-512, could be the copy that the linker keeps for
// all.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spm::llama {

// How a matrix's bytes encode numbers: ggml's numbers, and one of our own.
enum class Type : int {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30,
  integers =
      1000,  // 16 int8 and the float32 they are multiplied with, 20 bytes: what the other types unpack to
};

// How many weights a block of a type holds, in how many bytes of a file; 0 for what is no type.
struct Layout {
  size_t values, bytes;
};

constexpr Layout layout_of(Type type) {
  switch (type) {
    case Type::f32:
      return {1, 4};
    case Type::f16:
      return {1, 2};
    case Type::bf16:
      return {1, 2};
    case Type::q4_0:
      return {32, 18};
    case Type::q4_1:
      return {32, 20};
    case Type::q5_0:
      return {32, 22};
    case Type::q5_1:
      return {32, 24};
    case Type::q8_0:
      return {32, 34};
    case Type::iq4_nl:
      return {32, 18};
    case Type::q2_k:
      return {256, 84};
    case Type::q3_k:
      return {256, 110};
    case Type::q4_k:
      return {256, 144};
    case Type::q5_k:
      return {256, 176};
    case Type::q6_k:
      return {256, 210};
    case Type::iq4_xs:
      return {256, 136};
    case Type::integers:
      return {16, 20};
  }
  return {0, 0};
}

// Numbers in float32, one row for each position, `stride` apart.
struct Floats {
  const float* data;
  size_t stride;
};

// The same rows as int8, with a scale for every 32: x = d q. The sums are what an offset of the weights
// meets.
struct Rounded {
  int8_t* q;       // (T, cols)
  float* d;        // (T, cols / 32)
  int32_t* sum32;  // (T, cols / 32): of each 32 q
  int32_t* sum16;  // (T, cols / 16): of each 16
  float* d_sum32;  // d times those, which is what a minimum is multiplied with
  float* d_sum16;

  Rounded row(size_t t, size_t cols) const {
    const size_t at32 = t * (cols / 32), at16 = t * (cols / 16);
    return {q + t * cols, d + at32, sum32 + at32, sum16 + at16, d_sum32 + at32, d_sum16 + at16};
  }
};

// How the keys and values of a text are kept; q8_0 is int8 with a float32 scale for every 32.
enum class Kept : int { f32, f16, q8_0 };

// The bytes of a key, and of a value.
constexpr size_t kept_bytes(Kept kept, size_t head_dim) {
  if (kept == Kept::q8_0) return (head_dim + 31) / 32 * (32 + sizeof(float));
  return (head_dim + 15) / 16 * 16 * (kept == Kept::f16 ? 2 : 4);
}

// One head's keys and values in one layer; see attention.hpp for how they lie.
struct KeysValues {
  Kept kept;
  uint8_t* keys;
  uint8_t* values;
  size_t head_dim;
};

constexpr size_t kMostLanes = 16;  // of any table; rows are padded to a multiple of it
constexpr size_t kRoundedGroup = 32;

struct Kernels {
  const char* name;
  size_t lanes;  // rows of a panel, positions of a block of keys

  // `rows` (at most `lanes`) rows of a matrix, `row_bytes` apart, to a panel of lanes * row_bytes bytes.
  void (*pack)(Type type, const uint8_t* source, size_t rows, size_t row_bytes, uint8_t* panel);

  // Row `lane` of a panel as float32 (cols,), bit by bit what ggml dequantises it to.
  void (*unpack)(Type type, const uint8_t* panel, size_t lane, size_t cols, float* out);

  // y = x · Wᵀ for `panels` panels, T rows of x and of y; `x` for floating weights, `rounded` for the others.
  // Writes lanes * panels columns of each row of y. scratch: scratch_bytes(cols), aligned to 64.
  void (*multiply)(Type type, const uint8_t* panel, size_t panels, size_t cols, Floats x, Rounded rounded,
                   size_t T, float* y, size_t y_stride, uint8_t* scratch);
  size_t (*scratch_bytes)(size_t cols);

  // One row of x, rounded to where `to` points: cols is a multiple of 32.
  void (*round)(const float* x, size_t cols, Rounded to);

  void (*rms_norm)(const float* x, const float* weight, float eps, size_t n, float* y);
  void (*swiglu)(const float* gate, const float* up, size_t n, float* y);
  void (*add)(const float* a, const float* b, size_t n, float* y);
  void (*rope)(const float* x, const float* cos_sin, size_t heads, size_t head_dim, float* y);

  // Keeps key and value (head_dim,) at `position`.
  void (*keep)(const KeysValues& at, size_t position, const float* key, const float* value);

  // The key (head_dim,) at `position`, as it is kept.
  void (*recall)(const KeysValues& at, size_t position, float* key);

  // What `heads` queries (heads, head_dim) gather from the first n positions: (heads, head_dim).
  // scratch: 8 * (n rounded up to 16) floats.
  void (*attend)(const KeysValues& at, size_t n, const float* q, size_t heads, float* y, float* scratch);
};

}  // namespace spm::llama
