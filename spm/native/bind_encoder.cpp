// Text -> ids as Python sees it: `Encoder`. No logic lives here.
//
// The calls that people make a million times are plain C functions, because what a binding library does
// to the arguments of a call takes longer than a short text does.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "batch.hpp"
#include "bind.hpp"
#include "cut_encoder.hpp"
#include "unigram_encoder.hpp"
#include "utf8.hpp"
#include "word_encoder.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

constexpr size_t kLong = 1 << 14;  // bytes of text that are worth letting other threads run

using IdArray = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;
using Numbers = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

[[noreturn]] void refuse(const std::string& message) {
  PyErr_SetString(PyExc_TypeError, message.c_str());
  throw nb::python_error();
}

// What was borrowed as bytes has not been looked at yet.
std::string_view view(const nb::bytes& data) {
  if (!PyBytes_Check(data.ptr()))
    refuse(std::string("found ") + Py_TYPE(data.ptr())->tp_name + ", expected bytes");
  return {data.c_str(), data.size()};
}

// What Python raises and warns with, and the name of what was read, for the messages.
struct Messages {
  nb::object encode_error, double_bos_warning;
  std::string source;
};

constexpr size_t kWorthThreads = 1 << 20;  // bytes of text
constexpr size_t kMaxThreads = 1024;

// The encoder of one dialect. An id that was once put into a list is kept as a Python integer, where
// the interpreter has a lock that guards it.
struct Encoder {
  spm::Dialect dialect;
  Messages messages;
  nb::object pick_threads;
  nb::object remake;  // (function, arguments) that make it again, for pickles
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

// ---- texts

// The bytes of a str or bytes. ASCII and bytes are read where they are.
class TextOf {
 public:
  explicit TextOf(PyObject* text) {
    if (PyBytes_Check(text)) {
      text_ = {{PyBytes_AS_STRING(text), size_t(PyBytes_GET_SIZE(text))}, false};
    } else if (PyUnicode_Check(text)) {
      kind_ = PyUnicode_IS_ASCII(text) ? 0 : PyUnicode_KIND(text);
      units_ = PyUnicode_DATA(text);
      n_ = size_t(PyUnicode_GET_LENGTH(text));
      if (kind_ == 0) text_ = {{static_cast<const char*>(units_), n_}, true};
    } else {
      refuse(std::string("text is ") + Py_TYPE(text)->tp_name + ", expected str or bytes");
    }
  }
  size_t size() const { return kind_ ? (n_ - read_) * size_t(kind_) : text_.bytes.size(); }

  // Needs no lock of the interpreter's. Throws LoneSurrogate.
  spm::Text read(std::string& buffer) const {
    if (kind_ == 0) return text_;
    buffer.clear();
    append(0, n_, buffer);
    return {buffer, true};
  }

  // A str that is not ASCII can be read a part at a time: appends some `n` characters behind those that
  // were read so far, and says whether there are more.
  bool comes_in_parts() const { return kind_ != 0; }
  bool append_part(size_t n, std::string& buffer) {
    n = std::min(n, n_ - read_);
    append(read_, n, buffer);
    read_ += n;
    return read_ < n_;
  }

  // Such a str as several of about `size` characters that may be encoded apart.
  std::vector<TextOf> split(const spm::Dialect& dialect, size_t size) const {
    std::vector<TextOf> parts;
    for (size_t begin = 0; begin < n_;) {
      size_t end = begin + std::min(size, n_ - begin);
      while (end < n_ && !dialect.may_cut(unit(end - 1), unit(end))) end++;
      parts.push_back(*this);
      parts.back().read_ = begin;
      parts.back().n_ = end;
      begin = end;
    }
    return parts;
  }

 private:
  spm::Code unit(size_t i) const {
    if (kind_ == 1) return static_cast<const uint8_t*>(units_)[i];
    if (kind_ == 2) return static_cast<const uint16_t*>(units_)[i];
    return static_cast<const uint32_t*>(units_)[i];
  }

  void append(size_t begin, size_t n, std::string& buffer) const {
    try {
      if (kind_ == 1) spm::append_utf8(static_cast<const uint8_t*>(units_) + begin, n, buffer);
      if (kind_ == 2) spm::append_utf8(static_cast<const uint16_t*>(units_) + begin, n, buffer);
      if (kind_ == 4) spm::append_utf8(static_cast<const uint32_t*>(units_) + begin, n, buffer);
    } catch (spm::LoneSurrogate& lone) {
      lone.index += begin;
      throw;
    }
  }

  spm::Text text_{};
  int kind_ = 0;  // bytes of a character; 0: `text_` is all there is to read
  const void* units_ = nullptr;
  size_t n_ = 0, read_ = 0;
};

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
    PyErr_SetString(self.messages.encode_error.ptr(),
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

// ---- making

std::vector<spm::Special> read_specials(nb::list items) {
  std::vector<spm::Special> specials;
  for (nb::handle item : items) {
    auto fields = nb::borrow<nb::tuple>(item);
    auto piece = view(nb::borrow<nb::bytes>(fields[0]));
    specials.push_back({std::string(piece), nb::cast<int32_t>(fields[1]), nb::cast<bool>(fields[2]),
                        nb::cast<bool>(fields[3])});
  }
  return specials;
}

// None, or (add_dummy_prefix, remove_extra_whitespaces, treat_whitespace_as_suffix, user-defined pieces,
// charsmap).
std::optional<spm::Normalizer> read_normalizer(nb::handle rules) {
  if (rules.is_none()) return std::nullopt;
  auto fields = nb::borrow<nb::tuple>(rules);
  std::vector<std::string> user_defined;
  for (nb::handle piece : nb::borrow<nb::list>(fields[3]))
    user_defined.emplace_back(view(nb::borrow<nb::bytes>(piece)));
  return spm::Normalizer(
      {nb::cast<bool>(fields[0]), nb::cast<bool>(fields[1]), nb::cast<bool>(fields[2]), true, " "},
      std::move(user_defined), view(nb::borrow<nb::bytes>(fields[4])));
}

std::vector<int32_t> read_numbers(Numbers numbers) {
  return {numbers.data(), numbers.data() + numbers.size()};
}

// The places of numbers, the smallest first.
std::vector<uint32_t> in_order(Numbers numbers) {
  std::vector<uint64_t> keys(numbers.size());
  for (size_t i = 0; i < keys.size(); i++) keys[i] = uint64_t(uint32_t(numbers(i))) << 32 | i;
  std::sort(keys.begin(), keys.end());
  return {keys.begin(), keys.end()};
}

Encoder* make_encoder(nb::list pieces, Numbers ranks, Numbers ids, nb::list user_defined, Numbers unused,
                      Numbers byte_ids, int32_t unknown_id, bool prefix, bool replaces_malformed, int32_t bos,
                      int32_t eos, nb::list specials, nb::list all_specials, nb::object normalizer,
                      bool normalizes, uint64_t seed, int isa, size_t memory, nb::object pick_threads,
                      nb::object encode_error, nb::object double_bos_warning, std::string source,
                      nb::object remake) {
  spm::Vocabulary vocabulary{.pieces = {},
                             .user_defined = {},
                             .unused = read_numbers(unused),
                             .byte_ids = {},
                             .unknown_id = unknown_id};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  vocabulary.pieces.reserve(pieces.size());
  for (size_t i : in_order(ranks)) {
    std::string_view piece = view(nb::borrow<nb::bytes>(pieces[i]));
    if (piece.empty() || piece.find(' ') != piece.npos) continue;  // no text has spaces when it merges
    vocabulary.pieces.push_back({spm::to_space_form(piece), spm::Rank(ranks(i)), ids(i)});
  }
  for (nb::handle item : user_defined) {
    auto pair = nb::borrow<nb::tuple>(item);
    vocabulary.user_defined.emplace_back(spm::to_space_form(view(nb::borrow<nb::bytes>(pair[0]))),
                                         nb::cast<int32_t>(pair[1]));
  }
  auto some = read_specials(specials), all = read_specials(all_specials);
  auto rules = read_normalizer(normalizer);
  Messages messages{std::move(encode_error), std::move(double_bos_warning), std::move(source)};
  int32_t last_id = -1;
  for (size_t i = 0; i < ids.size(); i++) last_id = std::max(last_id, ids(i));
  nb::gil_scoped_release without;
  return new Encoder{{spm::score_encoder(std::move(vocabulary), seed, spm::Isa(isa), memory),
                      {prefix, replaces_malformed, bos, eos, normalizes},
                      std::move(some),
                      std::move(all),
                      std::move(rules)},
                     std::move(messages),
                     std::move(pick_threads),
                     std::move(remake),
                     std::vector<PyObject*>(size_t(last_id + 1))};
}

// ---- BPE

std::vector<std::string_view> views(nb::tuple items) {
  std::vector<std::string_view> found;
  found.reserve(items.size());
  for (nb::handle item : items) found.push_back(view(nb::borrow<nb::bytes>(item)));
  return found;
}

// ("runs", set, least, most, led, at_end, from_right), or ("words", letters, before_letters, numbers,
// most_numbers, blank_numbers, others, behind_others, contractions, newlines, cases, sign_and_ascii).
spm::Stage read_stage(nb::tuple fields) {
  auto number = [&](size_t i) { return nb::cast<uint32_t>(fields[i]); };
  auto set = [&](size_t i) { return spm::Class(number(i)); };
  if (nb::cast<std::string>(fields[0]) == "runs")
    return {.is_words = false,
            .runs = {set(1), number(2), number(3), set(4), number(5) != 0, number(6) != 0}};
  return {.is_words = true,
          .words = {set(1), set(2), set(3), number(4), number(5) != 0, set(6), set(7),
                    spm::Contractions(number(8)), number(9) != 0, number(10) != 0, number(11) != 0}};
}

// None, or (where runs of code points begin, their classes, stages).
std::unique_ptr<spm::Words> read_words(nb::handle rules, int isa) {
  if (rules.is_none()) return nullptr;
  auto fields = nb::borrow<nb::tuple>(rules);
  auto begins = nb::cast<Numbers>(fields[0]), classes = nb::cast<Numbers>(fields[1]);
  std::vector<spm::Classes::Run> runs;
  for (size_t i = 0; i < std::min(begins.size(), classes.size()); i++)
    runs.push_back({spm::Code(begins(i)), spm::Class(classes(i))});
  std::vector<spm::Stage> stages;
  for (nb::handle stage : nb::borrow<nb::tuple>(fields[2]))
    stages.push_back(read_stage(nb::borrow<nb::tuple>(stage)));
  return std::make_unique<spm::Words>(spm::Classes(runs), std::move(stages), spm::Isa(isa));
}

// Where the words of a valid text end, in bytes.
std::vector<uint32_t> ends_of_words(const spm::Words& words, nb::bytes text) {
  std::vector<uint32_t> ends(view(text).size());
  ends.resize(size_t(words.find(view(text), ends.data()) - ends.data()));
  return ends;
}

Encoder* make_rank_encoder(nb::tuple pieces, nb::tuple merges, bool bytes, bool whole_words,
                           bool whole_newlines, Numbers byte_ids, nb::object words, int32_t bos, int32_t eos,
                           nb::list specials, nb::list all_specials, uint64_t seed, int isa, size_t memory,
                           nb::object pick_threads, nb::object encode_error, nb::object double_bos_warning,
                           std::string source, nb::object remake) {
  spm::RankVocabulary vocabulary{views(pieces), views(merges), bytes, whole_words, whole_newlines, {}};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  auto parted = read_words(words, isa);
  auto some = read_specials(specials), all = read_specials(all_specials);
  Messages messages{std::move(encode_error), std::move(double_bos_warning), std::move(source)};
  nb::gil_scoped_release without;
  return new Encoder{{spm::rank_encoder(vocabulary, std::move(parted), seed, spm::Isa(isa), memory),
                      {.prefix = false,
                       .replaces_malformed = false,
                       .bos = bos,
                       .eos = eos,
                       .normalizes = false,
                       .respells = true},
                      std::move(some),
                      std::move(all),
                      std::nullopt},
                     std::move(messages),
                     std::move(pick_threads),
                     std::move(remake),
                     std::vector<PyObject*>(vocabulary.pieces.size())};
}

// ---- Unigram

using Scores = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Encoder* make_unigram_encoder(nb::list pieces, Scores scores, Numbers ids, float unknown_score,
                              int32_t unknown_id, Numbers byte_ids, bool prefix, bool replaces_malformed,
                              int32_t bos, int32_t eos, nb::list specials, nb::list all_specials,
                              nb::object normalizer, bool normalizes, uint64_t seed, int isa, size_t memory,
                              nb::object pick_threads, nb::object encode_error, nb::object double_bos_warning,
                              std::string source, nb::object remake) {
  spm::UnigramVocabulary vocabulary{{}, unknown_score, unknown_id, {}};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  vocabulary.pieces.reserve(pieces.size());
  int32_t last_id = -1;
  for (size_t i = 0; i < pieces.size(); i++) {
    vocabulary.pieces.push_back(
        {spm::to_space_form(view(nb::borrow<nb::bytes>(pieces[i]))), scores(i), ids(i)});
    last_id = std::max(last_id, ids(i));
  }
  auto some = read_specials(specials), all = read_specials(all_specials);
  auto rules = read_normalizer(normalizer);
  Messages messages{std::move(encode_error), std::move(double_bos_warning), std::move(source)};
  nb::gil_scoped_release without;
  return new Encoder{
      {spm::unigram_encoder<spm::FloatSums>(std::move(vocabulary), seed, spm::Isa(isa), memory),
       {prefix, replaces_malformed, bos, eos, normalizes},
       std::move(some),
       std::move(all),
       std::move(rules)},
      std::move(messages),
      std::move(pick_threads),
      std::move(remake),
      std::vector<PyObject*>(size_t(last_id + 1))};
}

}  // namespace

void bind_encoder(nb::module_& m) {
  m.attr("ISAS") = nb::make_tuple("avx512", "avx2", "neon", "portable");
  nb::class_<spm::Words>(m, "Words")
      .def(nb::new_([](nb::object rules, int isa) { return read_words(rules, isa).release(); }), "rules"_a,
           "isa"_a)
      .def("ends", &ends_of_words, "text"_a)
      .def("may_cut", &spm::Words::may_cut, "left"_a, "right"_a);
  m.def(
      "supports", [](int isa) { return spm::supports(spm::Isa(isa)); }, "isa"_a);
  auto encoder =
      nb::class_<Encoder>(m, "Encoder")
          .def(nb::new_(&make_encoder), "pieces"_a, "ranks"_a, "ids"_a, "user_defined"_a, "unused"_a,
               "byte_ids"_a, "unknown_id"_a, "prefix"_a, "replaces_malformed"_a, "bos"_a, "eos"_a,
               "specials"_a, "all_specials"_a, "normalizer"_a.none(), "normalizes"_a, "seed"_a, "isa"_a,
               "memory"_a, "pick_threads"_a, "encode_error"_a, "double_bos_warning"_a, "source"_a, "remake"_a)
          .def_static("ranked", &make_rank_encoder, "pieces"_a, "merges"_a, "bytes"_a, "whole_words"_a,
                      "whole_newlines"_a, "byte_ids"_a, "words"_a.none(), "bos"_a, "eos"_a, "specials"_a,
                      "all_specials"_a, "seed"_a, "isa"_a, "memory"_a, "pick_threads"_a, "encode_error"_a,
                      "double_bos_warning"_a, "source"_a, "remake"_a, nb::rv_policy::take_ownership)
          .def_static("unigram", &make_unigram_encoder, "pieces"_a, "scores"_a, "ids"_a, "unknown_score"_a,
                      "unknown_id"_a, "byte_ids"_a, "prefix"_a, "replaces_malformed"_a, "bos"_a, "eos"_a,
                      "specials"_a, "all_specials"_a, "normalizer"_a.none(), "normalizes"_a, "seed"_a,
                      "isa"_a, "memory"_a, "pick_threads"_a, "encode_error"_a, "double_bos_warning"_a,
                      "source"_a, "remake"_a, nb::rv_policy::take_ownership)
          .def("encode_batch", &encode_batch, "texts"_a, "threads"_a.none(), "add_special"_a,
               "parse_special"_a)
          .def("locate", &locate, "text"_a, "parse_special"_a, "limit"_a, "characters"_a)
          .def(
              "is_whole",
              [](const Encoder& self, nb::bytes piece) { return self.dialect.is_whole(view(piece)); },
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
