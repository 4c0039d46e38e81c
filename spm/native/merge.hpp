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

class Merger {
 public:
  static constexpr size_t kShort = 32;  // symbols

  explicit Merger(const Symbols& symbols) : symbols_(symbols) {}

  // For a few symbols, looking for the best bigram again and again beats any agenda. A bigram's key is
  // its rank, its place and what it makes, in this order, so that the smallest is the best and of equal
  // ranks the leftmost. A merge leaves a gap where its right half was. What is merged can hardly be
  // predicted, so there is no branch but the end: the row has a symbol that is none at both ends.
  // `row` has n <= kShort symbols; returns how many remain.
  size_t merge_short(Node* row, size_t n) const {
    Symbol symbols[kShort + 2];
    uint64_t keys[kShort + 8];
    uint64_t alive = (uint64_t(4) << n) - 1;  // places 0 and n + 1 are the ends
    symbols[0] = symbols[n + 1] = kNoSymbol;
    for (size_t i = 0; i < n; i++) symbols[i + 1] = row[i].symbol;
    for (size_t i = 1; i < n; i++) keys[i] = key(i, bigram_of_characters(row[i - 1], row[i]));
    size_t rounded = (n + 8) & ~size_t(7);
    keys[0] = kNever;
    for (size_t i = n; i < rounded; i++) keys[i] = kNever;
    for (;;) {
      uint64_t best = smallest(keys, rounded);
      if (best == kNever) break;
      size_t left = best >> 22 & 63;
      size_t right = next(alive, left), behind = next(alive, right), before = previous(alive, left);
      Symbol merged = symbols[left] = Symbol(best & ((1u << 22) - 1));
      alive &= ~(uint64_t(1) << right);
      keys[right] = kNever;
      keys[left] = key(left, symbols_.bigram(merged, symbols[behind]));
      keys[before] = key(before, symbols_.bigram(symbols[before], merged));
    }
    size_t kept = 0;
    for (size_t i = next(alive, 0); i <= n; i = next(alive, i)) {
      row[kept] = row[i - 1];
      row[kept++].symbol = symbols[i];
    }
    return kept;
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
      row[left].symbol = bigrams[left].merged;
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
  Bigram bigram_of_characters(const Node& left, const Node& right) const {
    return (left.code | right.code) < 128 ? symbols_.ascii_bigram(left.code, right.code)
                                          : symbols_.bigram(left.symbol, right.symbol);
  }

  static constexpr uint64_t kNever = ~0ull;

  static uint64_t key(size_t place, Bigram bigram) {
    uint64_t key = (uint64_t(bigram.rank) << 6 | place) << 22 | (bigram.merged & ((1u << 22) - 1));
    return bigram.merged == kNoSymbol ? kNever : key;
  }

  // Eight at a time and without a branch.
  static uint64_t smallest(const uint64_t* keys, size_t n) {
    uint64_t least = kNever;
    for (const uint64_t* k = keys; k < keys + n; k += 8) {
      uint64_t a = std::min(k[0], k[1]), b = std::min(k[2], k[3]);
      uint64_t c = std::min(k[4], k[5]), d = std::min(k[6], k[7]);
      least = std::min(least, std::min(std::min(a, b), std::min(c, d)));
    }
    return least;
  }

  static size_t next(uint64_t alive, size_t place) {
    return size_t(std::countr_zero(alive & (~uint64_t(1) << place)));
  }
  static size_t previous(uint64_t alive, size_t place) {
    return 63 - size_t(std::countl_zero(alive & ((uint64_t(1) << place) - 1)));
  }

  const Symbols& symbols_;
};

}  // namespace spm
