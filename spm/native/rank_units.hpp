// One unit -> ids where pairs have ranks: a BPE word, or what the cut lemma leaves together.
//
//     merges   h e   l l   he ll   hell o      the pair that stands first in the list merges first
//     hello    h e l l o   he l l o   he ll o   hell o   hello
//
// A unit that is a piece may be exempt from merging (`ignore_merges`; newlines in Gemma 4): it is looked up
// first. Symbols begin as bytes or as characters, and what is no piece in the end is spelled byte by byte.
// The specification is spm/text/bpe.py.
#pragma once

#include "merges.hpp"
#include "unit_encoder.hpp"

namespace spm {

// Text -> id, of words that are pieces and stay whole.
class WholeWords {
 public:
  explicit WholeWords(uint64_t seed) : numbers_(0, seed) {}

  // Of equal texts the last counts.
  void add(std::string text, int32_t id) {
    uint32_t number = numbers_.find(text);
    if (number == kNoSymbol) {
      number = numbers_.insert(texts_.emplace_back(std::move(text)));
      ids_.push_back(id);
    }
    ids_[number] = id;
  }

  // -1: there is none.
  int32_t find(std::string_view text) const {
    if (ids_.empty()) return -1;
    uint32_t number = numbers_.find(text);
    return number == kNoSymbol ? -1 : ids_[number];
  }

 private:
  std::deque<std::string> texts_;
  TextNumbers numbers_;
  std::vector<int32_t> ids_;
};

class RankUnits : public UnitEncoder {
 public:
  RankUnits(const RankVocabulary& vocabulary, Merges merges, uint64_t seed)
      : UnitEncoder(std::move(merges.ranked), seed), bytes_(vocabulary.bytes), whole_(seed) {
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
    for (size_t id = 0; id < vocabulary.pieces.size(); id++) {
      std::string text;
      if (read(vocabulary.pieces[id], text) && is_whole_word(vocabulary, text))
        whole_.add(std::move(text), int32_t(id));
    }
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

  bool bytes_;
  int32_t byte_ids_[256];
  WholeWords whole_;
  std::unordered_map<Symbol, std::vector<int32_t>> spelled_;  // what is no piece, if byte-level
};

}  // namespace spm
