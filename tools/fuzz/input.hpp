// What the bytes of a fuzzer mean: a number after the other, a text after the other; where they have
// run out, all is zero. And how a harness says that two things differ.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return at_ == size_; }
  uint8_t byte() { return empty() ? 0 : data_[at_++]; }
  bool flag() { return byte() & 1; }
  size_t below(size_t n) { return byte() % n; }

  // As many bytes as there still are, `n` at most.
  std::string bytes(size_t n) {
    n = std::min(n, size_ - at_);
    at_ += n;
    return {reinterpret_cast<const char*>(data_) + at_ - n, n};
  }
  std::string rest() { return bytes(size_); }

  // `n` characters of a few: in a small alphabet pieces overlap, tie and repeat.
  std::string characters(size_t n) {
    std::string text;
    for (; n; n--) text += kAlphabet[below(std::size(kAlphabet))];
    return text;
  }

 private:
  // ▁ é 日 🦙 in the second row; malformed in the last, and they begin what may not go on
  static constexpr std::string_view kAlphabet[16] = {
      "a", "b", "c", " ",
      "\xE2\x96\x81", "\xC3\xA9", "\xE6\x97\xA5", "\xF0\x9F\xA6\x99",
      "\n", {"\0", 1}, "<", "d",
      "\x80", "\xFF", "\xE2\x96", "\xF0\x9F",
  };

  const uint8_t* data_;
  size_t size_, at_ = 0;
};

// A text alone in its memory, so that no byte beside it can be read unseen.
class Alone {
 public:
  explicit Alone(std::string_view text) : size_(text.size()), data_(new char[text.size()]) {
    if (size_) std::memcpy(data_.get(), text.data(), size_);
  }
  std::string_view view() const { return {data_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<char[]> data_;
};

// ---- findings

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "DIFFERS: %s\n", what.c_str());
  std::abort();
}

inline std::string shown(std::string_view text) {
  std::string out;
  char hex[5];
  for (unsigned char c : text) {
    std::snprintf(hex, sizeof hex, c >= 0x20 && c < 0x7F ? "%c" : "\\x%02X", c);
    out += hex;
  }
  return '"' + out + '"';
}

inline std::string shown(const std::vector<int32_t>& numbers) {
  std::string out;
  for (int32_t number : numbers) out += ' ' + std::to_string(number);
  return '[' + out + " ]";
}

inline void expect(bool holds, const std::string& what) {
  if (!holds) fail(what);
}

template <class Value>
void expect_equal(const Value& expected, const Value& actual, const std::string& what) {
  if (!(expected == actual)) fail(what + ": expected " + shown(expected) + ", found " + shown(actual));
}

}  // namespace fuzz
