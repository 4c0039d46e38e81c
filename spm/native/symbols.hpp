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
#include <stdexcept>
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

// What two neighbours make, and when.
struct Bigram {
  Rank rank = kNoRank;
  Symbol merged = kNoSymbol;
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

// (left, right) -> merged: open addressing, at most half full, with a bloom filter in front. A slot is
// one word, 21 bits for each half and 22 for what they make, so that the table stays near the core.
class PairTable {
 public:
  static constexpr Symbol kLimit = (1u << 21) - 1;  // symbols are below; the last stands for none

  explicit PairTable(uint64_t seed) : odd_(mixed(seed) | 1) {}

  void reserve(size_t n_pairs) {
    size_t slots = std::bit_ceil(std::max<size_t>(2 * n_pairs, 64));
    slots_.assign(slots, kEmpty);
    shift_ = 64 - std::countr_zero(slots);
    bloom_.assign(kBloomBits / 64, 0);
  }

  void insert(Symbol left, Symbol right, Symbol merged) {
    uint64_t key = key_of(left, right), hash = key * odd_;
    bloom_[bloom_bit(hash) / 64] |= 1ull << bloom_bit(hash) % 64;
    for (size_t i = hash >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i] >> 22 == key) return;
      if (slots_[i] != kEmpty) continue;
      slots_[i] = key << 22 | merged;
      return;
    }
  }

  Symbol find(Symbol left, Symbol right) const {
    uint64_t key = key_of(left, right), hash = key * odd_;
    if (!(bloom_[bloom_bit(hash) / 64] >> bloom_bit(hash) % 64 & 1)) return kNoSymbol;
    for (size_t i = hash >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i] >> 22 == key) return Symbol(slots_[i] & ((1u << 22) - 1));
      if (slots_[i] == kEmpty) return kNoSymbol;
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~0ull;  // no pair: both halves would be the limit
  static constexpr size_t kBloomBits = 1 << 18;
  static size_t bloom_bit(uint64_t hash) { return hash >> 46; }
  static uint64_t key_of(Symbol left, Symbol right) { return uint64_t(left) << 21 | right; }

  uint64_t odd_;
  std::vector<uint64_t> slots_;
  std::vector<uint64_t> bloom_;
  int shift_ = 0;
};

// Text -> symbol, while the pairs are collected.
class TextTable {
 public:
  TextTable(const std::vector<Mergeable>& pieces, uint64_t seed)
      : pieces_(pieces), seed_(seed), slots_(std::bit_ceil(2 * pieces.size() + 1), kNoSymbol) {
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
    size_t mask = slots_.size() - 1, i = hash_text(text, seed_) & mask;
    while (slots_[i] != kNoSymbol && pieces_[slots_[i]].text != text) i = (i + 1) & mask;
    return i;
  }
  const std::vector<Mergeable>& pieces_;
  uint64_t seed_;
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

// The one character that `text` is, if it is one.
inline bool is_character(std::string_view text, Code& code) {
  Character c = read_character(text.data(), text.data() + text.size());
  code = c.code;
  return c.size == text.size();
}

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
    collect_pairs(pieces, seed);
    for (Code x = 0; x < 128; x++)
      for (Code y = 0; y < 128; y++) ascii_[x * 128 + y] = merged(characters_[x], characters_[y]);
  }

  size_t size() const { return ids_.size(); }
  Symbol of_character(Code code) const { return characters_[code]; }
  int32_t id(Symbol symbol) const { return ids_[symbol]; }  // -1: a virtual symbol

  Bigram bigram(Symbol left, Symbol right) const { return bigram_of(merged(left, right)); }

  // The bigram of two ASCII characters, which most rows begin with.
  Bigram ascii_bigram(Code x, Code y) const { return bigram_of(ascii_[x * 128 + y]); }

 private:
  Symbol merged(Symbol left, Symbol right) const {
    return std::max(left, right) < PairTable::kLimit ? pairs_.find(left, right) : kNoSymbol;
  }
  Bigram bigram_of(Symbol merged) const {
    return merged == kNoSymbol ? Bigram{} : Bigram{ranks_[merged], merged};
  }

  void collect_pairs(const std::vector<Mergeable>& pieces, uint64_t seed) {
    struct Pair {
      Symbol left, right, merged;
    };
    TextTable by_text(pieces, seed);
    std::vector<Pair> pairs;
    pairs.reserve(2 * pieces.size());
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
  std::vector<Rank> ranks_;  // of pieces
  std::vector<Symbol> ascii_ = std::vector<Symbol>(128 * 128, kNoSymbol);
};

}  // namespace spm
