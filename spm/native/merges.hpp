// Pieces and merges as a BPE vocabulary spells them -> symbols and pairs of symbols.
//
// Byte-level vocabularies spell bytes in GPT-2's alphabet, others spell text as it is, with ▁ for spaces.
// A merge is spelled "left right": the first space behind the first byte parts the halves. Of equal merges
// the first counts, of equal pieces the last.
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
  TextNumbers(size_t n, uint64_t seed) : seed_(seed) {
    fill_huge(slots_, std::bit_ceil(2 * n + 64), Slot{});
    texts_.reserve(n);
  }

  uint64_t hash(std::string_view text) const { return hash_text(text, seed_); }

  uint32_t find(std::string_view text) const { return find(text, hash(text)); }
  uint32_t find(std::string_view text, uint64_t hash) const { return slots_[slot(text, hash)].number; }

  // The text must live as long as this.
  uint32_t insert(std::string_view text) { return insert(text, hash(text)); }
  uint32_t insert(std::string_view text, uint64_t hash) {
    if (2 * (texts_.size() + 1) > slots_.size()) grow();
    Slot& found = slots_[slot(text, hash)];
    if (found.number == kNoSymbol) {
      found = {uint32_t(hash), uint32_t(texts_.size())};
      texts_.push_back(text);
    }
    return found.number;
  }

  // Asks memory for the next of the three things that a search looks at.
  void fetch_slot(uint64_t hash) const { prefetch(&slots_[first_slot(hash)]); }
  void fetch_view(uint64_t hash) const {
    if (uint32_t number = slots_[first_slot(hash)].number; number != kNoSymbol) prefetch(&texts_[number]);
  }
  void fetch_text(uint64_t hash) const {
    if (uint32_t number = slots_[first_slot(hash)].number; number != kNoSymbol)
      prefetch(texts_[number].data());
  }

  size_t size() const { return texts_.size(); }
  std::string_view operator[](uint32_t number) const { return texts_[number]; }

 private:
  struct Slot {
    uint32_t tag = 0, number = kNoSymbol;
  };

  size_t first_slot(uint64_t hash) const { return hash >> 20 & (slots_.size() - 1); }
  size_t slot(std::string_view text, uint64_t hash) const {
    size_t mask = slots_.size() - 1, i = first_slot(hash);
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
  Merges(const RankVocabulary& vocabulary, uint64_t seed) : texts_(vocabulary.pieces.size() + 256, seed) {
    if (vocabulary.pieces.size() >= PairTable::kLimit || vocabulary.merges.size() >= PairTable::kMergeLimit)
      throw std::length_error("more pieces or merges than the core can number");
    for (size_t id = 0; id < vocabulary.pieces.size(); id++) {
      Symbol symbol = texts_.insert(vocabulary.pieces[id]);
      if (symbol == ranked.ids.size()) ranked.ids.push_back(0);
      ranked.ids[symbol] = int32_t(id);
    }
    ranked.made.reserve(vocabulary.merges.size());
    ranked.pairs.reserve(vocabulary.merges.size());
    for (size_t rank = 0; rank < vocabulary.merges.size(); rank += kAtOnce)
      add(&vocabulary.merges[rank], std::min(kAtOnce, vocabulary.merges.size() - rank), Rank(rank));
    ranked.bytes = vocabulary.bytes;
    ranked.bytes ? add_bytes() : add_characters();
    ranked.ids.resize(texts_.size(), -1);
  }

  RankedMerges ranked;

  std::string_view text(Symbol symbol) const { return texts_[symbol]; }
  size_t size() const { return texts_.size(); }
  Symbol find(std::string_view text) const { return texts_.find(text); }

 private:
  static constexpr size_t kAtOnce = 32;  // merges whose texts are on their way from memory

  struct Halves {
    std::string joined;
    std::string_view left, right;
    uint64_t hashes[3];
  };

  void add(const std::string_view* merges, size_t n, Rank rank) {
    for (size_t i = 0; i < n; i++) {
      Halves& h = halves_[i];
      size_t space = merges[i].find(' ', 1);
      h.left = merges[i].substr(0, space);
      h.right = space == merges[i].npos ? std::string_view{} : merges[i].substr(space + 1);
      h.joined.assign(h.left).append(h.right);
      h.hashes[0] = texts_.hash(h.joined), h.hashes[1] = texts_.hash(h.left),
      h.hashes[2] = texts_.hash(h.right);
    }
    visit_hashes(n, [&](uint64_t hash) { texts_.fetch_slot(hash); });
    visit_hashes(n, [&](uint64_t hash) { texts_.fetch_view(hash); });
    visit_hashes(n, [&](uint64_t hash) { texts_.fetch_text(hash); });
    for (size_t i = 0; i < n; i++) add(halves_[i], rank + Rank(i), merges[i].find(' ', 1) != merges[i].npos);
  }
  template <class Visit>
  void visit_hashes(size_t n, Visit visit) const {
    for (size_t i = 0; i < n; i++)
      for (uint64_t hash : halves_[i].hashes) visit(hash);
  }

  void add(const Halves& h, Rank rank, bool is_merge) {
    if (!is_merge) return ranked.made.push_back(0);
    Symbol made = texts_.find(h.joined, h.hashes[0]);
    if (made == kNoSymbol) made = texts_.insert(kept_.emplace_back(h.joined), h.hashes[0]);
    ranked.made.push_back(made);
    ranked.pairs.push_back({texts_.insert(h.left, h.hashes[1]), texts_.insert(h.right, h.hashes[2]), rank});
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

  TextNumbers texts_;
  std::deque<std::string> kept_;
  Halves halves_[kAtOnce];
};

}  // namespace spm
