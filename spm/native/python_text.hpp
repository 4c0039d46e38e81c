// Texts as Python has them: a str of any width, or bytes.
//
// A str that is ASCII, and bytes, are read where they are. Any other str is a row of units of one, two or
// four bytes, which become UTF-8 on the way; a long one a part at a time, so that no second copy of it is
// ever whole.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "dialect.hpp"
#include "utf8.hpp"

namespace bound {

[[noreturn]] inline void refuse(const std::string& message) {
  PyErr_SetString(PyExc_TypeError, message.c_str());
  throw nanobind::python_error();
}

// What was borrowed as bytes has not been looked at yet.
inline std::string_view view(const nanobind::bytes& data) {
  if (!PyBytes_Check(data.ptr()))
    refuse(std::string("found ") + Py_TYPE(data.ptr())->tp_name + ", expected bytes");
  return {data.c_str(), data.size()};
}

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

}  // namespace bound
