// The operations of a Llama on its engine, on every table that this processor runs: weights packed, read from an
// open file and left where they are, texts that grow by turns, on any number of threads, against the definition.

#include "../../spm/native/llama/engine.hpp"
#include "weights.hpp"

namespace {

using namespace fuzz;
using spm::llama::Engine, spm::llama::Kept, spm::llama::KVStore, spm::llama::Matrix, spm::llama::Rows,
    spm::llama::Segment;

Rows random_rows(Engine& engine, size_t T, size_t n, size_t kind, Chance& chance) {
  Rows rows = engine.rows(T, n);
  for (size_t t = 0; t < T; t++) fill(rows.row(t), n, kind, chance);
  return rows;
}

void expect_near(float found, double expected, double size, const std::string& what) {
  if (!std::isfinite(expected) || !(size <= 1e30)) return;  // that it stays so is for kernels.cpp
  expect(std::abs(found - expected) <= 2e-5 * size + 1e-30,
         what + ": expected " + std::to_string(expected) + ", found " + std::to_string(found));
}

// ---- products

void check_products(Engine& engine, Input& input, Chance& chance) {
  const Type type = kTypes[input.below(std::size(kTypes))];
  const size_t unit = std::max<size_t>(spm::llama::layout_of(type).values, type == Type::integers ? 32 : 1);
  const size_t rows = 1 + input.below(200), cols = unit * (1 + input.below(unit == 256 ? 3 : 9)),
               T = input.below(40);
  Weights weights(type, rows, cols, input.flag(), chance);
  const std::span<const uint8_t> bytes(weights.bytes.data(), weights.bytes.size());
  Matrix packed(engine.kernels, type, rows, cols);
  const Matrix mapped(engine.kernels, type, rows, cols, bytes);
  const size_t first = input.below(rows) / engine.kernels.lanes * engine.kernels.lanes;
  engine.pack(packed, 0, bytes.first(first * packed.row_bytes));
  engine.pack(packed, first, bytes.subspan(first * packed.row_bytes));
  const size_t kind = input.below(12) / 2;
  Rows x = random_rows(engine, T, cols, kind, chance), bias = random_rows(engine, 1, rows, 0, chance);
  const bool biased = input.flag();
  const Rows seen = weights.floating() ? x : engine.rounded(x);
  Rows y = engine.linear(x, packed, biased ? &bias : nullptr),
       same_y = engine.linear(x, mapped, biased ? &bias : nullptr);
  const std::string what = named(engine.kernels, "a product", type, rows, cols, T);
  for (size_t row = 0; row < rows; row++) {
    const std::vector<Decoded> blocks = weights.row(row);
    const size_t values = blocks[0].q.size();
    for (size_t t = 0; t < T; t++) {
      Product product;
      for (size_t i = 0; i < cols; i++) product.add(blocks[i / values], i % values, seen.row(t)[i]);
      if (biased) product.sum += bias.row(0)[row], product.size += std::abs(bias.row(0)[row]);
      product.expect(y.row(t)[row], cols, what);
      expect(same(y.row(t)[row], same_y.row(t)[row]), what + ": mapped, another");
    }
  }
  std::vector<int64_t> ids;
  for (size_t i = input.below(9); i; i--) ids.push_back(int64_t(chance() % rows));
  const Rows embedded = engine.embed(packed, ids), same_embedded = engine.embed(mapped, ids);
  for (size_t t = 0; t < ids.size(); t++) {
    const std::vector<Decoded> blocks = weights.row(size_t(ids[t]));
    const size_t values = blocks[0].q.size();
    for (size_t i = 0; i < cols; i++)
      expect(same(blocks[i / values].value(i % values), embedded.row(t)[i]) &&
                 same(embedded.row(t)[i], same_embedded.row(t)[i]),
             what + ": a row embedded");
  }
}

// ---- rows

void check_rows(Engine& engine, Input& input, Chance& chance) {
  const size_t T = input.below(20), heads = 1 + input.below(5), d = 2 * (1 + input.below(40)), n = heads * d;
  const Rows a = random_rows(engine, T, n, input.below(6), chance), b = random_rows(engine, T, n, 0, chance);
  const Rows weight = random_rows(engine, 1, n, 0, chance), angles = random_rows(engine, T, d, 0, chance);
  const Rows sum = engine.add(a, b), norm = engine.rms_norm(a, weight, 1e-5f), gated = engine.swiglu(a, b),
             turned = engine.rope(a, angles);
  const std::string table = engine.kernels.name;
  for (size_t t = 0; t < T; t++) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += double(a.row(t)[i]) * a.row(t)[i];
    const double scale = 1 / std::sqrt(squares / double(n) + 1e-5f);
    for (size_t i = 0; i < n; i++) {
      const double x = a.row(t)[i], up = b.row(t)[i];
      expect(same(a.row(t)[i] + b.row(t)[i], sum.row(t)[i]), table + ": a sum");
      if (squares < 1e36)
        expect_near(norm.row(t)[i], x * scale * weight.row(0)[i], std::abs(x * scale * weight.row(0)[i]),
                    table + ": a norm");
      if (std::abs(x) < 80)
        expect_near(gated.row(t)[i], x / (1 + std::exp(-x)) * up, std::abs(x * up), table + ": a gate");
      const double other = a.row(t)[i ^ 1], cos = angles.row(t)[i % d & ~size_t(1)], sin = angles.row(t)[i % d | 1];
      expect_near(turned.row(t)[i], i & 1 ? x * cos + other * sin : x * cos - other * sin,
                  std::abs(x * cos) + std::abs(other * sin), table + ": a turn");
    }
  }
}

// ---- attention

// A text: the store, and all that was ever kept there, as it is kept.
struct Text {
  KVStore store;
  std::vector<std::vector<float>> keys, values;  // (K * d) each
};

std::vector<float> as_kept(Kept kept, const float* x, size_t heads, size_t d) {
  std::vector<float> found(x, x + heads * d);
  for (size_t head = 0; head < heads; head++)
    for (size_t e = 0; e < d; e++) {
      float& number = found[head * d + e];
      if (kept == Kept::f16) number = as_half(number);
      if (kept != Kept::q8_0) continue;
      const float* group = x + head * d + e / 32 * 32;
      float most = 0;
      for (size_t i = 0; i < std::min<size_t>(32, d - e / 32 * 32); i++) most = std::max(most, std::abs(group[i]));
      number = most > 1e-30f ? most / 127.f * std::nearbyint(number * (127.f / most)) : 0;
    }
  return found;
}

void check_row(const Text& text, size_t n, const float* q, const float* y, size_t heads, size_t K, size_t d,
               const std::string& what) {
  for (size_t head = 0; head < heads; head++) {
    const size_t at = head / (heads / K) * d;
    std::vector<double> scores(n), mixed(d);
    double most = -INFINITY, total = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
      for (size_t e = 0; e < d; e++) scores[i] += double(q[head * d + e]) * text.keys[i][at + e];
      most = std::max(most, scores[i] /= std::sqrt(double(d)));
    }
    for (double& score : scores) total += score = std::exp(score - most);
    for (size_t i = 0; i < n; i++)
      for (size_t e = 0; e < d; e++) {
        mixed[e] += scores[i] / total * text.values[i][at + e];
        size = std::max(size, std::abs(double(text.values[i][at + e])));
      }
    for (size_t e = 0; e < d; e++) expect_near(y[head * d + e], mixed[e], size, what);
  }
}

void check_attention(Engine& engine, Input& input, Chance& chance) {
  const Kept kept = Kept(input.below(3));
  const size_t K = 1 + input.below(3), group = 1 + input.below(13), d = 2 * (1 + input.below(65));
  const size_t layers = 1 + input.below(2), layer = input.below(layers);
  const std::string what = std::string(engine.kernels.name) + ": attention, kept as " + std::to_string(int(kept)) +
                           ", " + std::to_string(K * group) + " heads on " + std::to_string(K) + ", head_dim " +
                           std::to_string(d);
  std::vector<Text> texts;
  for (size_t i = 1 + input.below(3); i; i--) texts.push_back({engine.kv_store(kept, layers, K, d), {}, {}});
  for (size_t turn = 0; turn < 4; turn++) {
    std::vector<Segment> segments;
    size_t T = 0;
    for (Text& text : texts) {
      const size_t start = text.keys.size(), more = input.flag() ? 1 : input.below(40);
      if (start + more > text.store.capacity()) text.store.grow(start + more + input.below(20), start);
      segments.push_back({&text.store, start, more});
      T += more;
    }
    const Rows q = random_rows(engine, T, K * group * d, 0, chance), k = random_rows(engine, T, K * d, 0, chance),
               v = random_rows(engine, T, K * d, 0, chance), y = engine.attention(q, k, v, layer, segments);
    size_t row = 0;
    for (size_t i = 0; i < texts.size(); i++)
      for (size_t t = 0; t < segments[i].T; t++, row++) {
        texts[i].keys.push_back(as_kept(kept, k.row(row), K, d));
        texts[i].values.push_back(as_kept(kept, v.row(row), K, d));
        check_row(texts[i], segments[i].start + t + 1, q.row(row), y.row(row), K * group, K, d, what);
        std::vector<float> key(d);
        engine.kernels.recall(texts[i].store.head(layer, K - 1), segments[i].start + t, key.data());
        for (size_t e = 0; e < d; e++)
          expect(key[e] == texts[i].keys.back()[(K - 1) * d + e], what + ": a key is kept as another");
      }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t what = input.below(3), threads = 1 + input.below(4), seed = input.byte() | input.byte() << 8;
  const std::string rest = input.rest();
  for (const Kernels* kernels : tables()) {
    Engine engine(*kernels, threads);
    Chance chance(seed);
    Input again(reinterpret_cast<const uint8_t*>(rest.data()), rest.size());
    if (what == 0) check_products(engine, again, chance);
    if (what == 1) check_rows(engine, again, chance);
    if (what == 2) check_attention(engine, again, chance);
  }
  return 0;
}
