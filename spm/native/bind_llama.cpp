// The arithmetic of a Llama as Python sees it: spm/llama/ops/native.py. No logic lives here.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "llama/engine.hpp"
#include "llama/processor.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace spm::llama;

namespace {

using Numbers = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Ids = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Shown = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

const Kernels& kernels_called(const std::string& name) {
  for (const Kernels* kernels : kernels_for_this_processor())
    if (name.empty() || name == kernels->name) return *kernels;
  throw std::invalid_argument("this processor does not run " + name);
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const Kernels* kernels : kernels_for_this_processor()) names.emplace_back(kernels->name);
  return names;
}

std::span<const int64_t> ids_of(const Ids& ids) { return {ids.data(), ids.size()}; }

Rows rows_of(Engine& engine, const Numbers& numbers) {
  Rows rows = engine.rows(numbers.shape(0), numbers.shape(1));
  for (size_t t = 0; t < rows.T; t++) std::copy_n(numbers.data() + t * rows.n, rows.n, rows.row(t));
  return rows;
}

// The rows themselves, for as long as the array lives.
Shown shown(Rows& rows) {
  auto* owner = new std::shared_ptr<uint8_t[]>(rows.memory());
  nb::capsule capsule(owner, [](void* p) noexcept { delete static_cast<std::shared_ptr<uint8_t[]>*>(p); });
  return Shown(rows.row(0), {rows.T, rows.n}, capsule, {int64_t(rows.stride), 1});
}

// The first n keys of a layer, (n, heads * head_dim).
Rows keys(Engine& engine, const KVStore& store, size_t layer, size_t n) {
  if (layer >= store.layers() || n > store.capacity()) throw std::invalid_argument("no such keys");
  Rows found = engine.rows(n, store.n_kv_heads * store.head_dim);
  for (size_t position = 0; position < n; position++)
    for (size_t h = 0; h < store.n_kv_heads; h++)
      engine.kernels.recall(store.head(layer, h), position, found.row(position) + h * store.head_dim);
  return found;
}

Matrix new_matrix(Engine& engine, int type, size_t rows, size_t cols) {
  return Matrix(engine.kernels, Type(type), rows, cols);
}

Matrix mapped_matrix(Engine& engine, int type, size_t rows, size_t cols, Bytes bytes) {
  return Matrix(engine.kernels, Type(type), rows, cols, std::span(bytes.data(), bytes.size()));
}

// weights: a sequence of (matrix, bias or None).
nb::tuple linears(Engine& engine, Rows& x, nb::sequence weights) {
  std::vector<Weights> found;
  for (nb::handle each : weights) {
    const auto pair = nb::cast<nb::tuple>(each);
    found.push_back(
        {nb::cast<const Matrix*>(pair[0]), pair[1].is_none() ? nullptr : nb::cast<const Rows*>(pair[1])});
  }
  std::vector<Rows> products;
  {
    nb::gil_scoped_release release;
    products = engine.linears(x, found);
  }
  nb::list shown;
  for (Rows& product : products) shown.append(nb::cast(std::move(product)));
  return nb::tuple(shown);
}

Rows attention(Engine& engine, const Rows& q, const Rows& k, const Rows& v, size_t layer,
               nb::sequence segments) {
  std::vector<Segment> found;
  for (nb::handle each : segments) {
    const auto segment = nb::cast<nb::tuple>(each);
    found.push_back(
        {nb::cast<KVStore*>(segment[0]), nb::cast<size_t>(segment[1]), nb::cast<size_t>(segment[2])});
  }
  nb::gil_scoped_release release;
  return engine.attention(q, k, v, layer, found);
}

}  // namespace

void bind_llama(nb::module_& m) {
  using Free = nb::call_guard<nb::gil_scoped_release>;
  nb::class_<Rows>(m, "LlamaRows").def_prop_ro("numpy", &shown, nb::rv_policy::reference);
  nb::class_<Matrix>(m, "LlamaMatrix");
  nb::class_<KVStore>(m, "LlamaKVStore")
      .def_ro("head_dim", &KVStore::head_dim)
      .def("grow", &KVStore::grow, "capacity"_a, "used"_a, Free());
  nb::class_<Engine>(m, "LlamaEngine")
      .def(
          "__init__",
          [](Engine* self, size_t threads, const std::string& kernels) {
            new (self) Engine(kernels_called(kernels), threads);
          },
          "threads"_a, "kernels"_a = "")
      .def_prop_ro("kernels", [](const Engine& engine) { return engine.kernels.name; })
      .def_prop_ro("lanes", [](const Engine& engine) { return engine.kernels.lanes; })
      .def_prop_ro("threads", &Engine::threads)
      .def("rows", &rows_of, "numbers"_a)
      .def("matrix", &new_matrix, "type"_a, "rows"_a, "cols"_a)
      .def("mapped_matrix", &mapped_matrix, "type"_a, "rows"_a, "cols"_a, "bytes"_a, nb::keep_alive<0, 5>())
      .def(
          "pack",
          [](Engine& engine, Matrix& matrix, size_t first_row, Bytes bytes) {
            engine.pack(matrix, first_row, {bytes.data(), bytes.size()});
          },
          "matrix"_a, "first_row"_a, "bytes"_a, Free())
      .def("pack_file", &Engine::pack_file, "matrix"_a, "file"_a, "offset"_a, Free())
      .def(
          "kv_store",
          [](Engine& engine, int kept, size_t n_layers, size_t n_kv_heads, size_t head_dim) {
            return engine.kv_store(Kept(kept), n_layers, n_kv_heads, head_dim);
          },
          "kept"_a, "n_layers"_a, "n_kv_heads"_a, "head_dim"_a)
      .def(
          "embed",
          [](Engine& engine, const Matrix& matrix, Ids ids) { return engine.embed(matrix, ids_of(ids)); },
          "matrix"_a, "ids"_a, Free())
      .def(
          "take", [](Engine& engine, const Rows& x, Ids rows) { return engine.take(x, ids_of(rows)); }, "x"_a,
          "rows"_a, Free())
      .def("linear", &Engine::linear, "x"_a, "weight"_a, "bias"_a = nb::none(), Free())
      .def("linears", &linears, "x"_a, "weights"_a)
      .def("add", &Engine::add, "a"_a, "b"_a, Free())
      .def("rms_norm", &Engine::rms_norm, "x"_a, "weight"_a, "eps"_a, Free())
      .def("rope", &Engine::rope, "x"_a, "angles"_a, Free())
      .def("swiglu", &Engine::swiglu, "gate"_a, "up"_a, Free())
      .def("attention", &attention, "q"_a, "k"_a, "v"_a, "layer"_a, "segments"_a)
      .def("keys", &keys, "store"_a, "layer"_a, "n"_a)
      .def("rounded", &Engine::rounded, "x"_a);
  m.def("llama_kernels", &kernel_names);
}
