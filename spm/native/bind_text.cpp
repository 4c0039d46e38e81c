// What comes before the merges, as Python sees it: `Specials` and `Normalizer`. No logic lives here.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "normalizer.hpp"
#include "specials.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

std::string_view view(const nb::bytes& data) { return {data.c_str(), data.size()}; }

std::string string(nb::handle data) { return std::string(view(nb::borrow<nb::bytes>(data))); }

// From tuples (piece, id, lstrip, rstrip).
spm::Specials* make_specials(nb::list in_order) {
  std::vector<spm::Special> specials;
  for (nb::handle item : in_order) {
    auto special = nb::borrow<nb::tuple>(item);
    specials.push_back({string(special[0]), nb::cast<int32_t>(special[1]), nb::cast<bool>(special[2]),
                        nb::cast<bool>(special[3])});
  }
  nb::gil_scoped_release without_gil;
  return new spm::Specials(std::move(specials));
}

// Tuples (begin, end, id).
nb::list partition(const spm::Specials& specials, nb::bytes text) {
  std::vector<spm::Fragment> fragments;
  {
    std::string_view data = view(text);
    nb::gil_scoped_release without_gil;
    specials.partition(data, fragments);
  }
  nb::list found;
  for (const spm::Fragment& f : fragments) found.append(nb::make_tuple(f.begin, f.end, f.id));
  return found;
}

size_t settled(const spm::Specials& specials, nb::bytes text) {
  std::string_view data = view(text);
  nb::gil_scoped_release without_gil;
  return specials.settled(data);
}

spm::Normalizer* make_normalizer(bool add_dummy_prefix, bool remove_extra_whitespaces,
                                 bool treat_whitespace_as_suffix, bool escape_whitespaces, nb::bytes space,
                                 nb::list user_defined, nb::bytes charsmap) {
  spm::NormalizerRules rules{add_dummy_prefix, remove_extra_whitespaces, treat_whitespace_as_suffix,
                             escape_whitespaces, string(space)};
  std::vector<std::string> pieces;
  for (nb::handle piece : user_defined) pieces.push_back(string(piece));
  std::string_view blob = view(charsmap);
  nb::gil_scoped_release without_gil;
  return new spm::Normalizer(std::move(rules), std::move(pieces), blob);
}

// The normalised text and, for each of its bytes and its end, where it came from.
nb::tuple normalize(const spm::Normalizer& normalizer, nb::bytes text) {
  std::string out;
  std::vector<size_t> origin;
  {
    std::string_view data = view(text);
    nb::gil_scoped_release without_gil;
    normalizer.normalize(data, out, &origin);
  }
  nb::list origins;
  for (size_t pos : origin) origins.append(pos);
  return nb::make_tuple(nb::bytes(out.data(), out.size()), origins);
}

nb::bytes normalize_text(const spm::Normalizer& normalizer, nb::bytes text) {
  std::string out;
  {
    std::string_view data = view(text);
    nb::gil_scoped_release without_gil;
    normalizer.normalize(data, out, nullptr);
  }
  return nb::bytes(out.data(), out.size());
}

}  // namespace

void bind_text(nb::module_& m) {
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const spm::Growth& growth) {
      nb::tuple told = nb::make_tuple(growth.pos, growth.size);
      PyErr_SetObject(PyExc_OverflowError, told.ptr());
    }
  });
  nb::class_<spm::Specials>(m, "Specials")
      .def(nb::new_(&make_specials), "in_order"_a)
      .def("partition", &partition, "text"_a)
      .def("settled", &settled, "text"_a);
  nb::class_<spm::Normalizer>(m, "Normalizer")
      .def(nb::new_(&make_normalizer), "add_dummy_prefix"_a, "remove_extra_whitespaces"_a,
           "treat_whitespace_as_suffix"_a, "escape_whitespaces"_a, "space"_a, "user_defined"_a, "charsmap"_a)
      .def("normalize", &normalize, "text"_a)
      .def("normalize_text", &normalize_text, "text"_a);
}
