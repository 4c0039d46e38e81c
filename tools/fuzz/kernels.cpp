// The arithmetic of a Llama, every table that this processor runs and every type, against the definition: any
// bytes as weights, scales that are no numbers among them, in memory that ends where it must not be read.

#include "weights.hpp"

namespace {

using namespace fuzz;
using spm::llama::Floats, spm::llama::Rounded;

size_t padded(size_t n) { return (n + 15) / 16 * 16; }

// x and what it is rounded to, all of it exact.
class Inputs {
 public:
  Inputs(size_t T, size_t cols, size_t kind, Chance& chance)
      : T(T),
        cols(cols),
        x_(T * padded(cols)),
        q_(T * cols),
        d_(T * (cols / 32)),
        sum32_(d_.size()),
        sum16_(T * (cols / 16)),
        d_sum32_(d_.size()),
        d_sum16_(sum16_.size()) {
    fill(x_.data(), x_.size(), kind, chance);
  }

  size_t T, cols;

  float* row(size_t t) { return x_.data() + t * padded(cols); }
  Floats floats() { return {x_.data(), padded(cols)}; }
  Rounded rounded() {
    return {q_.data(), d_.data(), sum32_.data(), sum16_.data(), d_sum32_.data(), d_sum16_.data()};
  }

  void round(const Kernels& kernels) {
    for (size_t t = 0; t < T; t++) {
      kernels.round(row(t), cols, rounded().row(t, cols));
      for (size_t block = 0; block < cols / 32; block++) check(kernels, t, block);
    }
  }

  // Number i of row t as the product sees it.
  float seen(size_t t, size_t i, bool floating) {
    return floating ? row(t)[i] : d_[t * (cols / 32) + i / 32] * float(q_[t * cols + i]);
  }

 private:
  void check(const Kernels& kernels, size_t t, size_t block) {
    const float* x = row(t) + 32 * block;
    const int8_t* q = q_.data() + t * cols + 32 * block;
    const size_t at32 = t * (cols / 32) + block, at16 = t * (cols / 16) + 2 * block;
    float most = 0;
    bool finite = true;
    int sums[2] = {};
    for (size_t i = 0; i < 32; i++) {
      finite &= std::isfinite(x[i]);
      most = std::max(most, std::abs(x[i]));
      sums[i / 16] += q[i];
    }
    const std::string what = std::string(kernels.name) + ": rounding to int8";
    if (!finite) return expect(!std::isfinite(d_[at32]), what + " hides what is not finite");
    const float inverse = most > 1e-30f ? 127.f / most : 0.f;
    for (size_t i = 0; i < 32; i++) expect(q[i] == std::nearbyint(x[i] * inverse), what + ": a number");
    expect(d_[at32] == most / 127.f, what + ": the scale");
    expect(sum32_[at32] == sums[0] + sums[1] && sum16_[at16] == sums[0] && sum16_[at16 + 1] == sums[1],
           what + ": the sums");
    expect(d_sum32_[at32] == d_[at32] * float(sums[0] + sums[1]) && d_sum16_[at16] == d_[at32] * float(sums[0]) &&
               d_sum16_[at16 + 1] == d_[at32] * float(sums[1]),
           what + ": d times the sums");
  }

  Exact<float> x_;
  Exact<int8_t> q_;
  Exact<float> d_;
  Exact<int32_t> sum32_, sum16_;
  Exact<float> d_sum32_, d_sum16_;
};

class Table {
 public:
  Table(const Kernels& kernels, Weights& weights)
      : kernels_(kernels),
        weights_(weights),
        panels_((weights.rows + kernels.lanes - 1) / kernels.lanes),
        panel_(panels_ * kernels.lanes * weights.row_bytes) {
    for (size_t i = 0; i < panels_; i++) {
      const size_t rows = std::min(kernels.lanes, weights.rows - i * kernels.lanes);
      Exact<uint8_t> source(rows * weights.row_bytes);
      std::memcpy(source.data(), weights.bytes.data() + i * kernels.lanes * weights.row_bytes, source.size());
      kernels.pack(weights.type, source.data(), rows, weights.row_bytes, panel(i));
    }
  }

  void check_unpacked(const std::vector<std::vector<Decoded>>& rows) {
    for (size_t row = 0; row < rows.size(); row++) {
      Exact<float> out(weights_.cols);
      kernels_.unpack(weights_.type, panel(row / kernels_.lanes), row % kernels_.lanes, out.size(), out.data());
      const size_t values = rows[row][0].q.size();
      for (size_t i = 0; i < out.size(); i++)
        if (!same(rows[row][i / values].value(i % values), out[i])) fail(what("unpacked", 0));
    }
  }

  void check_products(Inputs& x, const std::vector<std::vector<Decoded>>& rows) {
    constexpr float kUntouched = 123456;
    const size_t stride = padded(weights_.rows), written = panels_ * kernels_.lanes;
    Exact<float> y(x.T * stride);
    std::fill_n(y.data(), y.size(), kUntouched);
    Exact<uint8_t> scratch((kernels_.scratch_bytes(x.cols) + 63) / 64 * 64);
    x.round(kernels_);
    kernels_.multiply(weights_.type, panel_.data(), panels_, x.cols, weights_.floating() ? x.floats() : Floats{},
                      weights_.floating() ? Rounded{} : x.rounded(), x.T, y.data(), stride, scratch.data());
    for (size_t t = 0; t < x.T; t++) {
      for (size_t row = 0; row < rows.size(); row++)
        product(x, t, rows[row]).expect(y[t * stride + row], x.cols, what("a product", x.T));
      for (size_t i = written; i < stride; i++)
        expect(y[t * stride + i] == kUntouched, what("written beyond the panels", x.T));
    }
  }

 private:
  uint8_t* panel(size_t i) { return panel_.data() + i * kernels_.lanes * weights_.row_bytes; }

  Product product(Inputs& x, size_t t, const std::vector<Decoded>& row) {
    Product found;
    const size_t values = row[0].q.size();
    for (size_t i = 0; i < x.cols; i++) found.add(row[i / values], i % values, x.seen(t, i, weights_.floating()));
    return found;
  }

  std::string what(const std::string& of, size_t T) const {
    return named(kernels_, of, weights_.type, weights_.rows, weights_.cols, T);
  }

  const Kernels& kernels_;
  Weights& weights_;
  size_t panels_;
  Exact<uint8_t> panel_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Type type = kTypes[input.below(std::size(kTypes))];
  const size_t unit = std::max<size_t>(spm::llama::layout_of(type).values, type == Type::integers ? 32 : 1);
  const size_t rows = 1 + input.below(70), T = 1 + input.below(40);
  // a few columns are as good as many, and an odd number better than an even one; up to 2048
  const size_t most = 2048 / unit, wanted = 1 + (input.byte() | input.byte() << 8) % most;
  const size_t cols = input.flag() ? wanted * unit : (1 + wanted % 5) * unit;
  Chance chance(input.byte() | input.byte() << 8);
  Weights weights(type, rows, cols, input.flag(), chance);
  Inputs x(T, cols, input.below(12) / 2, chance);
  std::vector<std::vector<Decoded>> decoded_rows;
  for (size_t i = 0; i < rows; i++) decoded_rows.push_back(weights.row(i));
  for (const Kernels* kernels : tables()) {
    Table table(*kernels, weights);
    table.check_unpacked(decoded_rows);
    table.check_products(x, decoded_rows);
  }
  return 0;
}
