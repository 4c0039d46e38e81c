// Text -> ids for one vocabulary: parted into units, each looked up, and merged if it was never seen.
//
//     text    The theory of the cut          units   ▁The| ▁theory| ▁of| ▁the| ▁cut
//             found in the table: their ids are copied; not found: merged, and remembered
//
// Where units end is the business of those that inherit: the cut lemma for vocabularies that merge by
// scores (cut_encoder.hpp), and for sums of scores (unigram_encoder.hpp); the words of a pre-tokenizer
// (word_encoder.hpp).
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cuts.hpp"
#include "ids.hpp"
#include "unit_encoder.hpp"
#include "units.hpp"

namespace spm {

// A piece of at most kMaxUnit bytes.
struct KnownPiece {
  std::string text;
  int32_t id;
};

class Encoder {
 public:
  virtual ~Encoder() {
    for (auto& place : places_) delete place.load();
  }

  // What one thread needs while it encodes. How many are kept is bounded; more are made while more
  // threads encode at once.
  struct Scratch {
    Scratch(unsigned bits, unsigned long_bits, uint64_t seed) : units(bits, seed), long_units(long_bits) {}
    UnitTable units;
    LongUnits long_units;
    UnitEncoder::Work work;
    Ids ids;  // that nobody wants to keep
    std::unique_ptr<uint32_t[]> cuts = std::make_unique<uint32_t[]>(Cuts::kRoom);
    std::vector<uint32_t> ends;  // of words

    // Room for `n` ends; and gives it back if there is more than should be kept.
    uint32_t* room_for_ends(size_t n) {
      if (ends.size() < n) ends.resize(n);
      return ends.data();
    }
    void keep_ends(size_t most) {
      if (ends.size() > most) ends = {};
    }
    std::vector<std::vector<int32_t>> spaces;  // the ids of n spaces
    std::string first;                         // the first unit of a text with a space in front
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

  // A text begins: what was encoded before is no part of it.
  virtual void begin(Scratch&) const {}

  // Whether what lies behind a cut has the same ids whatever lies before it.
  virtual bool parts_are_apart() const { return true; }

  // Appends the ids of a text of well-formed characters, with a space in front if `prefix` is set.
  virtual void encode(std::string_view text, bool prefix, Ids& ids, Scratch& scratch) const = 0;

  // Appends the ids of a text of any bytes in which spaces are ▁ already, more slowly; and, if asked
  // for, where they stand.
  virtual void encode_exactly(std::string_view text, Ids& ids, std::vector<Span>* spans,
                              Scratch& scratch) const = 0;

  // Whether a text may be cut between two code points.
  virtual bool may_cut(Code x, Code y) const = 0;

  // Makes one id of every run of unknown ones, from the id at `first` on; spans go with their ids.
  void join_unknown(size_t first, Ids& ids, std::vector<Span>* spans) const {
    if (unknown_id_ < 0) return;
    int32_t* data = ids.data();
    size_t kept = first;
    for (size_t i = first; i < ids.size(); i++) {
      bool joins = i > first && data[i] == unknown_id_ && data[i - 1] == unknown_id_;
      if (joins && spans) (*spans)[kept - 1].end = (*spans)[i].end;
      if (joins) continue;
      if (spans) (*spans)[kept] = (*spans)[i];
      data[kept++] = data[i];
    }
    ids.resize(kept);
    if (spans) spans->resize(kept);
  }
  bool is_unknown(int32_t id) const { return id >= 0 && id == unknown_id_; }

  // Whether a piece encodes to itself alone, and whether two such pieces stay apart, as far as spines
  // tell.
  bool is_whole(std::string_view piece) const {
    Lease scratch(*this);
    return units_->is_whole(piece, (*scratch).work);
  }
  bool may_meet(std::string_view left, std::string_view right) const {
    Lease scratch(*this);
    return units_->may_meet(left, right, (*scratch).work);
  }

  // The last place before `limit` where a valid text may be cut, whatever follows; 0 if there is none.
  size_t last_cut(std::string_view text, size_t limit) const {
    for (size_t at = limit; at > 0;) {
      size_t before = begin_of_last(text, at);
      if (at < limit && may_cut(code_point(text, before), code_point(text, at))) return at;
      at = before;
    }
    return 0;
  }

  // The first place at or after `from` where a valid text may be cut; its size if there is none.
  size_t next_cut(std::string_view text, size_t from) const {
    while (from < text.size() && is_continuation(text[from])) from++;
    if (from == 0 || from >= text.size()) return std::min(from, text.size());
    Code before = code_point(text, begin_of_last(text, from));
    for (Character next; from < text.size(); from += next.size, before = next.code) {
      next = read_code_point(&text[from]);
      if (may_cut(before, next.code)) return from;
    }
    return text.size();
  }

 protected:
  // `memory` bounds, in bytes, what is kept from text to text. There are places for 2^fewer_long_bits
  // times fewer long units than short ones.
  Encoder(std::unique_ptr<UnitEncoder> units, size_t n_pieces, unsigned fewer_long_bits, int32_t unknown_id,
          uint64_t seed, size_t memory)
      : units_(std::move(units)),
        seed_(seed),
        unknown_id_(unknown_id),
        bits_(bits_of_tables(n_pieces, fewer_long_bits, memory)),
        kept_(std::clamp<size_t>(memory / bytes_of_scratch(bits_), 1, kMaxKept)) {}

  // Every piece is a unit that will come: its ids are known before the first text is. Those that come
  // first are put in last, where they stay.
  void remember_pieces(std::vector<KnownPiece> pieces) {
    auto scratch = std::make_unique<Scratch>(bits_.units, bits_.long_units, seed_);
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      Ids& ids = scratch->ids;
      ids.resize(0);
      try {
        units_->encode(piece->text, ids, nullptr, scratch->work);
      } catch (const NoPieceForByte&) {
        continue;
      } catch (const NeedsSpecification&) {
        continue;
      }
      Key key = unit_key(piece->text);
      if (ids.size() == 1 && ids.data()[0] == piece->id) whole_.push_back({key, piece->id});
      scratch->units.insert(key, ids.data(), ids.size());
    }
    place(std::move(scratch));
  }

  // Encodes the units that end at `positions` behind `base`, of a text that is `left` bytes from there
  // on; returns where the rest begins. What is too long for the table of units goes to encode_other.
  template <class EncodeOther>
  const char* encode_units(const char* begin, const char* base, const uint32_t* positions,
                           const uint32_t* last, const char* end, Ids& ids, Scratch& scratch,
                           EncodeOther encode_other) const {
    while (positions < last) {
      Units units;
      const size_t n = std::min<size_t>(kAtOnce, size_t(last - positions));
      begin = look_ahead(begin, base, positions, n, end, scratch, units);
      encode_units(units, n, ids, scratch, encode_other);
      positions += n;
    }
    return begin;
  }

  void encode_any(std::string_view unit, Ids& ids, Scratch& scratch) const {
    if (unit.size() > kMaxUnit) return encode_long(unit, ids, scratch);
    Key key = unit_key(unit);
    if (size_t found = scratch.units.find(key, ids.room(room_for(unit.size()))))
      ids.add(found);
    else
      merge_and_remember(unit, key, ids, scratch);
  }

  virtual void merge_and_remember(std::string_view unit, const Key& key, Ids& ids, Scratch& scratch) const {
    size_t before = ids.size();
    if (!encode_in_two(unit, ids, scratch)) units_->encode(unit, ids, nullptr, scratch.work);
    scratch.units.insert(key, ids.data() + before, ids.size() - before);
  }

  // A unit that is too long for the table of units.
  void encode_long(std::string_view unit, Ids& ids, Scratch& scratch) const {
    if (encode_in_two(unit, ids, scratch)) return;
    if (unit.size() > LongUnits::kMaxSize) return units_->encode(unit, ids, nullptr, scratch.work);
    uint64_t hash = hash_text(unit, seed_);
    if (size_t found = scratch.long_units.find(unit, hash, ids.room(room_for(unit.size()))))
      return ids.add(found);
    size_t before = ids.size();
    units_->encode(unit, ids, nullptr, scratch.work);
    scratch.long_units.insert(unit, hash, ids.data() + before, ids.size() - before);
  }

  // Encodes a unit by two others, if that is known to come to the same.
  virtual bool encode_in_two(std::string_view, Ids&, Scratch&) const { return false; }

  static bool is_continuation(char c) { return (uint8_t(c) & 0xC0) == 0x80; }
  static Code code_point(std::string_view text, size_t at) { return read_code_point(&text[at]).code; }
  static size_t begin_of_last(std::string_view text, size_t end) {
    do end--;
    while (end > 0 && is_continuation(text[end]));
    return end;
  }

  std::unique_ptr<UnitEncoder> units_;
  uint64_t seed_;

 private:
  static constexpr size_t kMaxKept = 64;
  static constexpr size_t kAtOnce = 16;  // units that are on their way from memory

  // Some units in a row, and where they would stand in the table; of long ones nothing is known.
  struct Units {
    const char* begins[kAtOnce + 1];
    Key keys[kAtOnce];
    const UnitTable::Entry* places[kAtOnce];
  };

  static const char* look_ahead(const char* begin, const char* base, const uint32_t* positions, size_t n,
                                const char* end, const Scratch& scratch, Units& units) {
    for (size_t i = 0; i < n; i++) {
      const char* cut = base + positions[i];
      const size_t size = size_t(cut - begin);
      units.begins[i] = begin;
      if (size <= kMaxUnit) [[likely]] {
        units.keys[i] = end - begin < 16 ? unit_key({begin, size}) : unit_key(begin, size);
        units.places[i] = scratch.units.bucket(units.keys[i]);
        prefetch(units.places[i]);
      }
      begin = cut;
    }
    return units.begins[n] = begin;
  }

  template <class EncodeOther>
  void encode_units(const Units& units, size_t n, Ids& ids, Scratch& scratch,
                    EncodeOther encode_other) const {
    int32_t* out = ids.room(room_for(size_t(units.begins[n] - units.begins[0])));
    for (size_t i = 0; i < n; i++) {
      const char *begin = units.begins[i], *cut = units.begins[i + 1];
      if (size_t(cut - begin) <= kMaxUnit) [[likely]] {
        if (size_t found = scratch.units.find(units.keys[i], units.places[i], out)) [[likely]] {
          out += found;
          continue;
        }
        ids.end_at(out);
        merge_and_remember({begin, size_t(cut - begin)}, units.keys[i], ids, scratch);
      } else {
        ids.end_at(out);
        encode_other(begin, cut);
      }
      out = ids.room(room_for(size_t(units.begins[n] - cut)));
    }
    ids.end_at(out);
  }

  // Ids that `n` bytes can have at most, and what a look-up may write beyond them.
  static size_t room_for(size_t n) { return 3 * n + kInlineIds; }

  struct Bits {
    unsigned units, long_units;
  };
  static Bits bits_of_tables(size_t n_pieces, unsigned fewer_long_bits, size_t memory) {
    unsigned bits = n_pieces > 50'000 ? 18 : 17;
    while (bits > 8 && bytes_of_scratch({bits, bits - fewer_long_bits}) > memory) bits--;
    return {bits, bits - fewer_long_bits};
  }
  // Two tables, what they store beside them at most, and the rest.
  static size_t bytes_of_scratch(Bits bits) {
    return UnitTable::bytes(bits.units) + LongUnits::bytes(bits.long_units) + (size_t(1) << 20);
  }

  std::unique_ptr<Scratch> new_scratch() const {
    auto scratch = std::make_unique<Scratch>(bits_.units, bits_.long_units, seed_);
    for (const auto& [key, id] : whole_) scratch->units.insert(key, &id, 1);
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

  int32_t unknown_id_;  // of which a run is one id; -1: none
  Bits bits_;
  size_t kept_;
  std::vector<std::pair<Key, int32_t>> whole_;  // short pieces that encode to themselves
  mutable std::atomic<Scratch*> places_[kMaxKept] = {};
};

}  // namespace spm
