// Pieces and merges as a BPE vocabulary spells them -> symbols and pairs of symbols.
//
// Byte-level vocabularies spell bytes in GPT-2's alphabet, others spell text as it is, with ▁ for spaces. A merge is spelled "left right": the first space behind
// the first byte parts the halves. Of equal merges the first counts, of equal pieces the last.
#pragma once

#include <deque>
#include <unordered_map>

#include "byte_alphabet.hpp"
#include "symbols.hpp"

namespace spm {

struct RankVocabulary {
  std::vector<std::string_view> pieces;  // by id; they and the merges must live while this is read
  std::vector<std::string_view> merges;  // the best first
  bool bytes;                            // byte-level
  bool whole_words;                      // a word that is a piece is that piece, whatever the merges say
  bool whole_newlines;                   // and one of newlines alone
  int32_t byte_ids[256];                 // that spell what is no piece, if not byte-level; -1: none
};

// Texts, each with a number.
class TextNumbers {
 public:
  TextNumbers(size_t n, uint64_t seed) : seed_(seed), slots_(std::bit_ceil(2 * n + 64)) { texts_.reserve(n); }

  uint32_t find(std::string_view text) const { return slots_[slot(text, hash_text(text, seed_))].number; }

  // The text must live as long as this.
  uint32_t insert(std::string_view text) {
    if (2 * (texts_.size() + 1) > slots_.size()) grow();
    uint64_t hash = hash_text(text, seed_);
    Slot& found = slots_[slot(text, hash)];
    if (found.number == kNoSymbol) {
      found = {uint32_t(hash), uint32_t(texts_.size())};
      texts_.push_back(text);
    }
    return found.number;
  }

  size_t size() const { return texts_.size(); }
  std::string_view operator[](uint32_t number) const { return texts_[number]; }

 private:
  struct Slot {
    uint32_t tag = 0, number = kNoSymbol;
  };

  size_t slot(std::string_view text, uint64_t hash) const {
    size_t mask = slots_.size() - 1, i = hash >> 20 & mask;
    while (slots_[i].number != kNoSymbol &&
           (slots_[i].tag != uint32_t(hash) || texts_[slots_[i].number] != text))
      i = (i + 1) & mask;
    return i;
  }
  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.number != kNoSymbol) {
        uint64_t hash = hash_text(texts_[slot.number], seed_);
        slots_[this->slot(texts_[slot.number], hash)] = slot;
      }
  }

  uint64_t seed_;
  std::vector<Slot> slots_;
  std::vector<std::string_view> texts_;
};

// What RankUnits and the cut lemma need to know.
class Merges {
 public:
  Merges(const RankVocabulary& vocabulary, uint64_t seed)
      : vocabulary_(vocabulary), texts_(vocabulary.pieces.size() + 256, seed) {
    if (vocabulary.pieces.size() >= PairTable::kLimit || vocabulary.merges.size() >= PairTable::kMergeLimit)
      throw std::length_error("more pieces or merges than the core can number");
    for (size_t id = 0; id < vocabulary.pieces.size(); id++) {
      Symbol symbol = texts_.insert(vocabulary.pieces[id]);
      if (symbol == ranked.ids.size()) ranked.ids.push_back(0);
      ranked.ids[symbol] = int32_t(id);
    }
    for (size_t rank = 0; rank < vocabulary.merges.size(); rank++) add(vocabulary.merges[rank], Rank(rank));
    vocabulary.bytes ? add_bytes() : add_characters();
    ranked.ids.resize(texts_.size(), -1);
  }

  RankedMerges ranked;

  std::string_view text(Symbol symbol) const { return texts_[symbol]; }
  size_t size() const { return texts_.size(); }
  Symbol find(std::string_view text) const { return texts_.find(text); }

 private:
  void add(std::string_view merge, Rank rank) {
    size_t space = merge.find(' ', 1);
    ranked.made.push_back(0);
    if (space == merge.npos) return;
    std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    joined_.assign(left).append(right);
    Symbol made = texts_.find(joined_);
    if (made == kNoSymbol) made = texts_.insert(kept_.emplace_back(joined_));
    ranked.made.back() = made;
    ranked.pairs.push_back({texts_.insert(left), texts_.insert(right), rank});
  }

  void add_bytes() {
    ByteAlphabet alphabet;
    for (int byte = 0; byte < 256; byte++) {
      Symbol symbol = texts_.insert(kept_.emplace_back(alphabet.spelled(uint8_t(byte))));
      ranked.characters.emplace_back(Code(byte), symbol);
    }
  }
  void add_characters() {
    for (Symbol symbol = 0; symbol < texts_.size(); symbol++)
      if (Code code; texts_[symbol] != " " && !texts_[symbol].empty() && is_character(texts_[symbol], code))
        ranked.characters.emplace_back(code, symbol);
  }

  const RankVocabulary& vocabulary_;
  TextNumbers texts_;
  std::deque<std::string> kept_;
  std::string joined_;
};

}  // namespace spm
