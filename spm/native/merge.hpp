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
  // its rank and its place, so that the smallest is the best and of equal ranks the leftmost; a merge
  // leaves a gap where its right half was. `row` has n <= kShort symbols; returns how many remain.
  size_t merge_short(Node* row, size_t n) const {
    int32_t keys[kShort];
    Symbol merged[kShort];
    uint32_t alive = n < 32 ? (1u << n) - 1 : ~0u;
    auto note = [&](size_t left, Bigram bigram) {
      keys[left] = bigram.rank == kNoRank ? kNever : int32_t(bigram.rank << 5 | left);
      merged[left] = bigram.merged;
    };
    for (size_t i = 0; i + 1 < n; i++) note(i, bigram_of_characters(row[i], row[i + 1]));
    keys[n - 1] = kNever;
    for (;;) {
      int32_t best = kNever;
      for (uint32_t left = alive; left; left &= left - 1) best = std::min(best, keys[std::countr_zero(left)]);
      if (best == kNever) break;
      size_t left = size_t(best) & 31, right = size_t(std::countr_zero(alive & (~1u << left)));
      row[left].symbol = merged[left];
      alive &= ~(1u << right);
      keys[left] = kNever;
      if (uint32_t behind = alive & (~0u << right))
        note(left, symbols_.bigram(row[left].symbol, row[std::countr_zero(behind)].symbol));
      if (uint32_t before = alive & ((1u << left) - 1)) {
        size_t neighbour = 31 - size_t(std::countl_zero(before));
        note(neighbour, symbols_.bigram(row[neighbour].symbol, row[left].symbol));
      }
    }
    size_t kept = 0;
    for (; alive; alive &= alive - 1) row[kept++] = row[std::countr_zero(alive)];
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

  static constexpr int32_t kNever = std::numeric_limits<int32_t>::max();

  const Symbols& symbols_;
};

}  // namespace spm
