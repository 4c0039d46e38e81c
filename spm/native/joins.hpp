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
  Joins(const std::vector<Mergeable>& pieces, uint64_t seed) : others_(pieces.size(), seed) {
    for (const Mergeable& piece : pieces) {
      const char *p = piece.text.data(), *end = p + piece.text.size();
      Character left = read_character(p, end);
      for (p += left.size; p < end; p += left.size) {
        Character right = read_character(p, end);
        add(left.code, right.code);
        left = right;
      }
    }
  }

  bool join(Code x, Code y) const { return (x | y) < 128 ? ascii_[x][y] : others_.contains(x, y); }

  // Calls visit(x, y) for every pair that joins.
  template <class Visit>
  void visit_all(Visit visit) const {
    for (Code x = 0; x < 128; x++)
      for (Code y = 0; y < 128; y++)
        if (ascii_[x][y]) visit(x, y);
    others_.visit(visit);
  }

 private:
  void add(Code x, Code y) {
    if ((x | y) < 128)
      ascii_[x][y] = true;
    else
      others_.insert(x, y);
  }

  // Open addressing that grows: how many different pairs there are is known only in the end.
  class PairSet {
   public:
    PairSet(size_t n, uint64_t seed)
        : odd_(mixed(seed) | 1), slots_(std::bit_ceil(std::max<size_t>(n, 64)), kEmpty) {}

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
    static constexpr uint64_t kEmpty = ~0ull;  // no pair: no character has the number 2^32 - 1

    size_t find(Code x, Code y) const {
      uint64_t key = uint64_t(x) << 32 | y;
      size_t mask = slots_.size() - 1, i = (key * odd_ >> 32) & mask;
      while (slots_[i] != kEmpty && slots_[i] != key) i = (i + 1) & mask;
      return i;
    }
    void grow() {
      std::vector<uint64_t> old(2 * slots_.size(), kEmpty);
      old.swap(slots_);
      for (uint64_t key : old)
        if (key != kEmpty) slots_[find(Code(key >> 32), Code(key))] = key;
    }
    uint64_t odd_;
    std::vector<uint64_t> slots_;
    size_t size_ = 0;
  };

  std::array<std::array<bool, 128>, 128> ascii_{};
  PairSet others_;
};

}  // namespace spm
