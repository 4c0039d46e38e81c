// ids -> text as Python sees it: lists and arrays of ids are read here, str and bytes are made here.
//
// Where one of the ids is no plain int, or none of the vocabulary's, the answer is None and the caller
// looks closer.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <optional>

#include "decoder.hpp"

#if PY_VERSION_HEX < 0x030B0000
#include <longintrepr.h>
#endif

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class Number>
using Array = nb::ndarray<const Number, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr size_t kMany = 1 << 16;  // ids that take long enough to let other threads run

// The value of a plain int that 32 bits hold, or else a negative number.
inline int32_t small_int(PyObject* item) {
  if (!PyLong_CheckExact(item)) return -1;
#if PY_VERSION_HEX >= 0x030C0000
  auto* number = reinterpret_cast<PyLongObject*>(item);
  if (PyUnstable_Long_IsCompact(number)) return int32_t(PyUnstable_Long_CompactValue(number));
#else
  if (Py_SIZE(item) == 1) return int32_t(reinterpret_cast<PyLongObject*>(item)->ob_digit[0]);
#endif
  int overflow = 0;
  long value = PyLong_AsLongAndOverflow(item, &overflow);
  return overflow || value != int32_t(value) ? -1 : int32_t(value);
}

// Ids, and who owns them.
struct Ids {
  std::span<const int32_t> span;
  std::unique_ptr<int32_t[]> owned;
};

Ids make_ids(size_t n) {
  std::unique_ptr<int32_t[]> owned(new int32_t[n]);
  return {{owned.get(), n}, std::move(owned)};
}

Ids read(const nb::list& list) {
  nb::ft_object_guard guard(list);
  const size_t n = size_t(PyList_GET_SIZE(list.ptr()));
  Ids ids = make_ids(n);
  for (size_t i = 0; i < n; i++) ids.owned[i] = small_int(PyList_GET_ITEM(list.ptr(), Py_ssize_t(i)));
  return ids;
}

Ids read(const Array<int32_t>& array) { return {{array.data(), array.size()}, nullptr}; }

Ids read(const Array<int64_t>& array) {
  const size_t n = array.size();
  const int64_t* from = array.data();
  Ids ids = make_ids(n);
  uint64_t high = 0;
  for (size_t i = 0; i < n; i++) {
    high |= uint64_t(from[i]) >> 31;
    ids.owned[i] = int32_t(from[i]);
  }
  if (high) ids.owned[0] = -1;  // one of them does not fit, and it does not matter which
  return ids;
}

nb::object to_str(std::string_view text) {
  auto size = Py_ssize_t(text.size());
  PyObject* str = PyUnicode_DecodeUTF8(text.data(), size, "replace");
  if (!str) throw nb::python_error();
  return nb::steal(str);
}

nb::object to_bytes(std::string_view text) { return nb::bytes(text.data(), text.size()); }

using Make = nb::object (*)(std::string_view);

template <Make make, class List>
nb::object decode(const spm::Decoder& decoder, const List& list, bool skip_special) {
  Ids ids = read(list);
  spm::DecodedText text;
  std::optional<nb::gil_scoped_release> without_gil;
  if (ids.span.size() >= kMany) without_gil.emplace();
  bool are_ids = decoder.decode(ids.span, skip_special, text);
  without_gil.reset();
  return are_ids ? make(text.view()) : nb::none();
}

// A text that comes id by id, cut where its characters end.
class Stream {
 public:
  Stream(const spm::Decoder& decoder, bool skip_special)
      : decoder_(decoder), state_(decoder.begin(skip_special)) {}

  nb::object push(nb::handle item) {
    int32_t id = small_int(item.ptr());
    if (!decoder_.push({&id, 1}, state_, text_)) return nb::none();
    return whole_characters();
  }

  nb::object flush() {
    decoder_.flush(state_, text_);
    nb::object rest = to_str(text_.view());
    text_.drop_front(text_.view().size());
    return rest;
  }

 private:
  nb::object whole_characters() {
    std::string_view text = text_.view();
    Py_ssize_t taken = 0;
    PyObject* str = PyUnicode_DecodeUTF8Stateful(text.data(), Py_ssize_t(text.size()), "replace", &taken);
    if (!str) throw nb::python_error();
    text_.drop_front(size_t(taken));
    return nb::steal(str);
  }

  const spm::Decoder& decoder_;
  spm::Decoder::State state_;
  spm::DecodedText text_;  // that is no character yet
};

spm::Decoder* make_decoder(nb::tuple pieces, nb::bytes types, bool sentencepiece, bool byte_level,
                           bool strip_space, bool strip_spaces, int32_t bos_id, int32_t eos_id,
                           nb::bytes unknown) {
  if (pieces.size() != types.size()) throw nb::value_error("pieces and types differ in number");
  spm::DecodingRules rules{sentencepiece,
                           byte_level,
                           strip_space,
                           strip_spaces,
                           bos_id,
                           eos_id,
                           {unknown.c_str(), unknown.size()}};
  auto decoder = std::make_unique<spm::Decoder>(std::move(rules), pieces.size());
  for (size_t i = 0; i < pieces.size(); i++) {
    auto piece = nb::cast<nb::bytes>(pieces[i]);
    decoder->add({piece.c_str(), piece.size()}, spm::TokenType(types.c_str()[i]));
  }
  return decoder.release();
}

}  // namespace

void bind_decoder(nb::module_& m) {
  nb::class_<Stream>(m, "Stream")
      .def("push", &Stream::push, "id"_a, nb::lock_self())
      .def("flush", &Stream::flush, nb::lock_self());
  nb::class_<spm::Decoder>(m, "Decoder")
      .def(nb::new_(&make_decoder), "pieces"_a, "types"_a, "sentencepiece"_a, "byte_level"_a, "strip_space"_a,
           "strip_spaces"_a, "bos_id"_a, "eos_id"_a, "unknown"_a)
      .def("decode", &decode<to_str, nb::list>)
      .def("decode", &decode<to_str, Array<int32_t>>, "ids"_a.noconvert(), "skip_special"_a)
      .def("decode", &decode<to_str, Array<int64_t>>, "ids"_a.noconvert(), "skip_special"_a)
      .def("decode_bytes", &decode<to_bytes, nb::list>)
      .def("decode_bytes", &decode<to_bytes, Array<int32_t>>, "ids"_a.noconvert(), "skip_special"_a)
      .def("decode_bytes", &decode<to_bytes, Array<int64_t>>, "ids"_a.noconvert(), "skip_special"_a)
      .def(
          "stream", [](const spm::Decoder& d, bool skip) { return new Stream(d, skip); }, "skip_special"_a,
          nb::keep_alive<0, 1>());
}
