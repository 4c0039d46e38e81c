// Where a text may be cut, derived from the vocabulary alone.
//
// Cut lemma. If no piece that may be a merge result contains character x followed by character y, then
// nothing ever merges across x|y, and both sides can be encoded apart. Proof: the first merge across
// the border would result in a piece that contains it.
//
// So every pair of neighbouring characters inside such pieces is collected: they join. All other pairs
// are cuts, whatever the vocabulary; no rule about ▁ or words is needed or used.
#pragma once

#include <array>
#include <vector>

#include "symbols.hpp"

namespace spm {

class Joins {
 public:
  explicit Joins(const std::vector<Mergeable>& pieces) {
    size_t n_pairs = 0;
    for (const Mergeable& piece : pieces) n_pairs += piece.text.size();
    others_.reserve(n_pairs / 4);
    for (const Mergeable& piece : pieces) {
      const char *p = piece.text.data(), *end = p + piece.text.size();
      Character left = read_character(p);
      for (p += left.size; p < end; p += left.size) {
        Character right = read_character(p);
        if ((left.code | right.code) < 128)
          ascii_[left.code][right.code] = true;
        else
          others_.insert(left.code, right.code);
        left = right;
      }
    }
  }

  bool join(Code x, Code y) const {
    return (x | y) < 128 ? ascii_[x][y] : others_.contains(x, y);
  }

  // Calls visit(x, y) for every pair that joins and is not ASCII on both sides.
  template <class Visit>
  void visit_others(Visit visit) const {
    others_.visit(visit);
  }

 private:
  // Open addressing that grows: how many different pairs there are is known only in the end.
  class PairSet {
   public:
    void reserve(size_t n) { slots_.assign(std::bit_ceil(std::max<size_t>(n, 64)), kEmpty); }

    void insert(Code x, Code y) {
      if (2 * ++size_ > slots_.size()) grow();
      uint64_t& slot = slots_[find(x, y)];
      if (slot != kEmpty) size_--;
      slot = uint64_t(x) << 32 | y;
    }
    bool contains(Code x, Code y) const { return slots_[find(x, y)] != kEmpty; }

    template <class Visit>
    void visit(Visit visit) const {
      for (uint64_t key : slots_)
        if (key != kEmpty) visit(Code(key >> 32), Code(key));
    }

   private:
    static constexpr uint64_t kEmpty = ~0ull;

    size_t find(Code x, Code y) const {
      uint64_t key = uint64_t(x) << 32 | y;
      size_t mask = slots_.size() - 1, i = (key * 0x9E3779B97F4A7C15ull >> 32) & mask;
      while (slots_[i] != kEmpty && slots_[i] != key) i = (i + 1) & mask;
      return i;
    }
    void grow() {
      std::vector<uint64_t> old(2 * slots_.size(), kEmpty);
      old.swap(slots_);
      for (uint64_t key : old)
        if (key != kEmpty) slots_[find(Code(key >> 32), Code(key))] = key;
    }
    std::vector<uint64_t> slots_;
    size_t size_ = 0;
  };

  std::array<std::array<bool, 128>, 128> ascii_{};
  PairSet others_;
};

// Cuts found without a branch, 64 borders at a time, from the two bytes beside each border.
//
// Exact between ASCII characters. All other characters are one class, which is cut from a character
// only if none of them joins it; between two of them, and inside one, nothing is cut. So some cuts are
// missed, and `Joins` finds them where a unit comes out too long. The byte 0x81 may end a typed ▁,
// which joins as a space does: nothing is cut after it.
class CoarseCuts {
 public:
  explicit CoarseCuts(const Joins& joins) {
    for (int byte = 0; byte < 256; byte++) {
      row_[byte] = byte < 128 ? byte : byte == 0x81 ? kNever : kOther;
      column_[byte] = byte < 128 ? byte : byte < 0xC0 ? kNever : kOther;
    }
    for (int x = 0; x < 128; x++) {
      for (int y = 0; y < 128; y++) cut_[x][y] = !joins.join(Code(x), Code(y));
      cut_[x][kOther] = !joins.join(Code(x), kSpace);  // it may be a typed ▁
      cut_[kOther][x] = true;
    }
    joins.visit_others([&](Code x, Code y) {
      if (x < 128) cut_[x][kOther] = false;
      if (y < 128) cut_[kOther][y] = false;
    });
  }

  // Bit k says that there is a cut before p[k], for k below n <= 64; p[-1] must be readable.
  uint64_t mask(const uint8_t* p, size_t n) const {
    uint64_t mask = 0;
    for (size_t k = 0; k < n; k++) mask |= uint64_t(cut_[row_[p[k - 1]]][column_[p[k]]]) << k;
    return mask;
  }

 private:
  static constexpr uint8_t kOther = 128, kNever = 129;
  std::array<std::array<bool, 130>, 130> cut_{};
  std::array<uint8_t, 256> row_{}, column_{};
};

}  // namespace spm
