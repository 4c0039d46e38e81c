// Units that are the words of a pre-tokenizer: byte-level BPE.
//
// Nothing merges across the end of a word, so each word is a unit: looked up, and merged if it was never
// seen (encoder.hpp). Words are found first, those of some four kilobytes at a time, so that their ends
// need little memory; then they are encoded in a row.
//
//     text     It's  2024!!                    GPT-2
//     ends     2 4 5 10 12                     in bytes, from where the part begins
//     units    It|'s|␣|␣2024|!!
//
// Invariant: the words of a part are those that it has in the whole text. Where a word ends may depend on
// what follows, and 4,096 bytes may end anywhere; so a part goes on to the next safe border, the first place
// where two neighbouring characters prove that a word ends whatever stands around (words.hpp, `may_cut`):
//
//     ...the end| of a part                    a letter, and what is white space: safe
//     ...the  |end                             a space leads the letters behind it: not safe
//
// A text without any safe border is one part, whatever its size.
//
// Where pairs have ranks and there are no words (Gemma 4: its words are lines), units end where the cut
// lemma allows it, in cut_encoder.hpp; `rank_encoder` chooses.
#pragma once

#include <limits>

#include "cut_encoder.hpp"
#include "rank_units.hpp"
#include "words.hpp"

namespace spm {

class WordEncoder : public Encoder {
 public:
  WordEncoder(std::unique_ptr<UnitEncoder> units, std::unique_ptr<const Words> words,
              std::vector<KnownPiece> known, size_t n_pieces, uint64_t seed, size_t memory)
      : Encoder(std::move(units), n_pieces, 2, -1, seed, memory), words_(std::move(words)) {
    remember_pieces(std::move(known));
  }

  void encode(std::string_view text, bool, Ids& ids, Scratch& scratch) const override {
    ids.room(text.size() / 2 + 16);  // rarely more; what is not written to costs nothing
    const char* const end = text.data() + text.size();
    visit_parts(text, scratch, [&](const char* begin, const uint32_t* ends, const uint32_t* last) {
      encode_units(begin, begin, ends, last, end, ids, scratch, [&](const char* p, const char* cut) {
        encode_long({p, size_t(cut - p)}, ids, scratch);
      });
    });
  }

  void encode_exactly(std::string_view text, Ids& ids, std::vector<Span>* spans,
                      Scratch& scratch) const override {
    visit_parts(text, scratch, [&](const char* begin, const uint32_t* ends, const uint32_t* last) {
      const char* from = begin;
      for (; ends < last; ends++) {
        size_t first = spans ? spans->size() : 0;
        units_->encode({from, size_t(begin + *ends - from)}, ids, spans, scratch.work);
        if (spans) move_spans(*spans, first, size_t(from - text.data()));
        from = begin + *ends;
      }
    });
  }

  bool may_cut(Code x, Code y) const override { return words_->may_cut(x, y); }

 private:
  static constexpr size_t kPart = 4096;     // bytes whose words are found at once, at least
  static constexpr size_t kKept = 1 << 16;  // room for the ends of words that is kept

  // Calls visit(begin, ends, last) with the ends of words, as offsets from `begin`, of parts of a text
  // that end at safe borders.
  template <class Visit>
  void visit_parts(std::string_view text, Scratch& scratch, Visit visit) const {
    for (size_t begin = 0; begin < text.size();) {
      size_t end = next_cut(text, begin + std::min(kPart, text.size() - begin));
      if (end - begin > std::numeric_limits<uint32_t>::max())
        throw std::length_error("4 GiB that cannot be cut, expected fewer bytes than 32 bits can count");
      uint32_t* ends = scratch.room_for_ends(end - begin);
      visit(text.data() + begin, ends, words_->find(text.substr(begin, end - begin), ends));
      begin = end;
    }
    scratch.keep_ends(kKept);
  }

  std::unique_ptr<const Words> words_;
};

constexpr size_t kMostKnown = 1 << 16;  // pieces whose ids are known before the first text is

// What merges result in, each once, for the cut lemma: it holds for any merges. Lines end at line feeds,
// of which a run is a unit.
inline std::vector<Mergeable> results_of(const Merges& merges) {
  std::vector<Mergeable> results;
  std::vector<bool> seen(merges.size());
  for (Rank rank = 0; rank < merges.ranked.made.size(); rank++) {
    Symbol made = merges.ranked.made[rank];
    if (seen[made]) continue;
    seen[made] = true;
    std::string text = to_space_form(merges.text(made));
    size_t newlines = size_t(std::count(text.begin(), text.end(), '\n'));
    if (newlines == 0 || newlines == text.size())
      results.push_back({std::move(text), rank, merges.ranked.ids[made]});
  }
  results.push_back({"\n\n", kNoRank - 1, -1});
  return results;
}

// The encoder of a vocabulary that merges by the ranks of pairs: in words, or if it has none in lines.
inline std::unique_ptr<Encoder> rank_encoder(const RankVocabulary& vocabulary,
                                             std::unique_ptr<const Words> words, uint64_t seed, Isa isa,
                                             size_t memory) {
  Merges merges(vocabulary, seed);
  std::vector<Mergeable> results = words ? std::vector<Mergeable>{} : results_of(merges);
  auto units = std::make_unique<RankUnits>(vocabulary, std::move(merges), seed);
  if (!words)
    return std::make_unique<CutEncoder>(std::move(units), results, std::vector<int32_t>{}, -1, false, seed,
                                        isa, memory, kMostKnown);
  std::vector<KnownPiece> known;
  for (size_t id = 0; id < std::min(kMostKnown, vocabulary.pieces.size()); id++) {
    std::string text;
    if (units->read(vocabulary.pieces[id], text) && !text.empty() && text.size() <= kMaxUnit)
      known.push_back({std::move(text), int32_t(id)});
  }
  return std::make_unique<WordEncoder>(std::move(units), std::move(words), std::move(known),
                                       vocabulary.pieces.size(), seed, memory);
}

}  // namespace spm
