// The exact merge of one unit: symbols in, symbols out. The specification is spm/text/spm.py.
#pragma once

#include <queue>
#include <vector>

#include "symbols.hpp"

namespace spm {

// A symbol in the row and the byte where its text begins; a character that is no symbol is kNoSymbol.
// `code` is the character's, and means nothing once a symbol has merged.
struct Node {
  Symbol symbol;
  uint32_t begin;
  Code code;
};

// A short row while it merges. For a few symbols, looking for the best bigram again and again beats any
// agenda. A bigram's key is its rank, its place and its merge, in this order, so that the smallest
// is the best and of equal ranks the leftmost. A merge leaves a gap where its right half was. What is
// merged can hardly be predicted, so a step has no branch: both ends have a symbol that is none.
class ShortRow {
 public:
  static constexpr size_t kMost = 62;  // symbols

  ShortRow() = default;
  ShortRow(const Symbols& symbols, const Node* row, size_t n) : alive_((uint64_t(4) << n) - 1), n_(n) {
    row_[0] = row_[n + 1] = kNoSymbol;
    for (size_t i = 0; i < n; i++) row_[i + 1] = row[i].symbol;
    rounded_ = std::max<size_t>(16, (n + 8) & ~size_t(7));
    keys_[0] = kNever;
    for (size_t i = 1; i < n; i++) keys_[i] = key(i, of_characters(symbols, row[i - 1], row[i]));
    for (size_t i = n; i < rounded_; i++) keys_[i] = kNever;
  }

  // Makes the best merge; false if there is none.
  bool step(const Symbols& symbols) {
    uint64_t best = smallest();
    if (best == kNever) return false;
    size_t left = best >> 22 & 63, right = next(left), behind = next(right), before = previous(left);
    Symbol merged = row_[left] = symbols.made(Symbol(best & ((1u << 22) - 1)));
    alive_ &= ~(uint64_t(1) << right);
    keys_[right] = kNever;
    keys_[left] = key(left, symbols.bigram(merged, row_[behind]));
    keys_[before] = key(before, symbols.bigram(row_[before], merged));
    return true;
  }

  // Leaves what remains at the beginning of the row that it was made of; returns how many.
  size_t write(Node* row) const {
    size_t kept = 0;
    for (size_t i = next(0); i <= n_; i = next(i)) {
      row[kept] = row[i - 1];
      row[kept++].symbol = row_[i];
    }
    return kept;
  }

 private:
  static constexpr uint64_t kNever = ~0ull;

  static Bigram of_characters(const Symbols& symbols, const Node& left, const Node& right) {
    return symbols.is_small(left.code | right.code) ? symbols.small_bigram(left.code, right.code)
                                                    : symbols.bigram(left.symbol, right.symbol);
  }

  static uint64_t key(size_t place, Bigram bigram) {
    uint64_t key = (uint64_t(bigram.rank) << 6 | place) << 22 | (bigram.merge & ((1u << 22) - 1));
    return bigram.merge == kNoSymbol ? kNever : key;
  }

  // Most rows are of fewer than sixteen.
  uint64_t smallest() const {
    uint64_t least = std::min(smallest_of_eight(keys_), smallest_of_eight(keys_ + 8));
    for (const uint64_t* k = keys_ + 16; k < keys_ + rounded_; k += 8)
      least = std::min(least, smallest_of_eight(k));
    return least;
  }
  static uint64_t smallest_of_eight(const uint64_t* k) {
    uint64_t a = std::min(k[0], k[1]), b = std::min(k[2], k[3]), c = std::min(k[4], k[5]),
             d = std::min(k[6], k[7]);
    return std::min(std::min(a, b), std::min(c, d));
  }

  size_t next(size_t place) const { return size_t(std::countr_zero(alive_ & (~uint64_t(1) << place))); }
  size_t previous(size_t place) const {
    return 63 - size_t(std::countl_zero(alive_ & ((uint64_t(1) << place) - 1)));
  }

  uint64_t alive_;  // the places that are no gaps; 0 and n + 1 are the ends
  size_t n_, rounded_;
  Symbol row_[kMost + 2];
  uint64_t keys_[kMost + 8];
};

class Merger {
 public:
  explicit Merger(const Symbols& symbols) : symbols_(symbols) {}

  // `row` has n <= ShortRow::kMost symbols; returns how many remain, at its beginning.
  size_t merge_short(Node* row, size_t n) const {
    ShortRow merging(symbols_, row, n);
    while (merging.step(symbols_)) {
    }
    return merging.write(row);
  }

  // As in the specification. An entry is outdated if its left symbol would now merge at another rank;
  // if it would merge at the same rank the entry stands for that merge, wherever it came from.
  void merge_long(std::vector<Node>& row) const {
    struct Entry {
      Rank rank;
      uint32_t left;
      bool operator<(const Entry& other) const {
        return rank > other.rank || (rank == other.rank && left > other.left);
      }
    };
    uint32_t n = uint32_t(row.size());
    std::vector<uint32_t> before(n + 1), after(n + 1);
    std::vector<Bigram> bigrams(n + 1);  // what a symbol and the next one make
    for (uint32_t i = 0; i <= n; i++) before[i] = i - 1, after[i] = i + 1;
    auto consider = [&](uint32_t left) {
      bigrams[left] = after[left] < n ? symbols_.bigram(row[left].symbol, row[after[left]].symbol) : Bigram{};
      return bigrams[left].rank;
    };
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < n; i++)
      if (Rank rank = consider(i); rank != kNoRank) entries.push_back({rank, i});
    std::priority_queue<Entry> agenda(std::less<Entry>(), std::move(entries));
    while (!agenda.empty()) {
      auto [rank, left] = agenda.top();
      agenda.pop();
      if (bigrams[left].rank != rank) continue;
      uint32_t right = after[left];
      row[left].symbol = symbols_.made(bigrams[left].merge);
      row[right].begin = kSwallowed;
      bigrams[right] = Bigram{};
      after[left] = after[right];
      before[after[left]] = left;
      if (Rank next = consider(left); next != kNoRank) agenda.push({next, left});
      if (left != 0)
        if (Rank next = consider(before[left]); next != kNoRank) agenda.push({next, before[left]});
    }
    std::erase_if(row, [](const Node& node) { return node.begin == kSwallowed; });
  }

 private:
  static constexpr uint32_t kSwallowed = std::numeric_limits<uint32_t>::max();

  const Symbols& symbols_;
};

}  // namespace spm
