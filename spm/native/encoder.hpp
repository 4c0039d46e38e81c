// Text -> ids for one vocabulary: cut into units, look each up, merge what was never seen.
//
// The text stands for the normalised text in which every space is ▁, with one more ▁ in front if
// `prefix` is set; nothing else is normalised here.
//
//     text    The theory of the cut          units   ▁The| ▁theory| ▁of| ▁the| ▁cut
//             found in the table: their ids are copied; not found: merged, and remembered
//
// Most units end where `Cuts` says, sixty-four borders at a time. One that comes out too long for the
// table is cut again, exactly, character by character; what is still too long is merged.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "characters.hpp"
#include "cuts.hpp"
#include "ids.hpp"
#include "joins.hpp"
#include "unit_encoder.hpp"
#include "units.hpp"

namespace spm {

class Encoder {
 public:
  // `memory` bounds, in bytes, what is kept from text to text.
  Encoder(Vocabulary vocabulary, uint64_t seed, Isa isa, size_t memory)
      : vocabulary_(std::move(vocabulary)),
        seed_(seed),
        units_(vocabulary_, seed),
        joins_(vocabulary_.pieces, seed),
        characters_(units_.symbols(), joins_, vocabulary_.unused),
        cuts_(vocabulary_.pieces, joins_, isa),
        may_part_spaces_(spaces_may_be_parted(vocabulary_)),
        table_bits_(bits_of_table(vocabulary_.pieces.size(), memory)),
        kept_(std::clamp<size_t>(memory / bytes_of_scratch(table_bits_), 1, kMaxKept)) {
    place(first_scratch());
  }
  ~Encoder() {
    for (auto& place : places_) delete place.load();
  }

  // What one thread needs while it encodes. How many are kept is bounded; more are made while more
  // threads encode at once.
  struct Scratch {
    Scratch(unsigned bits, uint64_t seed) : units(bits, seed), long_units(bits - 4) {}
    UnitTable units;
    LongUnits long_units;
    UnitEncoder::Work work;
    Ids ids;  // that nobody wants to keep
    std::unique_ptr<uint32_t[]> cuts = std::make_unique<uint32_t[]>(Cuts::kRoom);
    std::vector<std::vector<int32_t>> spaces;  // the ids of n spaces
  };

  // A scratch of one's own for as long as one encodes. There is no lock: a thread takes one out of its
  // place and puts it back into any that is empty, so a fork at any moment leaves nothing locked.
  class Lease {
   public:
    explicit Lease(const Encoder& encoder) : encoder_(encoder) {
      for (size_t i = 0; i < encoder.kept_ && !scratch_; i++)
        scratch_.reset(encoder.places_[i].exchange(nullptr));
      if (!scratch_) scratch_ = encoder.new_scratch();
    }
    ~Lease() { encoder_.place(std::move(scratch_)); }
    Scratch& operator*() { return *scratch_; }

   private:
    const Encoder& encoder_;
    std::unique_ptr<Scratch> scratch_;
  };

  size_t kept() const { return kept_; }  // threads that can encode at once without making more

  // Appends the ids of a valid UTF-8 text.
  void encode(std::string_view text, bool prefix, Ids& ids, Scratch& scratch) const {
    ids.room(text.size() / 2 + 16);  // rarely more; what is not written to costs nothing
    const char *begin = text.data(), *end = begin + text.size();
    if (prefix && !text.empty()) begin = encode_first(begin, end, ids, scratch);
    while (begin < end) begin = encode_block(begin, end, ids, scratch);
  }

  // Appends the ids of a text of any bytes in which spaces are ▁ already, more slowly; and, if asked
  // for, where they stand.
  void encode_exactly(std::string_view text, Ids& ids, std::vector<Span>* spans, Scratch& scratch) const {
    const char *begin = text.data(), *end = begin + text.size();
    while (begin < end) {
      const char* next = end_of_unit(begin, end);
      size_t first = ids.size();
      units_.encode({begin, size_t(next - begin)}, ids, spans, scratch.work);
      if (spans)
        for (size_t i = first; i < ids.size(); i++) {
          (*spans)[i].begin += size_t(begin - text.data());
          (*spans)[i].end += size_t(begin - text.data());
        }
      begin = next;
    }
  }

  // Makes one id of every run of unknown ones, from the id at `first` on; spans go with their ids.
  void join_unknown(size_t first, Ids& ids, std::vector<Span>* spans) const {
    if (vocabulary_.unknown_id < 0) return;
    int32_t* data = ids.data();
    size_t kept = first;
    for (size_t i = first; i < ids.size(); i++) {
      bool joins = i > first && data[i] == vocabulary_.unknown_id && data[i - 1] == vocabulary_.unknown_id;
      if (joins && spans) (*spans)[kept - 1].end = (*spans)[i].end;
      if (joins) continue;
      if (spans) (*spans)[kept] = (*spans)[i];
      data[kept++] = data[i];
    }
    ids.resize(kept);
    if (spans) spans->resize(kept);
  }
  bool is_unknown(int32_t id) const { return id >= 0 && id == vocabulary_.unknown_id; }

  // Whether a piece encodes to itself alone, and whether two such pieces stay apart.
  bool is_whole(std::string_view piece) const {
    Lease scratch(*this);
    return units_.is_whole(piece, (*scratch).work);
  }
  bool may_meet(std::string_view left, std::string_view right) const {
    Lease scratch(*this);
    return units_.may_meet(left, right, (*scratch).work);
  }

  // Whether a text may be cut between two code points.
  bool may_cut(Code x, Code y) const {
    return !joins_.join(x == kMark ? kSpace : x, y == kMark ? kSpace : y);
  }

  // The last place before `limit` where a valid text may be cut, whatever follows; 0 if there is none.
  size_t last_cut(std::string_view text, size_t limit) const {
    for (size_t at = limit; at > 0;) {
      size_t before = begin_of_last(text, at);
      if (at < limit && !joins_.join(character(text, before), character(text, at))) return at;
      at = before;
    }
    return 0;
  }

  // The first place at or after `from` where a valid text may be cut; its size if there is none.
  size_t next_cut(std::string_view text, size_t from) const {
    while (from < text.size() && is_continuation(text[from])) from++;
    if (from == 0 || from >= text.size()) return std::min(from, text.size());
    Code before = character(text, begin_of_last(text, from));
    for (Character next; from < text.size(); from += next.size, before = next.code) {
      next = read_well_formed(&text[from]);
      if (!joins_.join(before, next.code)) return from;
    }
    return text.size();
  }

 private:
  static constexpr size_t kMaxKept = 64;
  static constexpr size_t kMaxSpaces = 256;

  static bool is_continuation(char c) { return (uint8_t(c) & 0xC0) == 0x80; }
  static Code character(std::string_view text, size_t at) { return read_well_formed(&text[at]).code; }
  static size_t begin_of_last(std::string_view text, size_t end) {
    do end--;
    while (end > 0 && is_continuation(text[end]));
    return end;
  }

  // A user-defined piece may span the border between spaces and what follows, and apart the two sides
  // may need a byte that has no piece.
  static bool spaces_may_be_parted(const Vocabulary& vocabulary) {
    const int32_t (&bytes)[256] = vocabulary.byte_ids;
    bool lacks_bytes = vocabulary.unknown_id < 0 && *std::min_element(bytes, bytes + 256) < 0;
    auto has_space = [](auto& piece) { return piece.first.find(' ') != std::string::npos; };
    return !lacks_bytes &&
           std::none_of(vocabulary.user_defined.begin(), vocabulary.user_defined.end(), has_space);
  }

  static unsigned bits_of_table(size_t n_pieces, size_t memory) {
    unsigned bits = n_pieces > 50'000 ? 18 : 17;
    while (bits > 8 && bytes_of_scratch(bits) > memory) bits--;
    return bits;
  }
  // Two tables, what they store beside them at most, and the rest.
  static size_t bytes_of_scratch(unsigned bits) {
    return UnitTable::bytes(bits) + LongUnits::bytes(bits - 4) + (size_t(1) << 20);
  }

  // ---- scratches

  // Every piece is a unit that will come: its ids are known before the first text is. The best ranks are
  // put in last, where they stay.
  std::unique_ptr<Scratch> first_scratch() {
    auto scratch = std::make_unique<Scratch>(table_bits_, seed_);
    whole_.resize(vocabulary_.pieces.size());
    for (size_t i = whole_.size(); i-- > 0;) {
      const Mergeable& piece = vocabulary_.pieces[i];
      if (piece.text.size() > kMaxUnit) continue;
      Ids& ids = scratch->ids;
      ids.resize(0);
      try {
        units_.encode(piece.text, ids, nullptr, scratch->work);
      } catch (const NoPieceForByte&) {
        continue;
      } catch (const NeedsSpecification&) {
        continue;
      }
      whole_[i] = ids.size() == 1 && ids.data()[0] == piece.id;
      scratch->units.insert(unit_key(piece.text), ids.data(), ids.size());
    }
    return scratch;
  }

  std::unique_ptr<Scratch> new_scratch() const {
    auto scratch = std::make_unique<Scratch>(table_bits_, seed_);
    for (size_t i = whole_.size(); i-- > 0;)
      if (whole_[i])
        scratch->units.insert(unit_key(vocabulary_.pieces[i].text), &vocabulary_.pieces[i].id, 1);
    return scratch;
  }

  void place(std::unique_ptr<Scratch> scratch) const {
    for (size_t i = 0; i < kept_; i++) {
      Scratch* empty = nullptr;
      if (places_[i].compare_exchange_strong(empty, scratch.get())) {
        scratch.release();
        return;
      }
    }
  }

  // ---- units

  // Encodes the space in front of a text together with what belongs to it; returns where the rest begins.
  const char* encode_first(const char* begin, const char* end, Ids& ids, Scratch& scratch) const {
    Character first = read_well_formed(begin);
    const char* next = joins_.join(kSpace, first.code) ? end_of_unit(begin, end) : begin;
    encode_any(' ' + std::string(begin, next), ids, scratch);
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
    int32_t* out = ids.room(room_for(n + 1));
    for (uint32_t* position = positions; position < last; position++) {
      const char* cut = base + *position;
      size_t size = size_t(cut - begin);
      if (size <= kMaxUnit) [[likely]] {
        Key key = end - begin < 16 ? unit_key({begin, size}) : unit_key(begin, size);
        if (size_t found = scratch.units.find(key, out)) [[likely]] {
          out += found;
          begin = cut;
          continue;
        }
        ids.end_at(out);
        merge_and_remember({begin, size}, key, ids, scratch);
      } else {
        ids.end_at(out);
        encode_coarse(begin, cut, ids, scratch);
      }
      out = ids.room(room_for(size_t(base + n - cut) + 1));
      begin = cut;
    }
    ids.end_at(out);
    return begin;
  }

  // Ids that `n` bytes can have at most, and what a look-up may write beyond them.
  static size_t room_for(size_t n) { return 3 * n + kInlineIds; }

  const char* first_cut_behind(const char* from, const char* end, Scratch& scratch) const {
    while (from < end) {
      size_t n = std::min<size_t>(Cuts::kBlock, size_t(end - from));
      uint32_t* last = cuts_.find(reinterpret_cast<const uint8_t*>(from), n, scratch.cuts.get());
      if (last != scratch.cuts.get()) return from + scratch.cuts[0];
      from += n;
    }
    return end;
  }

  // What coarse cuts left together, cut exactly. In scripts without spaces most characters are units of
  // their own: one is emitted as soon as the next one does not join it.
  void encode_coarse(const char* p, const char* end, Ids& ids, Scratch& scratch) const {
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
        units_.spell(units_.symbols().of_character(c.code), {p, c.size}, ids);
      }
      p = cut, c = next, lone = behind;
    }
  }

  void encode_any(std::string_view unit, Ids& ids, Scratch& scratch) const {
    if (unit.size() > kMaxUnit) return encode_long(unit, ids, scratch);
    Key key = unit_key(unit);
    if (size_t found = scratch.units.find(key, ids.room(room_for(unit.size()))))
      ids.add(found);
    else
      merge_and_remember(unit, key, ids, scratch);
  }

  void merge_and_remember(std::string_view unit, const Key& key, Ids& ids, Scratch& scratch) const {
    size_t before = ids.size();
    if (!encode_spaces_apart(unit, ids, scratch)) units_.encode(unit, ids, nullptr, scratch.work);
    scratch.units.insert(key, ids.data() + before, ids.size() - before);
  }

  // A unit that is too long for the table of units.
  void encode_long(std::string_view unit, Ids& ids, Scratch& scratch) const {
    if (encode_spaces_apart(unit, ids, scratch)) return;
    if (unit.size() > LongUnits::kMaxSize) return units_.encode(unit, ids, nullptr, scratch.work);
    uint64_t hash = hash_text(unit, seed_);
    if (size_t found = scratch.long_units.find(unit, hash, ids.room(room_for(unit.size()))))
      return ids.add(found);
    size_t before = ids.size();
    units_.encode(unit, ids, nullptr, scratch.work);
    scratch.long_units.insert(unit, hash, ids.data() + before, ids.size() - before);
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
  bool encode_spaces_apart(std::string_view unit, Ids& ids, Scratch& scratch) const {
    size_t n = 0;
    while (n < unit.size() && unit[n] == ' ') n++;
    if (n < 2 || n == unit.size() || n > kMaxSpaces || !may_part_spaces_) return false;
    const std::vector<int32_t>& spaces = ids_of_spaces(n - 1, scratch);
    size_t first = ids.size();
    for (int32_t id : spaces) ids.push(id);
    encode_any(unit.substr(n - 1), ids, scratch);
    if (units_.may_meet(spaces.back(), ids.data()[first + spaces.size()], scratch.work)) return true;
    ids.resize(first);
    return false;
  }

  const std::vector<int32_t>& ids_of_spaces(size_t n, Scratch& scratch) const {
    if (scratch.spaces.size() <= n) scratch.spaces.resize(n + 1);
    std::vector<int32_t>& known = scratch.spaces[n];
    if (known.empty()) {
      Ids ids;
      units_.encode(std::string(n, ' '), ids, nullptr, scratch.work);
      known.assign(ids.data(), ids.data() + ids.size());
    }
    return known;
  }

  Vocabulary vocabulary_;
  uint64_t seed_;
  UnitEncoder units_;
  Joins joins_;
  Characters characters_;
  Cuts cuts_;
  bool may_part_spaces_;
  unsigned table_bits_;
  size_t kept_;
  std::vector<bool> whole_;  // short pieces that encode to themselves
  mutable std::atomic<Scratch*> places_[kMaxKept] = {};
};

}  // namespace spm
