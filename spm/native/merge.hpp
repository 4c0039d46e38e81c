// The exact merge of one unit: symbols in, symbols out. The specification is spm/text/spm.py.
#pragma once

#include <queue>
#include <vector>

#include "symbols.hpp"

namespace spm {

// A symbol in the row and the byte where its text begins; a character that is no symbol is kNoSymbol.
struct Node {
  Symbol symbol;
  uint32_t begin;
};

class Merger {
 public:
  explicit Merger(const Symbols& symbols) : symbols_(symbols) {}

  // Reduces the row in place. Its last node is a sentinel that only says where the text ends.
  void merge(std::vector<Node>& row) const {
    if (row.size() <= kShort)
      merge_short(row);
    else
      merge_long(row);
  }

 private:
  static constexpr size_t kShort = 32;
  static constexpr uint32_t kSwallowed = std::numeric_limits<uint32_t>::max();

  struct Bigram {
    Rank rank;
    Symbol merged;
  };

  Bigram bigram(const Node& left, const Node& right) const {
    if (left.symbol == kNoSymbol || right.symbol == kNoSymbol) return {kNoRank, kNoSymbol};
    Symbol merged = symbols_.merged(left.symbol, right.symbol);
    return {merged == kNoSymbol ? kNoRank : symbols_.rank(merged), merged};
  }

  // For a few symbols, looking for the best bigram again and again beats any agenda.
  void merge_short(std::vector<Node>& row) const {
    Bigram bigrams[kShort];
    size_t n = row.size() - 1;  // symbols; the sentinel stands at row[n]
    for (size_t i = 0; i + 1 < n; i++) bigrams[i] = bigram(row[i], row[i + 1]);
    while (n > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < n; i++)
        if (bigrams[i].rank < bigrams[best].rank) best = i;
      if (bigrams[best].rank == kNoRank) break;
      row[best].symbol = bigrams[best].merged;
      for (size_t i = best + 1; i < n; i++) row[i] = row[i + 1];
      for (size_t i = best + 1; i + 2 < n; i++) bigrams[i] = bigrams[i + 1];
      n--;
      if (best + 1 < n) bigrams[best] = bigram(row[best], row[best + 1]);
      if (best > 0) bigrams[best - 1] = bigram(row[best - 1], row[best]);
    }
    row.resize(n + 1);
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
    uint32_t n = uint32_t(row.size() - 1);
    std::vector<uint32_t> before(n + 1), after(n + 1);
    std::vector<Symbol> merged(n + 1, kNoSymbol);  // what a symbol and the next one make
    for (uint32_t i = 0; i <= n; i++) before[i] = i - 1, after[i] = i + 1;
    auto consider = [&](uint32_t left) {
      Bigram b = after[left] < n ? bigram(row[left], row[after[left]]) : Bigram{kNoRank, kNoSymbol};
      merged[left] = b.merged;
      return b.rank;
    };
    std::vector<Entry> entries;
    for (uint32_t i = 0; i < n; i++)
      if (Rank rank = consider(i); rank != kNoRank) entries.push_back({rank, i});
    std::priority_queue<Entry> agenda(std::less<Entry>(), std::move(entries));
    while (!agenda.empty()) {
      auto [rank, left] = agenda.top();
      agenda.pop();
      if (merged[left] == kNoSymbol || symbols_.rank(merged[left]) != rank) continue;
      uint32_t right = after[left];
      row[left].symbol = merged[left];
      row[right].begin = kSwallowed;
      merged[right] = kNoSymbol;
      after[left] = after[right];
      before[after[left]] = left;
      if (Rank next = consider(left); next != kNoRank) agenda.push({next, left});
      if (left != 0)
        if (Rank next = consider(before[left]); next != kNoRank) agenda.push({next, before[left]});
    }
    std::erase_if(row, [](const Node& node) { return node.begin == kSwallowed; });
  }

  const Symbols& symbols_;
};

}  // namespace spm
