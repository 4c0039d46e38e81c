// Text -> ids for one vocabulary: cut into units, look each up, merge what was never seen.
//
// The text is valid UTF-8 as it was typed. It stands for the normalised text in which every space is ▁,
// with one more ▁ in front if `prefix` is set; nothing else is normalised here.
#pragma once

#include <bit>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "joins.hpp"
#include "merge.hpp"
#include "units.hpp"

namespace spm {

// A character was met that has no piece, and neither has one of its bytes.
struct NoPieceForByte {
  uint8_t byte;
};

// Ids on their way out: a buffer that is never filled with zeros and never copied element by element.
class Ids {
 public:
  Ids() = default;
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;
  ~Ids() { std::free(data_); }

  // Room for `n` more, at the end of what there is.
  int32_t* room(size_t n) {
    if (size_ + n > capacity_) grow(n);
    return data_ + size_;
  }
  void add(size_t n) { size_ += n; }
  void push(int32_t id) { *room(1) = id, add(1); }
  int32_t* data() { return data_; }
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
  }
  int32_t* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

// Pieces that are found before merging and never merge: the longest at the leftmost place.
class UserDefined {
 public:
  void add(std::string text, int32_t id) {
    may_begin_[uint8_t(text[0])] = true;
    sizes_.push_back(text.size());
    std::sort(sizes_.begin(), sizes_.end(), std::greater<>());
    sizes_.erase(std::unique(sizes_.begin(), sizes_.end()), sizes_.end());
    ids_.emplace(std::move(text), id);
  }
  bool empty() const { return ids_.empty(); }

  // The size of the piece that stands at `at` and its id; size 0 if none does.
  std::pair<size_t, int32_t> find(std::string_view text, size_t at) const {
    if (!may_begin_[uint8_t(text[at])]) return {0, 0};
    for (size_t size : sizes_) {
      if (size > text.size() - at) continue;
      auto found = ids_.find(std::string(text.substr(at, size)));
      if (found != ids_.end()) return {size, found->second};
    }
    return {0, 0};
  }

 private:
  bool may_begin_[256] = {};
  std::vector<size_t> sizes_;  // from the longest down
  std::unordered_map<std::string, int32_t> ids_;
};

struct Vocabulary {
  std::vector<Mergeable> pieces;
  UserDefined user_defined;
  int32_t byte_ids[256];  // -1: no piece
  int32_t unknown_id;     // -1: what is no piece is spelled by its bytes
};

class Encoder {
 public:
  Encoder(Vocabulary vocabulary, uint64_t seed)
      : vocabulary_(std::move(vocabulary)),
        symbols_(vocabulary_.pieces),
        joins_(vocabulary_.pieces),
        cuts_(joins_),
        merger_(symbols_),
        known_(kTableBits, seed) {
    prefill();
  }

  // Appends the ids of `text`. Any number of threads may encode at once.
  void encode(std::string_view text, bool prefix, Ids& ids) const {
    Lease lease(*this);
    size_t first = ids.size();
    if (!vocabulary_.user_defined.empty())
      encode_around_user_defined(prefix ? ' ' + std::string(text) : std::string(text), ids, *lease);
    else
      encode_stretch(text, prefix, ids, *lease);
    if (vocabulary_.unknown_id >= 0) join_unknown(first, ids);
  }

 private:
  // What one thread needs while it encodes.
  struct Scratch {
    UnitTable units;
    std::vector<Node> row;
  };

  // A scratch of one's own for as long as one encodes; it is used again afterwards.
  class Lease {
   public:
    explicit Lease(const Encoder& encoder) : encoder_(encoder) {
      std::lock_guard lock(encoder.mutex_);
      if (!encoder.free_.empty()) {
        scratch_ = std::move(encoder.free_.back());
        encoder.free_.pop_back();
      }
      if (!scratch_) scratch_ = std::make_unique<Scratch>(Scratch{encoder.known_, {}});
    }
    ~Lease() {
      std::lock_guard lock(encoder_.mutex_);
      encoder_.free_.push_back(std::move(scratch_));
    }
    Scratch& operator*() { return *scratch_; }

   private:
    const Encoder& encoder_;
    std::unique_ptr<Scratch> scratch_;
  };

  static constexpr unsigned kTableBits = 17;  // 4 MB for each thread that encodes at once

  void encode_around_user_defined(std::string_view text, Ids& ids, Scratch& scratch) const {
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
      auto [size, id] = vocabulary_.user_defined.find(text, at);
      if (!size) {
        at += lead_size(text[at]);
        continue;
      }
      if (begin < at) encode_stretch(text.substr(begin, at - begin), false, ids, scratch);
      ids.push(id);
      begin = at += size;
    }
    if (begin < text.size()) encode_stretch(text.substr(begin), false, ids, scratch);
  }

  // Every piece is a unit that will come: its ids are known before the first text is.
  void prefill() {
    Scratch scratch{UnitTable(1, 0), {}};
    Ids ids;
    for (size_t i = vocabulary_.pieces.size(); i-- > 0;) {  // the best ranks last, where they stay
      std::string_view text = vocabulary_.pieces[i].text;
      if (text.size() > kMaxUnit) continue;
      ids.resize(0);
      try {
        merge_unit(text, ids, scratch);
      } catch (const NoPieceForByte&) {
        continue;
      }
      if (ids.size() > kMaxIds) continue;
      char padded[16] = {};
      std::memcpy(padded, text.data(), text.size());
      known_.insert(unit_key(padded, text.size()), ids.data(), ids.size());
    }
  }

  void encode_stretch(std::string_view text, bool prefix, Ids& ids, Scratch& scratch) const {
    const char* const end = text.data() + text.size();
    const char* begin = text.data();
    if (prefix) {
      begin = end_of_unit(begin, end, kSpace);
      std::string first = ' ' + std::string(text.data(), begin);
      encode_unit(first.data(), first.size(), first.data() + first.size(), ids, scratch);
    }
    for (const char* block = begin + 1; block < end; block += 64) {
      size_t n = std::min<size_t>(64, size_t(end - block));
      uint64_t mask = cuts_.mask(reinterpret_cast<const uint8_t*>(block), n);
      for (; mask; mask &= mask - 1) {
        const char* cut = block + std::countr_zero(mask);
        encode_coarse(begin, cut, end, ids, scratch);
        begin = cut;
      }
    }
    if (begin < end) encode_coarse(begin, end, end, ids, scratch);
  }

  // What coarse cuts left together: cut exactly, where it is too long for the table.
  void encode_coarse(const char* begin, const char* cut, const char* end, Ids& ids,
                     Scratch& scratch) const {
    if (size_t(cut - begin) <= kMaxUnit)
      return encode_unit(begin, size_t(cut - begin), end, ids, scratch);
    while (begin < cut) {
      Character first = read_character(begin);
      const char* next = end_of_unit(begin + first.size, cut, first.code);
      encode_unit(begin, size_t(next - begin), end, ids, scratch);
      begin = next;
    }
  }

  // The next place where the text may be cut, at or after `p`; `before` is the character before it.
  const char* end_of_unit(const char* p, const char* end, Code before) const {
    while (p < end) {
      Character next = read_character(p);
      if (!joins_.join(before, next.code)) break;
      before = next.code;
      p += next.size;
    }
    return p;
  }

  // One unit of `size` bytes; the text goes on to `end`, which tells what may be read.
  void encode_unit(const char* p, size_t size, const char* end, Ids& ids, Scratch& scratch) const {
    if (size > kMaxUnit) return merge_unit({p, size}, ids, scratch);
    char padded[16] = {};
    const char* source = p;
    if (end - p < 16) source = static_cast<const char*>(std::memcpy(padded, p, size));
    Key key = unit_key(source, size);
    if (size_t n = scratch.units.find(key, ids.room(kMaxIds))) return ids.add(n);
    size_t before = ids.size();
    merge_unit({p, size}, ids, scratch);
    size_t n = ids.size() - before;
    if (n <= kMaxIds) scratch.units.insert(key, ids.data() + before, n);
  }

  void merge_unit(std::string_view unit, Ids& ids, Scratch& scratch) const {
    std::vector<Node>& row = scratch.row;
    row.clear();
    for (size_t at = 0; at < unit.size();) {
      Character character = read_character(unit.data() + at);
      row.push_back({symbols_.of_character(character.code), uint32_t(at)});
      at += character.size;
    }
    row.push_back({kNoSymbol, uint32_t(unit.size())});
    merger_.merge(row);
    for (size_t i = 0; i + 1 < row.size(); i++)
      spell(row[i].symbol, unit.substr(row[i].begin, row[i + 1].begin - row[i].begin), ids);
  }

  // The id of a symbol, or those of its bytes; a space is spelled as the ▁ that it stands for.
  void spell(Symbol symbol, std::string_view text, Ids& ids) const {
    if (symbol != kNoSymbol && symbols_.id(symbol) >= 0) return ids.push(symbols_.id(symbol));
    if (vocabulary_.unknown_id >= 0) return ids.push(vocabulary_.unknown_id);
    if (text == " ") text = kMarkUtf8;
    for (char c : text) {
      int32_t id = vocabulary_.byte_ids[uint8_t(c)];
      if (id < 0) throw NoPieceForByte{uint8_t(c)};
      ids.push(id);
    }
  }

  // A run of unknown characters is one unknown id.
  void join_unknown(size_t first, Ids& ids) const {
    int32_t* data = ids.data();
    size_t kept = first;
    for (size_t i = first; i < ids.size(); i++)
      if (i == first || data[i] != vocabulary_.unknown_id || data[i - 1] != vocabulary_.unknown_id)
        data[kept++] = data[i];
    ids.resize(kept);
  }

  Vocabulary vocabulary_;
  Symbols symbols_;
  Joins joins_;
  CoarseCuts cuts_;
  Merger merger_;
  UnitTable known_;  // what every scratch begins with
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace spm
