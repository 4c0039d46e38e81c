// What encoding makes: ids, and where they stand.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <vector>

#include "huge_pages.hpp"

namespace spm {

// Ids on their way out: a buffer that is never filled with zeros and never copied element by element.
class Ids {
 public:
  Ids() = default;
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;
  Ids(Ids&& other) noexcept : size_(other.size_), capacity_(other.capacity_), data_(other.release()) {}
  ~Ids() { std::free(data_); }

  // Room for `n` more, at the end of what there is.
  int32_t* room(size_t n) {
    if (size_ + n > capacity_) grow(n);
    return data_ + size_;
  }
  void add(size_t n) { size_ += n; }
  void end_at(const int32_t* end) { size_ = size_t(end - data_); }
  void push(int32_t id) { *room(1) = id, add(1); }
  int32_t* data() { return data_; }
  const int32_t* data() const { return data_; }
  size_t size() const { return size_; }
  void resize(size_t n) { size_ = n; }
  int32_t* release() {
    int32_t* data = data_;
    data_ = nullptr;
    size_ = capacity_ = 0;
    return data;
  }

 private:
  void grow(size_t n) {
    size_t capacity = std::max<size_t>(size_ + n, capacity_ * 3 / 2 + 64);
    auto* data = static_cast<int32_t*>(std::realloc(data_, capacity * sizeof(int32_t)));
    if (!data) throw std::bad_alloc();
    data_ = data;
    capacity_ = capacity;
    ask_for_huge_pages(data_,
                       capacity_ * sizeof(int32_t));  // a fault for every thousand ids is a tenth of the time
  }

  size_t size_ = 0, capacity_ = 0;
  int32_t* data_ = nullptr;
};

// Where each id stands in the text: bytes, begin and end.
struct Span {
  size_t begin, end;
};

// Of a symbol spelled by n ids the last owns all of it; the others are empty at its beginning.
inline void place_spans(Span symbol, size_t n, std::vector<Span>& spans) {
  for (size_t i = 0; i + 1 < n; i++) spans.push_back({symbol.begin, symbol.begin});
  if (n) spans.push_back(symbol);
}

// Spans of a part of a text, from the one at `first` on, as spans of the text.
inline void move_spans(std::vector<Span>& spans, size_t first, size_t by) {
  for (size_t i = first; i < spans.size(); i++) spans[i] = {spans[i].begin + by, spans[i].end + by};
}

}  // namespace spm
