// One unit -> ids where merges have scores: user-defined pieces are cut out, what lies between them is
// merged, and what is no piece is spelled.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "piece_trie.hpp"
#include "prefix_matcher.hpp"
#include "unit_encoder.hpp"

namespace spm {

struct Vocabulary {
  std::vector<Mergeable> pieces;                              // the best ranks first
  std::vector<std::pair<std::string, int32_t>> user_defined;  // space form; found before merging
  std::vector<int32_t> unused;                                // ids that only the specification resolves
  int32_t byte_ids[256];                                      // -1: no piece
  int32_t unknown_id;                                         // -1: what is no piece is spelled by its bytes
};

class ScoreUnits : public UnitEncoder {
 public:
  ScoreUnits(Vocabulary vocabulary, uint64_t seed)
      : UnitEncoder(vocabulary.pieces, seed),
        vocabulary_(std::move(vocabulary)),
        seed_(seed),
        user_defined_(vocabulary_.user_defined.size(), seed) {
    for (size_t i = 0; i < vocabulary_.user_defined.size(); i++)
      user_defined_.insert(vocabulary_.user_defined[i].first, uint32_t(i));
    user_defined_.finish();
    classify_ids();
  }
  ~ScoreUnits() override { delete trie_.load(); }

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // User-defined pieces never merge; what lies between them does. The longest at the leftmost place
  // counts; of those that begin each other no more than 64 are seen.
  void encode(std::string_view unit, Ids& ids, std::vector<Span>* spans, Work& work) const override {
    size_t begin = 0;
    const char* end = unit.data() + unit.size();
    for (size_t at = 0; at < unit.size() && !vocabulary_.user_defined.empty();) {
      auto [size, id] = user_defined_at(unit, at);
      if (size) {
        merge_stretch(unit, begin, at, ids, spans, work);
        ids.push(id);
        if (spans) spans->push_back({at, at + size});
        begin = at += size;
      } else {
        at += read_character(unit.data() + at, end).size;
      }
    }
    merge_stretch(unit, begin, unit.size(), ids, spans, work);
  }

  // The id of a symbol, or those of its bytes; a space is spelled as the ▁ that it stands for.
  void spell(Symbol symbol, std::string_view text, Ids& ids) const override {
    int32_t id = symbol == kNoSymbol ? -1 : symbols_.id(symbol);
    if (id >= 0) {
      if (!vocabulary_.unused.empty() && symbol_of_id_[size_t(id)] == kUnused) throw NeedsSpecification();
      return ids.push(id);
    }
    if (vocabulary_.unknown_id >= 0) return ids.push(vocabulary_.unknown_id);
    if (text == " ") text = kMarkUtf8;
    for (char c : text) {
      int32_t byte_id = vocabulary_.byte_ids[uint8_t(c)];
      if (byte_id < 0) throw NoPieceForByte{uint8_t(c)};
      ids.push(byte_id);
    }
  }

  // Whether two tokens stay apart when their texts are put together, as far as that is known: only what
  // is whole tells by its spine, and very long pieces are not.
  bool may_meet(int32_t left, int32_t right, Work& work) const override {
    Spines& spines = this->spines(work);
    int32_t x = symbol_of(left), y = symbol_of(right);
    if (x < 0 || y < 0 || !spines.is_whole(Symbol(x)) || !spines.is_whole(Symbol(y))) return false;
    return spines.may_meet(Symbol(x), Symbol(y));
  }

  // The same of pieces, and whether one encodes to itself alone.
  bool may_meet(std::string_view left, std::string_view right, Work& work) const override {
    return spines(work).may_meet(symbol_of_text(left), symbol_of_text(right));
  }
  bool is_whole(std::string_view piece, Work& work) const override {
    return spines(work).is_whole(symbol_of_text(piece));
  }

 private:
  static constexpr size_t kShort = 32;  // symbols; from here on the search is faster
  static_assert(kShort <= ShortRow::kMost);
  // Characters of long units for each piece, before the trie is built.
  static constexpr size_t kHeapAllowance = 4;
  static constexpr int32_t kUnused = -2;  // kinds of ids, where they are no symbols
  static constexpr int32_t kOther = -1;

  std::pair<size_t, int32_t> user_defined_at(std::string_view unit, size_t at) const {
    std::pair<size_t, int32_t> found{0, 0};
    PieceTrie::Index node = PieceTrie::kRoot;
    const char *p = unit.data() + at, *end = unit.data() + unit.size();
    for (size_t matches = 0; p < end && matches < PrefixMatcher::kMaxMatches;) {
      Character c = read_character(p, end);
      p += c.size;
      node = user_defined_.child(node, c.code);
      if (node == PieceTrie::kRoot) break;
      if (!user_defined_[node].ends) continue;
      found = {size_t(p - unit.data()) - at, vocabulary_.user_defined[user_defined_[node].value].second};
      matches++;
    }
    return found;
  }

  void merge_stretch(std::string_view unit, size_t begin, size_t end, Ids& ids, std::vector<Span>* spans,
                     Work& work) const {
    check_size(end);
    std::vector<Node>& row = work.row;
    row.clear();
    for (size_t at = begin; at < end;) {
      Character c = read_character(unit.data() + at, unit.data() + end);
      row.push_back({symbols_.of_character(c.code), uint32_t(at), c.code});
      at += c.size;
    }
    if (row.size() > kShort)
      merge_long(row, work);
    else if (row.size() > 1)
      row.resize(merger_.merge_short(row.data(), row.size()));
    write(row, unit, end, ids, spans);
  }

  // The first long units are merged by an agenda; the trie that makes them linear costs milliseconds,
  // so they must have earned it.
  void merge_long(std::vector<Node>& row, Work& work) const {
    work.merged_long += row.size();
    if (work.merged_long < kHeapAllowance * vocabulary_.pieces.size()) return merger_.merge_long(row);
    if (!work.search) work.search = std::make_unique<Search>(trie());
    if (!work.search->merge(row, spines(work))) merger_.merge_long(row);
  }

  Spines& spines(Work& work) const {
    if (!work.spines) work.spines = std::make_unique<Spines>(vocabulary_.pieces, symbols_);
    return *work.spines;
  }

  // Made by the first thread that needs it; one that was made by two at once is thrown away.
  const PieceTrie& trie() const {
    if (PieceTrie* made = trie_.load()) return *made;
    auto fresh = std::make_unique<PieceTrie>(vocabulary_.pieces.size(), seed_);
    for (size_t i = 0; i < vocabulary_.pieces.size(); i++)
      fresh->insert(vocabulary_.pieces[i].text, uint32_t(i));
    fresh->finish();
    PieceTrie* none = nullptr;
    return trie_.compare_exchange_strong(none, fresh.get()) ? *fresh.release() : *none;
  }

  void classify_ids() {
    for (size_t i = 0; i < vocabulary_.pieces.size(); i++) {
      if (vocabulary_.pieces[i].id < 0) continue;
      size_t id = size_t(vocabulary_.pieces[i].id);
      if (id >= symbol_of_id_.size()) symbol_of_id_.resize(id + 1, kOther);
      symbol_of_id_[id] = int32_t(i);
    }
    for (int32_t id : vocabulary_.byte_ids)  // they spell a character: what met was that one
      if (size_t(id) < symbol_of_id_.size()) symbol_of_id_[size_t(id)] = kOther;
    for (auto& [text, id] : vocabulary_.user_defined)
      if (size_t(id) < symbol_of_id_.size()) symbol_of_id_[size_t(id)] = kOther;  // they meet nobody
    for (int32_t id : vocabulary_.unused)
      if (size_t(id) < symbol_of_id_.size()) symbol_of_id_[size_t(id)] = kUnused;
  }
  Symbol symbol_of_text(std::string_view piece) const {
    std::string text = to_space_form(piece);
    auto is_it = [&](const Mergeable& m) { return m.text == text; };
    auto found = std::find_if(vocabulary_.pieces.begin(), vocabulary_.pieces.end(), is_it);
    return found == vocabulary_.pieces.end() ? kNoSymbol : Symbol(found - vocabulary_.pieces.begin());
  }
  int32_t symbol_of(int32_t id) const {
    return size_t(id) < symbol_of_id_.size() ? symbol_of_id_[size_t(id)] : kOther;
  }

  Vocabulary vocabulary_;
  uint64_t seed_;
  PieceTrie user_defined_;
  std::vector<int32_t> symbol_of_id_;
  mutable std::atomic<PieceTrie*> trie_ = nullptr;
};

}  // namespace spm
