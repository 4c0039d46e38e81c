// The vocabulary as the merge loop wants it: symbols, and which two of them make which third.
//
// Theory. A symbol is a text that can stand in the row that merges: a piece that may be a merge result,
// or a single character. Equal texts are equal symbols, so a symbol is a number, and "is the
// concatenation of two neighbours a piece, and of what rank?" is one look into a table of pairs. A
// character that is no piece but occurs inside one gets a number too (a virtual symbol, without an id).
//
// SPM: the table holds every split of every piece whose two halves are symbols, and the piece, by which
// the rank is known. BPE: it holds the merges of the vocabulary, each with its number, which is its rank;
// what a merge makes stands in a list beside.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "huge_pages.hpp"
#include "text.hpp"

namespace spm {

using Symbol = uint32_t;
using Rank = uint32_t;

constexpr Symbol kNoSymbol = std::numeric_limits<uint32_t>::max();
constexpr Rank kNoRank = std::numeric_limits<uint32_t>::max();

// A piece that a merge may result in.
struct Mergeable {
  std::string text;  // space form
  Rank rank;         // the smallest merges first; equal ranks are tied
  int32_t id;        // -1: it is spelled like what is no piece
};

// Which merge two neighbours are, kNoSymbol if none, and when it is its turn.
struct Bigram {
  Rank rank = kNoRank;
  Symbol merge = kNoSymbol;
};

inline uint64_t hash_text(std::string_view text, uint64_t seed) {
  uint64_t h = (seed ^ text.size()) * 0x9E3779B97F4A7C15ull;
  const char* p = text.data();
  size_t n = text.size();
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    h = (h ^ word) * 0xD6E8FEB86659FD93ull;
    h ^= h >> 32;
  }
  uint64_t rest = 0;
  std::memcpy(&rest, p, n);
  h = (h ^ rest) * 0xD6E8FEB86659FD93ull;
  return h ^ h >> 29;
}

// (left, right) -> merge: open addressing, at most half full. A slot is one word, 21 bits for each half
// and 22 for the merge, so that the table stays near the processor.
class PairTable {
 public:
  static constexpr Symbol kLimit = (1u << 21) - 1;       // symbols are below
  static constexpr Symbol kMergeLimit = (1u << 22) - 1;  // and merges below this

  struct Pair {
    Symbol left, right, merge;
  };

  explicit PairTable(uint64_t seed) : odd_(mixed(seed) | 1) {}

  // Of equal pairs the first counts.
  void build(const std::vector<Pair>& pairs) {
    size_t slots = std::bit_ceil(std::max<size_t>(2 * pairs.size(), 64));
    while (!build(pairs, slots)) slots *= 2;
  }

  // Looks at a window of slots without a branch: which of them it is, and whether it is any, cannot be
  // predicted, and a wrong guess costs more than the look. Halves that are no symbols are never found.
  Symbol find(Symbol left, Symbol right) const {
    uint64_t key = key_of(left, right);
    for (const uint64_t* slot = &slots_[key * odd_ >> shift_];; slot += kWindow) {
      Symbol found = kNoSymbol;
      bool empty = false;
      for (size_t k = 0; k < kWindow; k++) {
        found = slot[k] >> 22 == key ? Symbol(slot[k] & kMergeBits) : found;
        empty |= slot[k] == kEmpty;
      }
      if (empty | (found != kNoSymbol)) [[likely]]
        return found;
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~0ull;  // no pair: both halves would be the limit
  static constexpr uint64_t kMergeBits = (1u << 22) - 1;
  static constexpr size_t kWindow = 4;
  static constexpr size_t kTail = 64;  // slots behind the last, so that nothing wraps around

  static uint64_t key_of(Symbol left, Symbol right) { return uint64_t(left) << 21 | right; }

  bool build(const std::vector<Pair>& pairs, size_t slots) {
    fill_huge(slots_, slots + kTail + kWindow, kEmpty);
    shift_ = 64 - std::countr_zero(slots);
    for (const Pair& pair : pairs) {
      uint64_t key = key_of(pair.left, pair.right);
      size_t i = key * odd_ >> shift_;
      while (slots_[i] != kEmpty && slots_[i] >> 22 != key) i++;
      if (i >= slots + kTail) return false;
      if (slots_[i] == kEmpty) slots_[i] = key << 22 | pair.merge;
    }
    return true;
  }

  uint64_t odd_;
  std::vector<uint64_t> slots_;
  int shift_ = 0;
};

// The hashes of all parts of a text in one pass: a polynomial in a secret base, modulo 2^64.
class PartHashes {
 public:
  explicit PartHashes(uint64_t seed) : base_(mixed(seed) | 1), before_{0}, powers_{1} {}

  void read(std::string_view text) {
    before_.resize(1);
    for (char c : text) before_.push_back(before_.back() * base_ + uint8_t(c) + 1);
    while (powers_.size() < before_.size()) powers_.push_back(powers_.back() * base_);
  }
  uint64_t of(size_t begin, size_t end) const {
    uint64_t h = before_[end] - before_[begin] * powers_[end - begin];
    return (h ^ h >> 29) * 0x9E3779B97F4A7C15ull;
  }

 private:
  uint64_t base_;
  std::vector<uint64_t> before_, powers_;
};

// Text -> symbol, while the pairs are collected.
class TextTable {
 public:
  TextTable(const std::vector<Mergeable>& pieces, PartHashes& hashes)
      : pieces_(pieces),
        slots_(std::bit_ceil(2 * pieces.size() + 2)),
        shift_(64 - std::countr_zero(slots_.size())) {
    for (Symbol s = 0; s < pieces.size(); s++) {
      hashes.read(pieces[s].text);
      uint64_t hash = hashes.of(0, pieces[s].text.size());
      slots_[slot(pieces[s].text, hash)] = {uint32_t(hash), s};
    }
  }

  Symbol find(std::string_view text, uint64_t hash) const { return slots_[slot(text, hash)].symbol; }

 private:
  struct Slot {
    uint32_t tag = 0;
    Symbol symbol = kNoSymbol;
  };

  size_t slot(std::string_view text, uint64_t hash) const {
    size_t i = hash >> shift_;
    while (slots_[i].symbol != kNoSymbol &&
           (slots_[i].tag != uint32_t(hash) || pieces_[slots_[i].symbol].text != text))
      i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  const std::vector<Mergeable>& pieces_;
  std::vector<Slot> slots_;
  int shift_;
};

// Code point -> something, dense for the basic plane, hashed above it.
template <class Value>
class CharacterTable {
 public:
  explicit CharacterTable(Value absent) : absent_(absent), basic_(0x10000, absent) {}

  Value operator[](Code code) const {
    if (code < basic_.size()) return basic_[code];
    auto found = above_.find(code);
    return found == above_.end() ? absent_ : found->second;
  }
  Value& at(Code code) {
    return code < basic_.size() ? basic_[code] : above_.try_emplace(code, absent_).first->second;
  }

 private:
  Value absent_;
  std::vector<Value> basic_;
  std::unordered_map<Code, Value> above_;
};

// The one character that `text` is, if it is one.
inline bool is_character(std::string_view text, Code& code) {
  Character c = read_character(text.data(), text.data() + text.size());
  code = c.code;
  return c.size == text.size();
}

// Symbols that merge by the rank of a pair: what `read_merges` (merges.hpp) makes of a vocabulary.
struct RankedMerges {
  std::vector<int32_t> ids;  // of each symbol; -1: it has none
  std::vector<std::pair<Code, Symbol>> characters;
  std::vector<PairTable::Pair> pairs;  // merges are their ranks
  std::vector<Symbol> made;            // by each merge
  bool bytes = false;                  // characters are bytes
};

class Symbols {
 public:
  Symbols(const std::vector<Mergeable>& pieces, uint64_t seed) : pairs_(seed) {
    if (pieces.size() >= PairTable::kLimit) throw std::length_error("more pieces than the core can number");
    ids_.reserve(pieces.size());
    ranks_.reserve(pieces.size());
    for (const Mergeable& piece : pieces) {
      if (Code code; is_character(piece.text, code)) characters_.at(code) = Symbol(ids_.size());
      ids_.push_back(piece.id);
      ranks_.push_back(piece.rank);
    }
    ranks_.push_back(kNoRank);
    collect_pairs(pieces, seed);
    look_up_small();
  }

  Symbols(RankedMerges merges, uint64_t seed)
      : pairs_(seed), ids_(std::move(merges.ids)), made_(std::move(merges.made)) {
    if (ids_.size() >= PairTable::kLimit || made_.size() >= PairTable::kMergeLimit)
      throw std::length_error("more symbols or merges than the core can number");
    for (auto [code, symbol] : merges.characters) characters_.at(code) = symbol;
    pairs_.build(merges.pairs);
    if (merges.bytes) small_bits_ = 8;
    look_up_small();
  }

  size_t size() const { return ids_.size(); }
  Symbol of_character(Code code) const { return characters_[code]; }
  int32_t id(Symbol symbol) const { return ids_[symbol]; }  // -1: a virtual symbol

  Bigram bigram(Symbol left, Symbol right) const { return bigram_of(pairs_.find(left, right)); }

  // The symbol that a merge makes.
  Symbol made(Symbol merge) const { return made_.empty() ? merge : made_[merge]; }

  // The bigram of two ASCII characters, or of two bytes, which most rows begin with.
  bool is_small(Code code) const { return code >> small_bits_ == 0; }
  Bigram small_bigram(Code x, Code y) const { return small_[x << small_bits_ | y]; }

 private:
  Bigram bigram_of(Symbol merge) const {
    if (ranks_.empty()) return {merge, merge};
    return {ranks_[std::min<size_t>(merge, ranks_.size() - 1)], merge};
  }

  void look_up_small() {
    const Code end = Code(1) << small_bits_;
    small_.reserve(end * end);
    for (Code x = 0; x < end; x++)
      for (Code y = 0; y < end; y++) small_.push_back(bigram(characters_[x], characters_[y]));
  }

  void collect_pairs(const std::vector<Mergeable>& pieces, uint64_t seed) {
    PartHashes hashes(seed);
    TextTable by_text(pieces, hashes);
    std::vector<PairTable::Pair> pairs;
    pairs.reserve(2 * pieces.size());
    for (Symbol merged = 0; merged < pieces.size(); merged++) {
      std::string_view text = pieces[merged].text;
      hashes.read(text);
      for (size_t at = lead_size(text[0]); at < text.size(); at += lead_size(text[at])) {
        Symbol left = half(text.substr(0, at), hashes.of(0, at), by_text);
        if (left == kNoSymbol) continue;
        Symbol right = half(text.substr(at), hashes.of(at, text.size()), by_text);
        if (right != kNoSymbol) pairs.push_back({left, right, merged});
      }
    }
    pairs_.build(pairs);
  }

  // The symbol of one half of a piece; a character becomes one if it is none yet.
  Symbol half(std::string_view text, uint64_t hash, const TextTable& by_text) {
    if (Symbol found = by_text.find(text, hash); found != kNoSymbol) return found;
    Code code;
    if (!is_character(text, code)) return kNoSymbol;
    Symbol& symbol = characters_.at(code);
    if (symbol == kNoSymbol) {
      if (ids_.size() >= PairTable::kLimit) throw std::length_error("more symbols than the core can number");
      symbol = Symbol(ids_.size());
      ids_.push_back(-1);
    }
    return symbol;
  }

  CharacterTable<Symbol> characters_{kNoSymbol};
  PairTable pairs_;
  std::vector<int32_t> ids_;
  std::vector<Rank> ranks_;   // of pieces, and kNoRank for all that is none; empty: a merge is its rank
  std::vector<Symbol> made_;  // empty: a merge makes the symbol of its own number
  unsigned small_bits_ = 7;   // how many bits small codes have
  std::vector<Bigram> small_;
};

}  // namespace spm
