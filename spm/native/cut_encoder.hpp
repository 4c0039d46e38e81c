// Units that end where the cut lemma allows it (joins.hpp), for vocabularies without words.
//
// The text stands for the normalised text in which every space is ▁, with one more ▁ in front if
// `prefix` is set; nothing else is normalised here.
//
// Most units end where `Cuts` says, sixty-four borders at a time. One that comes out too long for the
// table is cut again, exactly, character by character; what is still too long is merged.
#pragma once

#include <limits>

#include "characters.hpp"
#include "encoder.hpp"
#include "joins.hpp"
#include "score_units.hpp"

namespace spm {

class CutEncoder : public Encoder {
 public:
  // `pieces` are all that a merge may result in, the best ranks first, of which the first `most_known` are
  // worth to be known from the beginning; `unused` ids are none to emit.
  CutEncoder(std::unique_ptr<UnitEncoder> units, const std::vector<Mergeable>& pieces,
             const std::vector<int32_t>& unused, int32_t unknown_id, bool may_part_spaces, uint64_t seed,
             Isa isa, size_t memory, size_t most_known = std::numeric_limits<size_t>::max())
      : Encoder(std::move(units), pieces.size(), 4, unknown_id, seed, memory),
        joins_(pieces, seed),
        characters_(units_->symbols(), joins_, unused),
        cuts_(pieces, joins_, isa),
        may_part_spaces_(may_part_spaces) {
    remember_pieces(short_ones(pieces, most_known));
  }

  // Appends the ids of a valid UTF-8 text.
  void encode(std::string_view text, bool prefix, Ids& ids, Scratch& scratch) const override {
    ids.room(text.size() / 2 + 16);  // rarely more; what is not written to costs nothing
    const char *begin = text.data(), *end = begin + text.size();
    if (prefix && !text.empty()) begin = encode_first(begin, end, ids, scratch);
    while (begin < end) begin = encode_block(begin, end, ids, scratch);
  }

  // Appends the ids of a text of any bytes in which spaces are ▁ already, more slowly; and, if asked
  // for, where they stand.
  void encode_exactly(std::string_view text, Ids& ids, std::vector<Span>* spans,
                      Scratch& scratch) const override {
    const char *begin = text.data(), *end = begin + text.size();
    while (begin < end) {
      const char* next = end_of_unit(begin, end);
      size_t first = spans ? spans->size() : 0;
      units_->encode({begin, size_t(next - begin)}, ids, spans, scratch.work);
      if (spans) move_spans(*spans, first, size_t(begin - text.data()));
      begin = next;
    }
  }

  bool may_cut(Code x, Code y) const override {
    return !joins_.join(x == kMark ? kSpace : x, y == kMark ? kSpace : y);
  }

 protected:
  // What coarse cuts left together, cut exactly. In scripts without spaces most characters are units of
  // their own: one is emitted as soon as the next one does not join it.
  virtual void encode_coarse(const char* p, const char* end, Ids& ids, Scratch& scratch) const {
    Character c = read_well_formed(p);
    Lone lone = characters_[c.code];
    while (p < end) {
      const char* cut = p + c.size;
      Character next{};
      Lone behind;
      bool joins = false;
      if (cut < end) {
        next = read_well_formed(cut);
        behind = characters_[next.code];
        joins = may_join(lone, behind) && joins_.join(c.code, next.code);
      }
      if (joins) [[unlikely]] {
        cut = end_of_unit(cut, end);
        encode_any({p, size_t(cut - p)}, ids, scratch);
        if (cut < end) next = read_well_formed(cut), behind = characters_[next.code];
      } else if (lone.id >= 0) {
        ids.push(lone.id);
      } else {
        units_->spell(units_->symbols().of_character(c.code), {p, c.size}, ids);
      }
      p = cut, c = next, lone = behind;
    }
  }

  Joins joins_;
  Characters characters_;

 private:
  static constexpr size_t kMaxSpaces = 256;

  static std::vector<KnownPiece> short_ones(const std::vector<Mergeable>& pieces, size_t most) {
    std::vector<KnownPiece> known;
    for (size_t i = 0; i < std::min(most, pieces.size()); i++)
      if (pieces[i].text.size() <= kMaxUnit) known.push_back({pieces[i].text, pieces[i].id});
    return known;
  }

  // Encodes the space in front of a text together with what belongs to it; returns where the rest begins.
  const char* encode_first(const char* begin, const char* end, Ids& ids, Scratch& scratch) const {
    Character first = read_well_formed(begin);
    const char* next = joins_.join(kSpace, first.code) ? end_of_unit(begin, end) : begin;
    scratch.first.assign(1, ' ').append(begin, next);
    encode_any(scratch.first, ids, scratch);
    return next;
  }

  // Encodes the units that end within the next bytes of a text; returns where the rest begins.
  const char* encode_block(const char* begin, const char* end, Ids& ids, Scratch& scratch) const {
    size_t n = std::min<size_t>(Cuts::kBlock, size_t(end - begin) - 1);
    uint32_t* positions = scratch.cuts.get();
    uint32_t* last = cuts_.find(reinterpret_cast<const uint8_t*>(begin) + 1, n, positions);
    const char* const base = begin + 1;
    if (base + n == end) *last++ = uint32_t(n);
    if (last == positions) {
      const char* cut = first_cut_behind(base + n, end, scratch);
      encode_coarse(begin, cut, ids, scratch);
      return cut;
    }
    return encode_units(begin, base, positions, last, end, ids, scratch,
                        [&](const char* p, const char* cut) { encode_coarse(p, cut, ids, scratch); });
  }

  const char* first_cut_behind(const char* from, const char* end, Scratch& scratch) const {
    while (from < end) {
      size_t n = std::min<size_t>(Cuts::kBlock, size_t(end - from));
      uint32_t* last = cuts_.find(reinterpret_cast<const uint8_t*>(from), n, scratch.cuts.get());
      if (last != scratch.cuts.get()) return from + scratch.cuts[0];
      from += n;
    }
    return end;
  }

  // The exact end of the unit that begins at `p`.
  const char* end_of_unit(const char* p, const char* end) const {
    Character left = read_character(p, end);
    for (p += left.size; p < end; p += left.size) {
      Character right = read_character(p, end);
      if (!joins_.join(left.code, right.code)) break;
      left = right;
    }
    return p;
  }

  // Indentation and what follows it are one unit, of which there are too many to be remembered. By the
  // neighbour lemma (spines.hpp) the spaces but one and the rest may be encoded apart, if the last token
  // of the one and the first of the other may meet.
  bool encode_in_two(std::string_view unit, Ids& ids, Scratch& scratch) const override {
    size_t n = 0;
    while (n < unit.size() && unit[n] == ' ') n++;
    if (n < 2 || n == unit.size() || n > kMaxSpaces || !may_part_spaces_) return false;
    const std::vector<int32_t>& spaces = ids_of_spaces(n - 1, scratch);
    size_t first = ids.size();
    for (int32_t id : spaces) ids.push(id);
    encode_any(unit.substr(n - 1), ids, scratch);
    if (units_->may_meet(spaces.back(), ids.data()[first + spaces.size()], scratch.work)) return true;
    ids.resize(first);
    return false;
  }

  const std::vector<int32_t>& ids_of_spaces(size_t n, Scratch& scratch) const {
    if (scratch.spaces.size() <= n) scratch.spaces.resize(n + 1);
    std::vector<int32_t>& known = scratch.spaces[n];
    if (known.empty()) {
      Ids ids;
      units_->encode(std::string(n, ' '), ids, nullptr, scratch.work);
      known.assign(ids.data(), ids.data() + ids.size());
    }
    return known;
  }

  Cuts cuts_;
  bool may_part_spaces_;
};

// A user-defined piece may span the border between spaces and what follows, and apart the two sides
// may need a byte that has no piece.
inline bool spaces_may_be_parted(const Vocabulary& vocabulary) {
  const int32_t(&bytes)[256] = vocabulary.byte_ids;
  bool lacks_bytes = vocabulary.unknown_id < 0 && *std::min_element(bytes, bytes + 256) < 0;
  auto has_space = [](auto& piece) { return piece.first.find(' ') != std::string::npos; };
  return !lacks_bytes &&
         std::none_of(vocabulary.user_defined.begin(), vocabulary.user_defined.end(), has_space);
}

// The encoder of a vocabulary that merges by scores.
inline std::unique_ptr<Encoder> score_encoder(Vocabulary vocabulary, uint64_t seed, Isa isa, size_t memory) {
  auto units = std::make_unique<ScoreUnits>(std::move(vocabulary), seed);
  const Vocabulary& v = units->vocabulary();
  bool may_part = spaces_may_be_parted(v);
  return std::make_unique<CutEncoder>(std::move(units), v.pieces, v.unused, v.unknown_id, may_part, seed, isa,
                                      memory);
}

}  // namespace spm
