// What the bytes of a matrix mean, written down once more after the maps in spm/gguf/quants.py and
// spm/gguf/integers.py; and memory that ends where it says.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <random>

#include "../../spm/native/llama/processor.hpp"
#include "input.hpp"

#ifdef SPM_VNNI_IN_EVEX
namespace spm::llama {
extern const Kernels kAvxVnni;
}
#endif

namespace fuzz {

using spm::llama::Kernels, spm::llama::Type;

constexpr Type kTypes[] = {Type::f32,  Type::f16,    Type::bf16,   Type::q4_0,    Type::q4_1, Type::q5_0,
                           Type::q5_1, Type::q8_0,   Type::q2_k,   Type::q3_k,    Type::q4_k, Type::q5_k,
                           Type::q6_k, Type::iq4_nl, Type::iq4_xs, Type::integers};

// ---- memory of exactly n numbers: what is beyond belongs to nobody

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPM_HEAP_IS_WATCHED
#endif
#endif

#ifdef SPM_HEAP_IS_WATCHED

template <class Number>
class Exact {
 public:
  explicit Exact(size_t n) : size_(n), data_(new (std::align_val_t(64)) Number[n]) {}
  Exact(Exact&&) = default;
  Number* data() { return data_.get(); }
  size_t size() const { return size_; }
  Number& operator[](size_t i) { return data_.get()[i]; }

 private:
  struct Delete {
    void operator()(Number* data) const { ::operator delete[](data, std::align_val_t(64)); }
  };
  size_t size_;
  std::unique_ptr<Number, Delete> data_;
};

#else

// Without a sanitizer the next byte lies on a page that may not be touched.
template <class Number>
class Exact {
 public:
  explicit Exact(size_t n) : size_(n) {
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), inside = (n * sizeof(Number) + page - 1) / page * page;
    bytes_ = inside + page;
    mapping_ =
        static_cast<uint8_t*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(mapping_ + inside, page, PROT_NONE);
    data_ = reinterpret_cast<Number*>(mapping_ + inside - n * sizeof(Number));
  }
  ~Exact() {
    if (mapping_) munmap(mapping_, bytes_);
  }
  Exact(Exact&& other) : size_(other.size_), bytes_(other.bytes_), mapping_(other.mapping_), data_(other.data_) {
    other.mapping_ = nullptr;
  }
  Number* data() { return data_; }
  size_t size() const { return size_; }
  Number& operator[](size_t i) { return data_[i]; }

 private:
  size_t size_, bytes_;
  uint8_t* mapping_;
  Number* data_;
};

#endif

// ---- numbers

inline float half(const uint8_t* p) {
  const int code = p[0] | p[1] << 8, exponent = code >> 10 & 31, mantissa = code & 1023;
  float x = exponent ? std::ldexp(float(1024 + mantissa), exponent - 25) : std::ldexp(float(mantissa), -24);
  if (exponent == 31) x = mantissa ? NAN : INFINITY;
  return code >> 15 ? -x : x;
}

inline float from_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline uint32_t little(const uint8_t* p, int bytes) {
  uint32_t word = 0;
  for (int i = 0; i < bytes; i++) word |= uint32_t(p[i]) << (8 * i);
  return word;
}

// What half precision keeps of x: the nearest, of two as near the even one.
inline float as_half(float x) {
  if (!std::isfinite(x)) return x;
  int exponent;
  std::frexp(x, &exponent);
  const double step = std::ldexp(1.0, std::max(exponent, -13) - 11), kept = std::nearbyint(x / step) * step;
  return std::abs(kept) > 65504 ? std::copysign(INFINITY, x) : float(kept);
}

// ---- blocks: x = a q, or x = a q + m

using Integers = std::vector<int>;

struct Decoded {
  Integers q;
  std::vector<float> a, m;  // of each group; m empty where nothing is added

  size_t group(size_t i) const { return i / (q.size() / a.size()); }
  float value(size_t i) const {
    const float product = a[group(i)] * float(q[i]);
    return m.empty() ? product : product + m[group(i)];
  }
  // How large what is added up can be, before it cancels.
  double size(size_t i) const {
    return std::abs(double(a[group(i)]) * q[i]) + (m.empty() ? 0 : std::abs(double(m[group(i)])));
  }
  bool finite(size_t i) const { return std::isfinite(a[group(i)]) && (m.empty() || std::isfinite(m[group(i)])); }
};

// Fields of `width` bits: of each `group` bytes first the lowest one of each byte, then the next ones up.
inline Integers fields(const uint8_t* packed, size_t bytes, size_t group, int width) {
  Integers found;
  for (size_t at = 0; at < bytes; at += group)
    for (int shift = 0; shift < 8; shift += width)
      for (size_t i = 0; i < group; i++) found.push_back(packed[at + i] >> shift & ((1 << width) - 1));
  return found;
}

inline Integers plus(Integers a, const Integers& b, int times) {
  for (size_t i = 0; i < a.size(); i++) a[i] += b[i] * times;
  return a;
}

inline Integers less(Integers a, int by) {
  for (int& number : a) number -= by;
  return a;
}

inline Integers signed_bytes(const uint8_t* p, size_t n) {
  Integers found;
  for (size_t i = 0; i < n; i++) found.push_back(int8_t(p[i]));
  return found;
}

inline Integers levels(Integers codes) {
  constexpr int kLevels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  for (int& code : codes) code = kLevels[code];
  return codes;
}

inline std::vector<float> scaled(float d, const Integers& by) {
  std::vector<float> found;
  for (int number : by) found.push_back(d * float(number));
  return found;
}

// Six bits each, of Q4_K and Q5_K: see scales_and_mins in spm/gguf/quants.py.
inline std::pair<Integers, Integers> scales_and_minima(const uint8_t* packed) {
  Integers scales, minima;
  for (int i = 0; i < 8; i++) {
    const int low = packed[8 + i % 4], s = packed[i % 4], m = packed[4 + i % 4];
    scales.push_back(i < 4 ? s & 63 : (low & 15) | s >> 6 << 4);
    minima.push_back(i < 4 ? m & 63 : low >> 4 | m >> 6 << 4);
  }
  return {scales, minima};
}

inline Decoded decoded(Type type, const uint8_t* b) {
  switch (type) {
    case Type::f32:
      return {{1}, {from_bits(little(b, 4))}, {}};
    case Type::f16:
      return {{1}, {half(b)}, {}};
    case Type::bf16:
      return {{1}, {from_bits(little(b, 2) << 16)}, {}};
    case Type::q4_0:
      return {less(fields(b + 2, 16, 16, 4), 8), {half(b)}, {}};
    case Type::q4_1:
      return {fields(b + 4, 16, 16, 4), {half(b)}, {half(b + 2)}};
    case Type::q5_0:
      return {less(plus(fields(b + 6, 16, 16, 4), fields(b + 2, 4, 1, 1), 16), 16), {half(b)}, {}};
    case Type::q5_1:
      return {plus(fields(b + 8, 16, 16, 4), fields(b + 4, 4, 1, 1), 16), {half(b)}, {half(b + 2)}};
    case Type::q8_0:
      return {signed_bytes(b + 2, 32), {half(b)}, {}};
    case Type::iq4_nl:
      return {levels(fields(b + 2, 16, 16, 4)), {half(b)}, {}};
    case Type::q2_k: {
      const Integers packed = fields(b, 16, 16, 4);  // the scales, then the minima
      const auto middle = packed.begin() + 16;
      return {fields(b + 16, 64, 32, 2), scaled(half(b + 80), {packed.begin(), middle}),
              scaled(-half(b + 82), {middle, packed.end()})};
    }
    case Type::q3_k: {
      const Integers scales = plus(fields(b + 96, 8, 8, 4), fields(b + 104, 4, 4, 2), 16);
      const Integers q = plus(fields(b + 32, 64, 32, 2), fields(b, 32, 32, 1), 4);
      return {less(q, 4), scaled(half(b + 108), less(scales, 32)), {}};
    }
    case Type::q4_k:
    case Type::q5_k: {
      const auto [scales, minima] = scales_and_minima(b + 4);
      const Integers q = type == Type::q4_k ? fields(b + 16, 128, 32, 4)
                                            : plus(fields(b + 48, 128, 32, 4), fields(b + 16, 32, 32, 1), 16);
      return {q, scaled(half(b), scales), scaled(-half(b + 2), minima)};
    }
    case Type::q6_k: {
      const Integers q = plus(fields(b, 128, 64, 4), fields(b + 128, 64, 32, 2), 16);
      return {less(q, 32), scaled(half(b + 208), signed_bytes(b + 192, 16)), {}};
    }
    case Type::iq4_xs: {
      Integers scales = fields(b + 4, 4, 1, 4);
      for (int i = 0; i < 8; i++) scales[i] += int(little(b + 2, 2) >> (2 * i) & 3) * 16 - 32;
      return {levels(fields(b + 8, 128, 16, 4)), scaled(half(b), scales), {}};
    }
    case Type::integers:
      return {signed_bytes(b + 4, 16), {from_bits(little(b, 4))}, {}};
  }
  fail("a type that is none");
}

// Where the scales of a block lie: bytes of half precision, or (4) of single precision.
struct Scale {
  size_t at, bytes;
};

inline std::vector<Scale> scales_of(Type type) {
  switch (type) {
    case Type::f32:
    case Type::integers:
      return {{0, 4}};
    case Type::q4_1:
    case Type::q5_1:
    case Type::q4_k:
    case Type::q5_k:
      return {{0, 2}, {2, 2}};
    case Type::q2_k:
      return {{80, 2}, {82, 2}};
    case Type::q3_k:
      return {{108, 2}};
    case Type::q6_k:
      return {{208, 2}};
    default:
      return {{0, 2}};
  }
}

// ---- what is made up

using Chance = std::mt19937;

inline float sane(Chance& chance) { return std::normal_distribution<float>()(chance); }

// Rows of a file: any bytes. Scales are any bytes too if `wild`, or else of a size that adds up.
struct Weights {
  Type type;
  size_t rows, cols, row_bytes;
  Exact<uint8_t> bytes;

  Weights(Type type, size_t rows, size_t cols, bool wild, Chance& chance)
      : type(type),
        rows(rows),
        cols(cols),
        row_bytes(cols / spm::llama::layout_of(type).values * spm::llama::layout_of(type).bytes),
        bytes(rows * row_bytes) {
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = uint8_t(chance());
    for (size_t block = 0; !wild && block < bytes.size(); block += spm::llama::layout_of(type).bytes)
      for (const Scale& scale : scales_of(type)) {
        // below 2 in size, whichever of the three kinds of number it is
        const bool wide = type == Type::bf16 || scale.bytes == 4;
        bytes[block + scale.at + scale.bytes - 1] =
            uint8_t((chance() & 0x80) | (wide ? 0x3e : 0x20) | (chance() & 1));
      }
  }

  std::vector<Decoded> row(size_t i) {
    const spm::llama::Layout layout = spm::llama::layout_of(type);
    std::vector<Decoded> blocks;
    for (size_t at = 0; at < row_bytes; at += layout.bytes)
      blocks.push_back(decoded(type, bytes.data() + i * row_bytes + at));
    return blocks;
  }
  bool floating() const { return type == Type::f32 || type == Type::f16 || type == Type::bf16; }
};

// Rows of x: of normal size, tiny, large, nothing, or any bits.
inline void fill(float* x, size_t n, size_t kind, Chance& chance) {
  constexpr float kSizes[] = {1, 1e-20f, 1e-35f, 1e4f, 0};
  for (size_t i = 0; i < n; i++)
    x[i] = kind < std::size(kSizes) ? sane(chance) * kSizes[kind] : from_bits(uint32_t(chance()));
}

inline bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// A sum of products of w and x, and how near one must come to it who adds in float32.
struct Product {
  double sum = 0, size = 0;
  double scale = 0, input = 0;  // the largest of each: they are multiplied with each other too
  bool finite = true;

  void add(const Decoded& block, size_t i, float x) {
    const size_t g = block.group(i);
    sum += (double(block.a[g]) * block.q[i] + (block.m.empty() ? 0 : block.m[g])) * double(x);
    size += block.size(i) * std::abs(double(x));
    scale = std::max(scale, std::abs(double(block.a[g])));
    input = std::max(input, std::abs(double(x)));
    finite &= block.finite(i) && std::isfinite(x);
  }
  void expect(float found, size_t terms, const std::string& what) const {
    if (!finite)
      return fuzz::expect(!std::isfinite(found),
                          what + ": expected nothing finite, found " + std::to_string(found));
    if (!(std::max(size, scale * input) <= 1e36)) return;  // beyond what float32 adds up
    fuzz::expect(std::abs(found - sum) <= (terms + 8) * 1.2e-7 * size + 1e-36,
                 what + ": expected " + std::to_string(sum) + ", found " + std::to_string(found));
  }
};

// The tables to hold against each other: those that this processor runs.
inline std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> found = spm::llama::kernels_for_this_processor();
#ifdef SPM_VNNI_IN_EVEX
  found.push_back(&spm::llama::kAvxVnni);
#endif
  return found;
}

inline std::string named(const Kernels& kernels, const std::string& what, Type type, size_t rows, size_t cols,
                         size_t T) {
  return std::string(kernels.name) + ": " + what + ", type " + std::to_string(int(type)) + ", " +
         std::to_string(rows) + " x " + std::to_string(cols) + ", T " + std::to_string(T);
}

}  // namespace fuzz
