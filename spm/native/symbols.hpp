// The vocabulary as the merge loop wants it: symbols, and which two of them make which third.
//
// Theory. A symbol is a text that can stand in the row that merges: a piece that may be a merge result,
// or a single character. Equal texts are equal symbols, so a symbol is a number, and "is the
// concatenation of two neighbours a piece, and of what rank?" is one look into a table of pairs. The
// table holds every split of every piece whose two halves are symbols; a character that is no piece
// but occurs inside one gets a number too (a virtual symbol, without an id).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

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
  int32_t id;
};

inline uint64_t hash_text(std::string_view text) {
  uint64_t h = text.size() * 0x9E3779B97F4A7C15ull;
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

// (left, right) -> merged symbol: open addressing, at most half full, with a bloom filter in front.
class PairTable {
 public:
  void reserve(size_t n_pairs) {
    size_t slots = std::bit_ceil(std::max<size_t>(2 * n_pairs, 64));
    slots_.assign(slots, Slot{kEmpty, kNoSymbol});
    shift_ = 64 - std::countr_zero(slots);
    bloom_.assign(kBloomBits / 64, 0);
  }

  void insert(Symbol left, Symbol right, Symbol merged) {
    uint64_t key = uint64_t(left) << 32 | right, hash = key * kOdd;
    bloom_[bloom_bit(hash) / 64] |= 1ull << bloom_bit(hash) % 64;
    for (size_t i = hash >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return;
      if (slots_[i].key != kEmpty) continue;
      slots_[i] = {key, merged};
      return;
    }
  }

  Symbol find(Symbol left, Symbol right) const {
    uint64_t key = uint64_t(left) << 32 | right, hash = key * kOdd;
    if (!(bloom_[bloom_bit(hash) / 64] >> bloom_bit(hash) % 64 & 1)) return kNoSymbol;
    for (size_t i = hash >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return slots_[i].merged;
      if (slots_[i].key == kEmpty) return kNoSymbol;
    }
  }

 private:
  struct Slot {
    uint64_t key;
    Symbol merged;
  };
  static constexpr uint64_t kEmpty = ~0ull;  // no pair: kNoSymbol is in none
  static constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ull;
  static constexpr size_t kBloomBits = 1 << 18;
  static size_t bloom_bit(uint64_t hash) { return hash >> 46; }

  std::vector<Slot> slots_;
  std::vector<uint64_t> bloom_;
  int shift_ = 0;
};

// Text -> symbol, while the pairs are collected.
class TextTable {
 public:
  explicit TextTable(const std::vector<Mergeable>& pieces)
      : pieces_(pieces), slots_(std::bit_ceil(2 * pieces.size() + 1), kNoSymbol) {
    for (Symbol s = 0; s < pieces.size(); s++) {
      const std::string& text = pieces[s].text;
      if (text.size() >= sizes_.size()) sizes_.resize(text.size() + 1);
      sizes_[text.size()] = true;
      slots_[slot(text)] = s;
    }
  }

  // Sizes that no piece has are answered without a look at the text: a piece of a megabyte has a
  // million splits, and to hash both halves of each would take for ever.
  Symbol find(std::string_view text) const {
    return text.size() < sizes_.size() && sizes_[text.size()] ? slots_[slot(text)] : kNoSymbol;
  }

 private:
  size_t slot(std::string_view text) const {
    size_t mask = slots_.size() - 1, i = hash_text(text) & mask;
    while (slots_[i] != kNoSymbol && pieces_[slots_[i]].text != text) i = (i + 1) & mask;
    return i;
  }
  const std::vector<Mergeable>& pieces_;
  std::vector<Symbol> slots_;
  std::vector<bool> sizes_;
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

class Symbols {
 public:
  explicit Symbols(const std::vector<Mergeable>& pieces) {
    for (const Mergeable& piece : pieces) {
      Symbol symbol = Symbol(ids_.size());
      ranks_.push_back(piece.rank);
      ids_.push_back(piece.id);
      if (lead_size(piece.text[0]) == piece.text.size())
        characters_.at(read_character(piece.text.data()).code) = symbol;
    }
    collect_pairs(pieces);
  }

  Symbol of_character(Code code) const { return characters_[code]; }
  Symbol merged(Symbol left, Symbol right) const { return pairs_.find(left, right); }
  Rank rank(Symbol symbol) const { return ranks_[symbol]; }
  int32_t id(Symbol symbol) const { return ids_[symbol]; }  // -1: a virtual symbol

 private:
  void collect_pairs(const std::vector<Mergeable>& pieces) {
    struct Pair {
      Symbol left, right, merged;
    };
    TextTable by_text(pieces);
    std::vector<Pair> pairs;
    for (Symbol merged = 0; merged < pieces.size(); merged++) {
      std::string_view text = pieces[merged].text;
      for (size_t at = lead_size(text[0]); at < text.size(); at += lead_size(text[at])) {
        Symbol left = half(text.substr(0, at), by_text);
        if (left == kNoSymbol) continue;
        Symbol right = half(text.substr(at), by_text);
        if (right != kNoSymbol) pairs.push_back({left, right, merged});
      }
    }
    pairs_.reserve(pairs.size());
    for (const Pair& p : pairs) pairs_.insert(p.left, p.right, p.merged);
  }

  // The symbol of one half of a piece; a character becomes one if it is none yet.
  Symbol half(std::string_view text, const TextTable& by_text) {
    if (Symbol found = by_text.find(text); found != kNoSymbol) return found;
    if (lead_size(text[0]) != text.size()) return kNoSymbol;
    Symbol& symbol = characters_.at(read_character(text.data()).code);
    if (symbol == kNoSymbol) {
      symbol = Symbol(ids_.size());
      ids_.push_back(-1);
      ranks_.push_back(kNoRank);
    }
    return symbol;
  }

  CharacterTable<Symbol> characters_{kNoSymbol};
  PairTable pairs_;
  std::vector<Rank> ranks_;
  std::vector<int32_t> ids_;
};

}  // namespace spm
