// spm.native._core: the compiled core as Python sees it. No logic lives here.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "encoder.hpp"

namespace nb = nanobind;
using namespace nb::literals;

void bind_containers(nb::module_& m);  // bind_containers.cpp

namespace {

using IdArray = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;
using OffsetArray = nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>;
using Numbers = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::string_view view(const nb::bytes& data) { return {data.c_str(), data.size()}; }

// A numpy array that owns what the ids were written to.
IdArray to_array(spm::Ids& ids) {
  size_t n = ids.size();
  int32_t* data = ids.release();
  nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
  return IdArray(data, {n}, owner);
}

spm::Encoder* make_encoder(nb::list texts, Numbers ranks, Numbers ids, nb::list user_defined,
                           Numbers byte_ids, int32_t unknown_id, uint64_t seed) {
  spm::Vocabulary vocabulary;
  vocabulary.unknown_id = unknown_id;
  for (size_t i = 0; i < 256; i++) vocabulary.byte_ids[i] = byte_ids(i);
  vocabulary.pieces.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); i++) {
    auto text = spm::to_space_form(view(nb::borrow<nb::bytes>(texts[i])));
    vocabulary.pieces.push_back({std::move(text), spm::Rank(ranks(i)), ids(i)});
  }
  for (nb::handle item : user_defined) {
    auto pair = nb::borrow<nb::tuple>(item);
    vocabulary.user_defined.add(spm::to_space_form(view(nb::borrow<nb::bytes>(pair[0]))),
                                nb::cast<int32_t>(pair[1]));
  }
  nb::gil_scoped_release without_gil;
  return new spm::Encoder(std::move(vocabulary), seed);
}

IdArray encode(const spm::Encoder& encoder, nb::bytes text, bool prefix) {
  spm::Ids ids;
  {
    std::string_view data = view(text);
    nb::gil_scoped_release without_gil;
    encoder.encode(data, prefix, ids);
  }
  return to_array(ids);
}

}  // namespace

NB_MODULE(_core, m) {
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const spm::NoPieceForByte& error) {
      nb::object byte = nb::steal(PyLong_FromLong(error.byte));
      PyErr_SetObject(PyExc_LookupError, byte.ptr());
    }
  });
  m.def("valid_prefix", [](nb::bytes text) { return spm::valid_prefix(view(text)); }, "text"_a);
  nb::class_<spm::Encoder>(m, "Encoder")
      .def(nb::new_(&make_encoder), "texts"_a, "ranks"_a, "ids"_a, "user_defined"_a, "byte_ids"_a,
           "unknown_id"_a, "seed"_a)
      .def("encode", &encode, "text"_a, "prefix"_a);
  bind_containers(m);
}
