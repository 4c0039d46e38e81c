// One table of kernels: compiled once for each kind of processor, see CMakeLists.txt. SPM_TABLE names it.

#include "attention.hpp"
#include "kernels.hpp"
#include "pointwise.hpp"
#include "products.hpp"

namespace {

using spm::llama::Kernels;
using spm::llama::Type;

// Calls the template `blocks` with the type's unit, or `floats` with that of a floating one.
template <class Blocks, class Floats>
SPM_INLINE void for_type(Type type, const Blocks& blocks, const Floats& floats) {
  switch (type) {
    case Type::f32:
      return floats.template operator()<Float32>();
    case Type::f16:
      return floats.template operator()<Float16>();
    case Type::bf16:
      return floats.template operator()<BFloat16>();
    case Type::q4_0:
      return blocks.template operator()<Q4_0>();
    case Type::q4_1:
      return blocks.template operator()<Q4_1>();
    case Type::q5_0:
      return blocks.template operator()<Q5_0>();
    case Type::q5_1:
      return blocks.template operator()<Q5_1>();
    case Type::q8_0:
      return blocks.template operator()<Q8_0>();
    case Type::iq4_nl:
      return blocks.template operator()<IQ4_NL>();
    case Type::q2_k:
      return blocks.template operator()<Q2_K>();
    case Type::q3_k:
      return blocks.template operator()<Q3_K>();
    case Type::q4_k:
      return blocks.template operator()<Q4_K>();
    case Type::q5_k:
      return blocks.template operator()<Q5_K>();
    case Type::q6_k:
      return blocks.template operator()<Q6_K>();
    case Type::iq4_xs:
      return blocks.template operator()<IQ4_XS>();
    case Type::integers:
      return blocks.template operator()<Integers>();
  }
}

void pack(Type type, const uint8_t* source, size_t rows, size_t row_bytes, uint8_t* panel) {
  for_type(
      type, [&]<class Q>() { pack_blocks<Q>(source, rows, row_bytes, panel); },
      [&]<class W>() { pack_floats<W>(source, rows, row_bytes, panel); });
}

void unpack(Type type, const uint8_t* panel, size_t lane, size_t cols, float* out) {
  for_type(
      type, [&]<class Q>() { unpack_blocks<Q>(panel, lane, cols, out); },
      [&]<class W>() { unpack_floats<W>(panel, lane, cols, out); });
}

void multiply(Type type, const uint8_t* panel, size_t panels, size_t cols, Floats x, Rounded rounded,
              size_t T, float* y, size_t stride, uint8_t* scratch) {
  for_type(
      type, [&]<class Q>() { multiply_blocks<Q>(panel, panels, cols, rounded, T, y, stride, scratch); },
      [&]<class W>() { multiply_floats<W>(panel, panels, cols, x, T, y, stride); });
}

size_t scratch_bytes(size_t cols) { return kTilePanels * kLanes * (cols + 8 * (cols / 16 + 1)); }

template <class F>
SPM_INLINE void for_kept(Kept kept, const F& f) {
  switch (kept) {
    case Kept::f32:
      return f.template operator()<KeptFloats>();
    case Kept::f16:
      return f.template operator()<KeptHalves>();
    case Kept::q8_0:
      return f.template operator()<KeptInt8>();
  }
}

void keep_any(const KeysValues& at, size_t position, const float* key, const float* value) {
  for_kept(at.kept, [&]<class E>() { keep<E>(at, position, key, value); });
}

void recall_any(const KeysValues& at, size_t position, float* key) {
  for_kept(at.kept, [&]<class E>() { recall<E>(at, position, key); });
}

void attend_any(const KeysValues& at, size_t n, const float* q, size_t heads, float* y, float* scratch) {
  for_kept(at.kept, [&]<class E>() { attend<E>(at, n, q, heads, y, scratch); });
}

#if SPM_LANES == 16
constexpr const char* kName = "AVX-512 VNNI";
#elif defined(__AVXVNNI__)
constexpr const char* kName = "AVX-VNNI";
#elif defined(__AVX2__)
constexpr const char* kName = "AVX2";
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr const char* kName = "NEON dot product";
#else
constexpr const char* kName = "portable";
#endif

}  // namespace

namespace spm::llama {

extern const Kernels SPM_TABLE;
const Kernels SPM_TABLE = {kName,    kLanes, pack, unpack, multiply, scratch_bytes, round_row,
                           rms_norm, swiglu, add,  rope,   keep_any, recall_any,    attend_any};

}  // namespace spm::llama
