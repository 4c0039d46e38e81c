// One unit -> ids where pairs have ranks: a BPE word, or what the cut lemma leaves together.
#pragma once

#include "merges.hpp"
#include "unit_encoder.hpp"

namespace spm {

// Text -> id, of whole words.
class WholeWords {
 public:
  explicit WholeWords(uint64_t seed) : seed_(seed), begins_{0} {}

  // Of equal texts the last counts.
  void build(const std::vector<std::pair<std::string, int32_t>>& words) {
    fill_huge(slots_, std::bit_ceil(2 * words.size() + 2), Slot{});
    for (auto& [text, id] : words) {
      uint64_t hash = hash_text(text, seed_);
      Slot& slot = slots_[find_slot(text, hash)];
      if (slot.word == kNoSymbol) {
        slot = {uint32_t(hash), uint32_t(ids_.size())};
        ids_.push_back(id);
        texts_ += text;
        begins_.push_back(uint32_t(texts_.size()));
      }
      ids_[slot.word] = id;
    }
  }

  // -1: there is none.
  int32_t find(std::string_view text) const {
    if (ids_.empty()) return -1;
    const Slot& slot = slots_[find_slot(text, hash_text(text, seed_))];
    return slot.word == kNoSymbol ? -1 : ids_[slot.word];
  }

 private:
  struct Slot {
    uint32_t tag = 0, word = kNoSymbol;
  };
  size_t find_slot(std::string_view text, uint64_t hash) const {
    size_t mask = slots_.size() - 1, i = hash >> 20 & mask;
    while (slots_[i].word != kNoSymbol &&
           (slots_[i].tag != uint32_t(hash) || this->text(slots_[i].word) != text))
      i = (i + 1) & mask;
    return i;
  }
  std::string_view text(uint32_t word) const {
    return std::string_view(texts_).substr(begins_[word], begins_[word + 1] - begins_[word]);
  }

  uint64_t seed_;
  std::vector<Slot> slots_;
  std::vector<int32_t> ids_;
  std::vector<uint32_t> begins_;
  std::string texts_;
};

class RankUnits : public UnitEncoder {
 public:
  RankUnits(const RankVocabulary& vocabulary, Merges merges, uint64_t seed)
      : UnitEncoder(std::move(merges.ranked), seed),
        bytes_(vocabulary.bytes),
        whole_newlines_(vocabulary.whole_newlines),
        whole_(seed) {
    std::copy_n(vocabulary.byte_ids, 256, byte_ids_);
    if (vocabulary.whole_words || vocabulary.whole_newlines) collect_whole_words(vocabulary);
    if (bytes_)
      for (Symbol symbol = 0; symbol < merges.size(); symbol++)
        if (symbols_.id(symbol) < 0) spell_without_piece(merges, symbol);
  }

  // The bytes that a piece stands for; false if it can be no text.
  bool read(std::string_view piece, std::string& text) const {
    static const ByteAlphabet alphabet;
    if (bytes_) return alphabet.read(piece, text);
    if (piece.find(' ') != piece.npos) return false;  // no text has spaces when it merges
    text = to_space_form(piece);
    return true;
  }

  void encode(std::string_view unit, Ids& ids, std::vector<Span>* spans, Work& work) const override {
    if (int32_t id = whole_.find(unit); id >= 0) {
      ids.push(id);
      if (spans) spans->push_back({0, unit.size()});
      return;
    }
    check_size(unit.size());
    std::vector<Node>& row = work.row;
    row.clear();
    bytes_ ? read_bytes(unit, row) : read_characters(unit, row);
    if (row.size() > ShortRow::kMost)
      merger_.merge_long(row);
    else if (row.size() > 1)
      row.resize(merger_.merge_short(row.data(), row.size()));
    write(row, unit, unit.size(), ids, spans);
  }

  // Of what is no piece llama.cpp spells each byte that it can, and drops the others.
  void spell(Symbol symbol, std::string_view text, Ids& ids) const override {
    int32_t id = symbol == kNoSymbol ? -1 : symbols_.id(symbol);
    if (id >= 0) return ids.push(id);
    if (bytes_) {
      for (int32_t byte_id : spelled_.at(symbol)) ids.push(byte_id);
      return;
    }
    for (char c : text) {
      std::string_view shown = c == ' ' ? kMarkUtf8 : std::string_view(&c, 1);
      for (char byte : shown)
        if (int32_t byte_id = byte_ids_[uint8_t(byte)]; byte_id >= 0) ids.push(byte_id);
    }
  }

 private:
  static bool is_whole_word(const RankVocabulary& vocabulary, const std::string& text) {
    bool newlines = vocabulary.whole_newlines && text.find_first_not_of('\n') == text.npos;
    return !text.empty() && (vocabulary.whole_words || newlines);
  }

  void collect_whole_words(const RankVocabulary& vocabulary) {
    std::vector<std::pair<std::string, int32_t>> words;
    for (size_t id = 0; id < vocabulary.pieces.size(); id++) {
      std::string text;
      if (read(vocabulary.pieces[id], text) && is_whole_word(vocabulary, text))
        words.emplace_back(std::move(text), int32_t(id));
    }
    whole_.build(words);
  }

  // Its characters in GPT-2's alphabet are looked up byte by byte, as llama.cpp does it: those beyond
  // ASCII are hardly ever found.
  void spell_without_piece(const Merges& merges, Symbol symbol) {
    std::vector<int32_t>& ids = spelled_[symbol];
    for (const char& c : merges.text(symbol)) {
      Symbol byte = merges.find({&c, 1});
      if (byte != kNoSymbol && symbols_.id(byte) >= 0) ids.push_back(symbols_.id(byte));
    }
  }

  void read_bytes(std::string_view unit, std::vector<Node>& row) const {
    for (uint32_t at = 0; at < unit.size(); at++) {
      Code byte = uint8_t(unit[at]);
      row.push_back({symbols_.of_character(byte), at, byte});
    }
  }
  void read_characters(std::string_view unit, std::vector<Node>& row) const {
    for (size_t at = 0; at < unit.size();) {
      Character c = read_character(unit.data() + at, unit.data() + unit.size());
      row.push_back({symbols_.of_character(c.code), uint32_t(at), c.code});
      at += c.size;
    }
  }

  bool bytes_, whole_newlines_;
  int32_t byte_ids_[256];
  WholeWords whole_;
  std::unordered_map<Symbol, std::vector<int32_t>> spelled_;  // what is no piece, if byte-level
};

}  // namespace spm
