// Text -> ids by Unigram: drafted unit by unit, and then settled from left to right.
//
//     text      units as everywhere (cut_encoder.hpp); those that are settled are found in the table
//     draft     their ids in a row, and between them places of units that are open
//     settle    the scores of the ids are added in their order, as the oracle would have added them; with
//               the sum that comes out before an open unit it is decided, and its ids are put in
//
// A draft is of a thousand bytes. Where its sums come near the limit (unigram.hpp) it is thrown away from
// there on, and shorter ones are made; where those do too, the oracle's way is gone. That is about once
// for every ten thousand tokens.
#pragma once

#include "cut_encoder.hpp"
#include "unigram.hpp"

namespace spm {

// One unit, if it is settled; otherwise nothing, and it is noted as open.
template <class Sums>
class UnigramUnits : public UnitEncoder {
 public:
  UnigramUnits(UnigramVocabulary vocabulary, const std::vector<Mergeable>& characters, uint64_t seed)
      : UnitEncoder(characters, seed), unigram_(std::move(vocabulary)) {}

  const Unigram<Sums>& unigram() const { return unigram_; }

  void encode(std::string_view unit, Ids& ids, std::vector<Span>*, Work& work) const override {
    if (!unigram_.settle(unit, ids, work.draft.work)) work.draft.open.push_back({ids.size(), unit});
  }

  void spell(Symbol symbol, std::string_view text, Ids& ids) const override {
    if (symbol == kNoSymbol || symbols_.id(symbol) < 0)
      unigram_.spell(text, ids);
    else
      ids.push(symbols_.id(symbol));
  }

 private:
  Unigram<Sums> unigram_;
};

template <class Sums>
class UnigramEncoder : public CutEncoder {
 public:
  using Units = UnigramUnits<Sums>;
  using Sum = typename Sums::Sum;

  // `pieces` are the vocabulary's, in space form, the best scores first.
  UnigramEncoder(std::unique_ptr<Units> units, const std::vector<Mergeable>& pieces, int32_t unknown_id,
                 uint64_t seed, Isa isa, size_t memory)
      : CutEncoder(std::move(units), pieces, {}, unknown_id, false, seed, isa, memory),
        unigram_(static_cast<const Units&>(*units_).unigram()) {
    size_t joins = 0;
    joins_.visit_all([&](Code x, Code y) { joins += std::min(x, y) >= kFirstWithoutSpaces; });
    joins_without_spaces_ = joins > kFewJoins;
  }

  void begin(Scratch& scratch) const override { scratch.work.draft.sum = 0; }
  bool parts_are_apart() const override { return false; }

  void encode(std::string_view text, bool prefix, Ids& ids, Scratch& scratch) const override {
    Sum sum = Sum(scratch.work.draft.sum);
    size_t size = kDraft;
    for (size_t begin = 0; begin < text.size();) {
      std::string_view part = text.substr(begin, next_cut(text, std::min(begin + size, text.size())) - begin);
      size_t done = encode_draft(part, prefix && begin == 0, sum, ids, scratch);
      if (done == 0 && size == kShortDraft)
        decide(part, prefix && begin == 0, sum, ids, scratch), done = part.size();
      size = done < part.size() ? kShortDraft : kDraft;
      begin += done;
    }
    scratch.work.draft.sum = sum;
  }

  void encode_exactly(std::string_view text, Ids& ids, std::vector<Span>* spans,
                      Scratch& scratch) const override {
    UnigramDraft& draft = scratch.work.draft;
    Sum sum = Sum(draft.sum);
    unigram_.decide(text, sum, ids, spans, draft.work);
    draft.sum = sum;
  }

 private:
  static constexpr size_t kDraft = 1024, kShortDraft = 128;  // bytes
  static constexpr Code kFirstWithoutSpaces = 0x800;         // what takes three bytes
  static constexpr size_t kFewJoins = 1024;
  static constexpr size_t kMaxWord = 48;  // bytes of what is likely to come again

  // A unit that was open is not tried again.
  void merge_and_remember(std::string_view unit, const Key& key, Ids& ids, Scratch& scratch) const override {
    if (scratch.units.is_without(key))
      scratch.work.draft.open.push_back({ids.size(), unit});
    else
      CutEncoder::merge_and_remember(unit, key, ids, scratch);
  }

  // Text without spaces: most characters are units of their own, or, if there are many pieces of several
  // such characters, few are; then to find units and look them up takes longer than to decide. What the
  // filter says may join stays together.
  void encode_coarse(const char* p, const char* end, Ids& ids, Scratch& scratch) const override {
    Character next = read_well_formed(p);
    Lone behind = characters_[next.code];
    if (joins_without_spaces_) return encode_together({p, size_t(end - p)}, behind, ids, scratch);
    while (p < end) {
      Lone lone = behind;
      const char* cut = p + next.size;
      for (bool joins = true; joins && cut < end; cut += joins ? next.size : 0) {
        next = read_well_formed(cut);
        Lone left = behind;
        behind = characters_[next.code];
        joins = may_join(left, behind);
      }
      encode_together({p, size_t(cut - p)}, lone, ids, scratch);
      p = cut;
    }
  }

  void encode_together(std::string_view unit, Lone first, Ids& ids, Scratch& scratch) const {
    size_t size = lead_size(uint8_t(unit[0]));
    if (unit.size() > kMaxWord)
      scratch.work.draft.open.push_back({ids.size(), unit});
    else if (unit.size() > size || size == 4)  // nothing is known of characters above the basic plane
      this->encode_any(unit, ids, scratch);
    else if (first.id >= 0)
      ids.push(first.id);
    else
      unigram_.spell(unit, ids);
  }

  // Appends the ids of the first bytes of a part, as many as the draft is good for, and returns how many
  // that is.
  size_t encode_draft(std::string_view part, bool prefix, Sum& sum, Ids& ids, Scratch& scratch) const {
    UnigramDraft& draft = scratch.work.draft;
    draft.clear();
    CutEncoder::encode(part, prefix, draft.ids, scratch);
    const char* done = part.data();
    size_t from = 0;
    for (const auto& [at, unit] : draft.open) {
      if (!append(draft.ids.data() + from, at - from, sum, ids)) return size_t(done - part.data());
      unigram_.decide(unit, sum, ids, nullptr, draft.work);
      bool is_first = unit.data() == scratch.first.data();
      done = is_first ? part.data() + unit.size() - 1 : unit.data() + unit.size();
      from = at;
    }
    if (!append(draft.ids.data() + from, draft.ids.size() - from, sum, ids))
      return size_t(done - part.data());
    return part.size();
  }

  // Appends ids of settled units, if their sums stay away from the limit.
  bool append(const int32_t* settled, size_t n, Sum& sum, Ids& ids) const {
    Sum behind = sum;
    if (!unigram_.follow(settled, n, behind)) return false;
    std::copy_n(settled, n, ids.room(n));
    ids.add(n);
    sum = behind;
    return true;
  }

  void decide(std::string_view part, bool prefix, Sum& sum, Ids& ids, Scratch& scratch) const {
    std::string with_space = prefix ? ' ' + std::string(part) : std::string();
    unigram_.decide(prefix ? with_space : part, sum, ids, nullptr, scratch.work.draft.work);
  }

  const Unigram<Sums>& unigram_;
  bool joins_without_spaces_;
};

template <class Sums>
std::unique_ptr<Encoder> unigram_encoder(UnigramVocabulary vocabulary, uint64_t seed, Isa isa,
                                         size_t memory) {
  std::vector<Mergeable> pieces, characters;
  std::vector<const ScoredPiece*> best_first;
  for (const ScoredPiece& piece : vocabulary.pieces) best_first.push_back(&piece);
  std::stable_sort(best_first.begin(), best_first.end(),
                   [](auto* a, auto* b) { return a->score > b->score; });
  for (const ScoredPiece* piece : best_first) {
    pieces.push_back({piece->text, Rank(pieces.size()), piece->id});
    if (Code code; is_character(pieces.back().text, code)) characters.push_back(pieces.back());
  }
  int32_t unknown_id = vocabulary.unknown_id;
  auto units = std::make_unique<UnigramUnits<Sums>>(std::move(vocabulary), characters, seed);
  return std::make_unique<UnigramEncoder<Sums>>(std::move(units), pieces, unknown_id, seed, isa, memory);
}

}  // namespace spm
