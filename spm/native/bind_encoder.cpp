// Text -> ids as Python sees it: what may be called of an `Encoder`. No logic lives here; how one is made is
// in bind_making.cpp.
//
// The calls that people make a million times are plain C functions, because what a binding library does
// to the arguments of a call takes longer than a short text does.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "batch.hpp"
#include "bind.hpp"
#include "bound_encoder.hpp"
#include "python_text.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using bound::Encoder;
using bound::Messages;
using bound::refuse;
using bound::TextOf;
using bound::view;

namespace {

constexpr size_t kLong = 1 << 14;  // bytes of text that are worth letting other threads run

using IdArray = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;

constexpr size_t kWorthThreads = 1 << 20;  // bytes of text
constexpr size_t kMaxThreads = 1024;

// ---- errors

// Runs `what`, and raises in Python what it threw; false if it did.
template <class What>
bool guarded(const Messages& messages, What what) {
  auto raise = [&](const std::string& message) {
    PyErr_SetString(messages.encode_error.ptr(), message.c_str());
    return false;
  };
  char number[16];
  try {
    what();
    return !PyErr_Occurred();
  } catch (const spm::NoPieceForByte& error) {
    std::snprintf(number, sizeof number, "0x%02X", error.byte);
    return raise(messages.source + ": byte " + number + " of the text has no piece, expected <" + number +
                 ">");
  } catch (const spm::LoneSurrogate& error) {
    std::snprintf(number, sizeof number, "U+%04X", unsigned(error.code));
    return raise(std::string("text: lone surrogate ") + number + " at character " +
                 std::to_string(error.index) + ", expected Unicode text or bytes");
  } catch (const spm::Growth& error) {
    return raise("text: byte " + std::to_string(error.pos) + ": the charsmap makes " +
                 std::to_string(error.size) + " bytes of " + std::to_string(error.pos) +
                 ", expected at most 100 times as many");
  } catch (const spm::NoCodePoint& error) {
    std::snprintf(number, sizeof number, "0x%X", unsigned(error.code));
    return raise("text: byte " + std::to_string(error.at) + " begins code point " + number +
                 ", expected at most 0x10FFFF");
  } catch (const spm::NeedsSpecification&) {
    PyErr_SetNone(PyExc_NotImplementedError);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return false;
}

// Warns if BOS is the first id of a text, before which the vocabulary puts one.
void warn_of_double_bos(const Encoder& self, bool add_special, int32_t first) {
  int32_t bos = self.dialect.rules().bos;
  if (!add_special || bos < 0 || first != bos) return;
  PyErr_WarnEx(self.messages.double_bos_warning.ptr(),
               "the text begins with BOS and the vocabulary adds one: there are two now", 1);
  if (PyErr_Occurred()) throw nb::python_error();
}

template <class What>
void without_gil(bool release, What what) {
  if (!release) return what();
  nb::gil_scoped_release without;
  what();
}

// For the calls that a binding library makes: what is raised goes through it.
template <class What>
void run(const Encoder& self, bool release, What what) {
  if (!guarded(self.messages, [&] { without_gil(release, what); })) throw nb::python_error();
}

// ---- calls

struct Arguments {
  PyObject* text = nullptr;
  spm::EncodeOptions options{true, false};
  size_t threads = 0;  // 0: as many as are worth it
};

bool flag(PyObject* value) {
  int truth = PyObject_IsTrue(value);
  if (truth < 0) throw nb::python_error();
  return truth;
}

// None is 0: as many as are worth it. More than a machine has are not started.
size_t thread_count(const Encoder& self, PyObject* value) {
  if (value == Py_None) return 0;
  nb::object index = nb::steal(PyNumber_Index(value));
  if (!index) throw nb::python_error();
  int overflow;
  long n = PyLong_AsLongAndOverflow(index.ptr(), &overflow);
  if (overflow < 0 || (!overflow && n < 1)) {
    std::string found = overflow ? "negative" : std::to_string(n);
    PyErr_SetString(self.messages.encode_error.ptr(),
                    ("threads is " + found + ", expected 1 or more").c_str());
    throw nb::python_error();
  }
  return overflow ? kMaxThreads : std::min(size_t(n), kMaxThreads);
}

size_t worthwhile(const Encoder& self, size_t threads, size_t size) {
  if (threads) return threads;
  if (size < 2 * kWorthThreads) return 1;
  size_t picked = nb::cast<size_t>(self.pick_threads());
  return std::min({picked, self.dialect.most_threads(), size / kWorthThreads});
}

// A call's name, and whether it has threads.
struct Signature {
  const char* name;
  bool has_threads;
};

// (text, *, add_special=True, parse_special=False, threads=None), as CPython hands them over.
Arguments read_arguments(const Encoder& self, PyObject* const* args, Py_ssize_t n, PyObject* names,
                         Signature signature) {
  Arguments read;
  const std::string function = signature.name;
  if (n > 1) refuse(function + "() takes 1 positional argument, but " + std::to_string(n) + " were given");
  if (n) read.text = args[0];
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); i++) {
    PyObject *name = PyTuple_GET_ITEM(names, i), *value = args[n + i];
    if (PyUnicode_CompareWithASCIIString(name, "add_special") == 0)
      read.options.add_special = flag(value);
    else if (PyUnicode_CompareWithASCIIString(name, "parse_special") == 0)
      read.options.parse_special = flag(value);
    else if (signature.has_threads && PyUnicode_CompareWithASCIIString(name, "threads") == 0)
      read.threads = thread_count(self, value);
    else if (!n && PyUnicode_CompareWithASCIIString(name, "text") == 0)
      read.text = value;
    else {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", signature.name, name);
      throw nb::python_error();
    }
  }
  if (!read.text) refuse(function + "() missing 1 required positional argument: 'text'");
  return read;
}

void refuse_parse_special(const Encoder& self, const spm::EncodeOptions& options) {
  if (options.parse_special && self.dialect.rules().replaces_malformed) {
    PyErr_SetString(
        self.messages.encode_error.ptr(),
        "parse_special is True, expected False: sentencepiece reads no CONTROL piece out of a text");
    throw nb::python_error();
  }
}

// False if something is wrong with the text: one thread finds what comes first.
bool encode_in_parallel(const Encoder& self, const TextOf& text, spm::EncodeOptions options, size_t threads,
                        spm::Ids& ids) {
  try {
    if (text.comes_in_parts() && self.dialect.takes_parts(options)) {
      size_t size = std::clamp<size_t>(text.size() / (8 * threads), 1 << 16, 1 << 22);
      self.dialect.encode_parts_in_parallel(text.split(self.dialect, size), options, threads, ids);
    } else {
      std::string buffer;
      self.dialect.encode_in_parallel(text.read(buffer), options, threads, ids);
    }
    return true;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (...) {
    ids.resize(0);
    return false;
  }
}

// Fills `ids`, letting other threads run if the text is long.
void encode_into(Encoder& self, const Arguments& read, spm::Ids& ids) {
  refuse_parse_special(self, read.options);
  TextOf text(read.text);
  size_t threads = worthwhile(self, read.threads, text.size());
  without_gil(text.size() > kLong, [&] {
    bool in_parallel = threads > 1 && self.dialect.parts_are_apart();
    if (in_parallel && encode_in_parallel(self, text, read.options, threads, ids)) return;
    if (text.comes_in_parts() && self.dialect.takes_parts(read.options))
      return self.dialect.encode_parts(text, read.options, ids);
    std::string buffer;
    self.dialect.encode(text.read(buffer), read.options, ids);
  });
  warn_of_double_bos(self, read.options.add_special, ids.size() > 1 ? ids.data()[1] : -1);
}

// A numpy array that owns what the ids were written to.
nb::object to_array(spm::Ids& ids) {
  size_t n = ids.size();
  int32_t* data = ids.release();
  nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
  return nb::cast(IdArray(data, {n}, owner));
}

PyObject* to_list(Encoder& self, const spm::Ids& ids) {
  PyObject* list = PyList_New(Py_ssize_t(ids.size()));
  for (size_t i = 0; list && i < ids.size(); i++) {
    PyObject* integer = self.integer(ids.data()[i]);
    if (!integer) return Py_DECREF(list), nullptr;
    PyList_SET_ITEM(list, Py_ssize_t(i), integer);
  }
  return list;
}

Encoder& encoder_of(PyObject* self) { return *nb::inst_ptr<Encoder>(nb::handle(self)); }

template <class Call>
PyObject* called(PyObject* self, Signature signature, PyObject* const* args, Py_ssize_t n, PyObject* names,
                 Call call) {
  Encoder& encoder = encoder_of(self);
  PyObject* result = nullptr;
  bool done;
  try {
    done = guarded(encoder.messages,
                   [&] { result = call(encoder, read_arguments(encoder, args, n, names, signature)); });
  } catch (nb::python_error& error) {
    error.restore();
    done = false;
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    done = false;
  }
  if (!done) Py_CLEAR(result);
  return result;
}

PyObject* encode(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  return called(self, {"encode", false}, args, n, names, [](Encoder& encoder, const Arguments& read) {
    spm::Ids ids;
    encode_into(encoder, read, ids);
    return to_list(encoder, ids);
  });
}

PyObject* encode_array(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  return called(self, {"encode_array", true}, args, n, names, [](Encoder& encoder, const Arguments& read) {
    spm::Ids ids;
    encode_into(encoder, read, ids);
    return to_array(ids).release().ptr();
  });
}

PyObject* count(PyObject* self, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  return called(self, {"count", false}, args, n, names, [](Encoder& encoder, const Arguments& read) {
    refuse_parse_special(encoder, read.options);
    TextOf text(read.text);
    spm::Dialect::Count count;
    without_gil(text.size() > kLong, [&] {
      std::string buffer;
      count = encoder.dialect.count(text.read(buffer), read.options);
    });
    warn_of_double_bos(encoder, read.options.add_special, count.first);
    return PyLong_FromSize_t(count.n);
  });
}

constexpr int kCall = METH_FASTCALL | METH_KEYWORDS;
PyMethodDef kMethods[] = {
    {"encode", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(encode)), kCall, nullptr},
    {"encode_array", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(encode_array)), kCall,
     nullptr},
    {"count", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(count)), kCall, nullptr},
};

// ---- batches

// Texts one behind the other: (ids, offsets). `texts` is a tuple, which keeps them alive.
nb::object encode_batch(Encoder& self, nb::tuple texts, nb::handle asked, bool add_special,
                        bool parse_special) {
  spm::EncodeOptions options{add_special, parse_special};
  refuse_parse_special(self, options);
  std::vector<TextOf> views;
  views.reserve(texts.size());
  size_t size = 0;
  for (nb::handle text : texts) size += views.emplace_back(text.ptr()).size();
  size_t threads = worthwhile(self, thread_count(self, asked.ptr()), size);
  spm::Ids ids;
  auto* offsets = static_cast<int64_t*>(std::calloc(views.size() + 1, sizeof(int64_t)));
  if (!offsets) throw std::bad_alloc();
  nb::capsule owner(offsets, [](void* p) noexcept { std::free(p); });
  run(self, true, [&] { spm::Batch(self.dialect, views, options, threads).encode(ids, offsets); });
  using Offsets = nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>;
  return nb::make_tuple(to_array(ids), nb::cast(Offsets(offsets, {views.size() + 1}, owner)));
}

// ---- places

using Pairs = nb::ndarray<nb::numpy, int64_t, nb::ndim<2>>;

// Bytes of a valid text -> characters; both ends of spans never go back.
void count_characters(std::string_view text, std::vector<spm::Span>& spans) {
  auto counted = [&](size_t spm::Span::*end) {
    size_t byte = 0, character = 0;
    for (spm::Span& span : spans) {
      for (; byte < span.*end; byte++) character += (uint8_t(text[byte]) & 0xC0) != 0x80;
      span.*end = character;
    }
  };
  counted(&spm::Span::begin);
  counted(&spm::Span::end);
}

// The ids of a text without BOS and EOS, at least the first `limit` of them, and where each stands.
nb::tuple locate(Encoder& self, nb::handle text, bool parse_special, size_t limit, bool characters) {
  refuse_parse_special(self, {false, parse_special});
  TextOf view(text.ptr());
  spm::Ids ids;
  std::vector<spm::Span> spans;
  run(self, view.size() > kLong, [&] {
    std::string buffer;
    spm::Text bytes = view.read(buffer);
    self.dialect.locate(bytes, {false, parse_special}, limit, ids, spans);
    if (characters) count_characters(bytes.bytes, spans);
  });
  auto* pairs = static_cast<int64_t*>(std::malloc(2 * spans.size() * sizeof(int64_t) + 1));
  if (!pairs) throw std::bad_alloc();
  for (size_t i = 0; i < spans.size(); i++) {
    pairs[2 * i] = int64_t(spans[i].begin);
    pairs[2 * i + 1] = int64_t(spans[i].end);
  }
  nb::capsule owner(pairs, [](void* p) noexcept { std::free(p); });
  return nb::make_tuple(to_array(ids), nb::cast(Pairs(pairs, {spans.size(), 2}, owner)));
}

// ---- streams

nb::tuple settled(const Encoder& self, nb::bytes text, bool parse_special) {
  refuse_parse_special(self, {false, parse_special});
  std::string_view bytes = view(text);
  spm::Dialect::Settled settled;
  run(self, bytes.size() > kLong, [&] { settled = self.dialect.settled(bytes, parse_special); });
  return nb::make_tuple(settled.size, settled.after_special);
}

nb::object encode_part(const Encoder& self, nb::bytes text, bool parse_special, bool begins) {
  refuse_parse_special(self, {false, parse_special});
  std::string_view bytes = view(text);
  spm::Ids ids;
  run(self, bytes.size() > kLong, [&] {
    self.dialect.encode({bytes, false}, {false, parse_special, begins}, ids);
  });
  return to_array(ids);
}

}  // namespace

void bind_encoder(nb::module_& m) {
  nb::class_<Encoder> encoder(m, "Encoder");
  bound::bind_making(m, encoder);
  encoder
      .def("encode_batch", &encode_batch, "texts"_a, "threads"_a.none(), "add_special"_a, "parse_special"_a)
      .def("locate", &locate, "text"_a, "parse_special"_a, "limit"_a, "characters"_a)
      .def(
          "is_whole", [](const Encoder& self, nb::bytes piece) { return self.dialect.is_whole(view(piece)); },
          "piece"_a)
      .def(
          "may_meet",
          [](const Encoder& self, nb::bytes left, nb::bytes right) {
            return self.dialect.may_meet(view(left), view(right));
          },
          "left"_a, "right"_a)
      .def("__reduce__", [](const Encoder& self) { return self.remake; })
      .def("settled", &settled, "text"_a, "parse_special"_a)
      .def("encode_part", &encode_part, "text"_a, "parse_special"_a, "begins"_a);
  for (PyMethodDef& method : kMethods)
    encoder.attr(method.ml_name) =
        nb::steal(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(encoder.ptr()), &method));
}
