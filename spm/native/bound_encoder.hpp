// An encoder as Python holds it: what its calls need (bind_encoder.cpp), once it is made (bind_making.cpp).
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "dialect.hpp"

namespace bound {

// What Python raises and warns with, and the name of what was read, for the messages.
struct Messages {
  nanobind::object encode_error, double_bos_warning;
  std::string source;
};

// The encoder of one dialect. An id that was once put into a list is kept as a Python integer, where
// the interpreter has a lock that guards it.
struct Encoder {
  spm::Dialect dialect;
  Messages messages;
  nanobind::object pick_threads;
  nanobind::object remake;  // (function, arguments) that make it again, for pickles
  std::vector<PyObject*> integers;

  ~Encoder() {
    for (PyObject* integer : integers) Py_XDECREF(integer);
  }
  PyObject* integer(int32_t id) {
#ifndef Py_GIL_DISABLED
    if (size_t(id) < integers.size()) {
      PyObject*& kept = integers[size_t(id)];
      if (!kept) kept = PyLong_FromLong(id);
      Py_XINCREF(kept);
      return kept;
    }
#endif
    return PyLong_FromLong(id);
  }
};

// Binds the ways to make one, and what there is to choose between: instruction sets, words.
void bind_making(nanobind::module_& m, nanobind::class_<Encoder>& encoder);

}  // namespace bound
