// One table of kernels: compiled once for each kind of processor, see CMakeLists.txt. SPM_TABLE names it.

#include "attention.hpp"
#include "kernels.hpp"
#include "pointwise.hpp"
#include "products.hpp"

namespace {

using spm::llama::Kernels;
using spm::llama::Type;

// Calls f.blocks<Q>() or f.floats<W>() for the type.
template <class F>
SPM_INLINE void for_type(Type type, F f) {
  switch (type) {
    case Type::f32:
      return f.template floats<Float32>();
    case Type::f16:
      return f.template floats<Float16>();
    case Type::bf16:
      return f.template floats<BFloat16>();
    case Type::q4_0:
      return f.template blocks<Q4_0>();
    case Type::q4_1:
      return f.template blocks<Q4_1>();
    case Type::q5_0:
      return f.template blocks<Q5_0>();
    case Type::q5_1:
      return f.template blocks<Q5_1>();
    case Type::q8_0:
      return f.template blocks<Q8_0>();
    case Type::iq4_nl:
      return f.template blocks<IQ4_NL>();
    case Type::q2_k:
      return f.template blocks<Q2_K>();
    case Type::q3_k:
      return f.template blocks<Q3_K>();
    case Type::q4_k:
      return f.template blocks<Q4_K>();
    case Type::q5_k:
      return f.template blocks<Q5_K>();
    case Type::q6_k:
      return f.template blocks<Q6_K>();
    case Type::iq4_xs:
      return f.template blocks<IQ4_XS>();
    case Type::integers:
      return f.template blocks<Integers>();
  }
}

struct Pack {
  const uint8_t* source;
  size_t rows, row_bytes;
  uint8_t* panel;
  template <class Q>
  void blocks() {
    pack_blocks<Q>(source, rows, row_bytes, panel);
  }
  template <class W>
  void floats() {
    pack_floats<W>(source, rows, row_bytes, panel);
  }
};

void pack(Type type, const uint8_t* source, size_t rows, size_t row_bytes, uint8_t* panel) {
  for_type(type, Pack{source, rows, row_bytes, panel});
}

struct Unpack {
  const uint8_t* panel;
  size_t lane, cols;
  float* out;
  template <class Q>
  void blocks() {
    unpack_blocks<Q>(panel, lane, cols, out);
  }
  template <class W>
  void floats() {
    unpack_floats<W>(panel, lane, cols, out);
  }
};

void unpack(Type type, const uint8_t* panel, size_t lane, size_t cols, float* out) {
  for_type(type, Unpack{panel, lane, cols, out});
}

struct Multiply {
  const uint8_t* panel;
  size_t panels, cols;
  Floats x;
  Rounded rounded;
  size_t T;
  float* y;
  size_t stride;
  uint8_t* scratch;
  template <class Q>
  void blocks() {
    multiply_blocks<Q>(panel, panels, cols, rounded, T, y, stride, scratch);
  }
  template <class W>
  void floats() {
    multiply_floats<W>(panel, panels, cols, x, T, y, stride);
  }
};

void multiply(Type type, const uint8_t* panel, size_t panels, size_t cols, Floats x, Rounded rounded,
              size_t T, float* y, size_t stride, uint8_t* scratch) {
  for_type(type, Multiply{panel, panels, cols, x, rounded, T, y, stride, scratch});
}

size_t scratch_bytes(size_t cols) { return kTilePanels * kLanes * (cols + 8 * (cols / 16 + 1)); }

template <class F>
SPM_INLINE void for_kept(Kept kept, F f) {
  switch (kept) {
    case Kept::f32:
      return f.template with<KeptFloats>();
    case Kept::f16:
      return f.template with<KeptHalves>();
    case Kept::q8_0:
      return f.template with<KeptInt8>();
  }
}

struct Keep {
  const KeysValues& at;
  size_t position;
  const float *key, *value;
  template <class E>
  void with() {
    keep<E>(at, position, key, value);
  }
};

void keep_any(const KeysValues& at, size_t position, const float* key, const float* value) {
  for_kept(at.kept, Keep{at, position, key, value});
}

struct Recall {
  const KeysValues& at;
  size_t position;
  float* key;
  template <class E>
  void with() {
    recall<E>(at, position, key);
  }
};

void recall_any(const KeysValues& at, size_t position, float* key) {
  for_kept(at.kept, Recall{at, position, key});
}

struct Attend {
  const KeysValues& at;
  size_t n;
  const float* q;
  size_t heads;
  float *y, *scratch;
  template <class E>
  void with() {
    attend<E>(at, n, q, heads, y, scratch);
  }
};

void attend_any(const KeysValues& at, size_t n, const float* q, size_t heads, float* y, float* scratch) {
  for_kept(at.kept, Attend{at, n, q, heads, y, scratch});
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
