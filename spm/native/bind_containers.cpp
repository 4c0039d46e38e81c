// The part of spm.native._core that reads files, as Python sees it. No logic lives here.

#include <nanobind/nanobind.h>

#include "containers.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

std::string_view view(const nb::bytes& data) { return {data.c_str(), data.size()}; }

nb::bytes to_bytes(std::string_view data) { return nb::bytes(data.data(), data.size()); }

nb::list to_list(const std::vector<std::string_view>& texts) {
  auto list = nb::steal<nb::list>(PyList_New(Py_ssize_t(texts.size())));
  if (!list.is_valid()) nb::raise_python_error();
  for (size_t i = 0; i < texts.size(); i++)
    PyList_SetItem(list.ptr(), Py_ssize_t(i), to_bytes(texts[i]).release().ptr());
  return list;
}

nb::object scan_strings(nb::bytes data, uint64_t pos, uint64_t done, uint64_t count) {
  auto walk = spm::scan_strings(view(data), pos, done, count);
  return walk ? nb::object(nb::make_tuple(walk->done, walk->end)) : nb::none();
}

nb::object read_strings(nb::bytes data, uint64_t pos, uint64_t count) {
  auto strings = spm::read_strings(view(data), pos, count);
  return strings ? nb::object(to_list(*strings)) : nb::none();
}

nb::object read_model_pieces(nb::bytes model) {
  auto found = spm::read_model_pieces(view(model));
  if (!found) return nb::none();
  return nb::make_tuple(to_list(found->texts), to_bytes(found->scores), to_bytes(found->types),
                        to_bytes(found->others));
}

}  // namespace

void bind_containers(nb::module_& m) {
  m.def("scan_strings", &scan_strings, "data"_a, "pos"_a, "done"_a, "count"_a);
  m.def("read_strings", &read_strings, "data"_a, "pos"_a, "count"_a);
  m.def("read_model_pieces", &read_model_pieces, "model"_a);
}
