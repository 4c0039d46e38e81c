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
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "characters.hpp"
#include "cuts.hpp"
#include "ids.hpp"
#include "joins.hpp"
#include "merge.hpp"
#include "spines.hpp"
#include "piece_trie.hpp"
#include "units.hpp"

namespace spm {

// A character was met that has no piece, and neither has one of its bytes.
struct NoPieceForByte {
  uint8_t byte;
};

// A piece came out that only the specification can resolve (sentencepiece's UNUSED).
struct NeedsSpecification {};

struct Vocabulary {
  std::vector<Mergeable> pieces;                              // the best ranks first
  std::vector<std::pair<std::string, int32_t>> user_defined;  // space form; found before merging
  std::vector<int32_t> unused;                                // ids that only the specification resolves
  int32_t byte_ids[256];                                      // -1: no piece
  int32_t unknown_id;                                         // -1: what is no piece is spelled by its bytes
};

class Encoder {
 public:
  // `memory` bounds, in bytes, what is kept from text to text.
  Encoder(Vocabulary vocabulary, uint64_t seed, Isa isa, size_t memory)
      : vocabulary_(std::move(vocabulary)),
        seed_(seed),
        symbols_(vocabulary_.pieces, seed),
        joins_(vocabulary_.pieces, seed),
        characters_(symbols_, joins_, vocabulary_.unused),
        cuts_(vocabulary_.pieces, joins_, isa),
        merger_(symbols_),
        user_defined_(vocabulary_.user_defined.size(), seed),
        table_bits_(bits_of_table(vocabulary_.pieces.size(), memory)),
        kept_(std::clamp<size_t>(memory / bytes_of_scratch(table_bits_), 1, kMaxKept)) {
    for (size_t i = 0; i < vocabulary_.user_defined.size(); i++) {
      const std::string& text = vocabulary_.user_defined[i].first;
      user_defined_.insert(text, uint32_t(i));
      user_defined_has_space_ = user_defined_has_space_ || text.find(' ') != text.npos;
    }
    user_defined_.finish();
    const int32_t (&bytes)[256] = vocabulary_.byte_ids;
    lacks_bytes_ = vocabulary_.unknown_id < 0 && *std::min_element(bytes, bytes + 256) < 0;
    classify_ids();
    place(new_scratch(true));
  }
  ~Encoder() {
    for (auto& place : places_) delete place.load();
    delete trie_.load();
  }

  // What one thread needs while it encodes. How many are kept is bounded; more are made while more
  // threads encode at once.
  struct Scratch {
    Scratch(unsigned bits, uint64_t seed) : units(bits, seed), long_units(bits - 4) {}
    UnitTable units;
    LongUnits long_units;
    std::vector<Node> row;
    Ids ids;  // that nobody wants to keep
    std::unique_ptr<uint32_t[]> cuts = std::make_unique<uint32_t[]>(Cuts::kRoom);
    std::unique_ptr<Spines> spines;
    std::unique_ptr<Search> search;
    size_t merged_long = 0;                    // characters of long units so far
    std::vector<std::vector<int32_t>> spaces;  // the ids of n spaces
  };

  // A scratch of one's own for as long as one encodes. There is no lock: a thread takes one out of its
  // place and puts it back into any that is empty, so a fork at any moment leaves nothing locked.
  class Lease {
   public:
    explicit Lease(const Encoder& encoder) : encoder_(encoder) {
      for (size_t i = 0; i < encoder.kept_ && !scratch_; i++)
        scratch_.reset(encoder.places_[i].exchange(nullptr));
      if (!scratch_) scratch_ = encoder.new_scratch(false);
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
      merge_unit({begin, size_t(next - begin)}, ids, spans, scratch);
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
    return spines(*scratch).is_whole(symbol_of_text(piece));
  }
  bool may_meet(std::string_view left, std::string_view right) const {
    Lease scratch(*this);
    return spines(*scratch).may_meet(symbol_of_text(left), symbol_of_text(right));
  }

  // Whether a text may be cut between two code points.
  bool may_cut(Code x, Code y) const {
    return !joins_.join(x == kMark ? kSpace : x, y == kMark ? kSpace : y);
  }

  // The last place before `limit` where a valid text may be cut, whatever follows; 0 if there is none.
  size_t last_cut(std::string_view text, size_t limit) const {
    while (limit > 0) {
      size_t at = limit - 1;
      while (at > 0 && is_continuation(text[at])) at--;
      if (at == 0) return 0;
      size_t before = at - 1;
      while (before > 0 && is_continuation(text[before])) before--;
      if (!joins_.join(read_well_formed(&text[before]).code, read_well_formed(&text[at]).code)) return at;
      limit = at;
    }
    return 0;
  }

  // The first place at or after `from` where a valid text may be cut; its size if there is none.
  size_t next_cut(std::string_view text, size_t from) const {
    while (from < text.size() && is_continuation(text[from])) from++;
    if (from == 0 || from >= text.size()) return std::min(from, text.size());
    size_t before = from - 1;
    while (before > 0 && is_continuation(text[before])) before--;
    Character left = read_well_formed(&text[before]);
    while (from < text.size()) {
      Character right = read_well_formed(&text[from]);
      if (!joins_.join(left.code, right.code)) return from;
      left = right;
      from += right.size;
    }
    return text.size();
  }

 private:
  static constexpr size_t kMaxKept = 64;
  static constexpr size_t kMaxSpaces = 256;
  static constexpr size_t kHeapAllowance =
      4;  // characters of long units for each piece, before the trie is built
  static constexpr size_t kMaxMatches = 64;  // sentencepiece normalizer.cc, PrefixMatcher
  static constexpr int32_t kUnused = -2;     // kinds of ids, where they are no symbols
  static constexpr int32_t kOther = -1;

  static bool is_continuation(char c) { return (uint8_t(c) & 0xC0) == 0x80; }

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

  // Every piece is a unit that will come: its ids are known before the first text is.
  std::unique_ptr<Scratch> new_scratch(bool first) const {
    auto scratch = std::make_unique<Scratch>(table_bits_, seed_);
    Ids ids;
    for (size_t i = vocabulary_.pieces.size(); i-- > 0;) {  // the best ranks last, where they stay
      const std::string& text = vocabulary_.pieces[i].text;
      if (text.size() > kMaxUnit || (!first && !whole_[i])) continue;
      ids.resize(0);
      if (whole_[i] || !first) {
        ids.push(vocabulary_.pieces[i].id);
      } else {
        try {
          merge_unit(text, ids, nullptr, *scratch);
        } catch (const NoPieceForByte&) {
          continue;
        } catch (const NeedsSpecification&) {
          continue;
        }
        whole_[i] = ids.size() == 1 && ids.data()[0] == vocabulary_.pieces[i].id;
      }
      char padded[16] = {};
      std::memcpy(padded, text.data(), text.size());
      scratch->units.insert(unit_key(padded, text.size()), ids.data(), ids.size());
    }
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
    size_t size = size_t(next - begin) + 1;
    if (size <= kMaxUnit) {
      char padded[16] = {' '};
      std::memcpy(padded + 1, begin, size - 1);
      encode_unit(padded, size, unit_key(padded, size), ids, scratch);
    } else {
      encode_long(' ' + std::string(begin, next), ids, scratch);
    }
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
      encode_coarse(begin, cut, end, ids, scratch);
      return cut;
    }
    char padded[16] = {};
    int32_t* out = ids.room(room_for(n + 1));
    for (uint32_t* position = positions; position < last; position++) {
      const char* cut = base + *position;
      size_t size = size_t(cut - begin);
      if (size <= kMaxUnit) [[likely]] {
        const char* source = begin;
        if (end - begin < 16) [[unlikely]]
          source = static_cast<const char*>(std::memcpy(padded, begin, size));
        Key key = unit_key(source, size);
        size_t found = scratch.units.find(key, out);
        out += found;
        if (found) [[likely]] {
          begin = cut;
          continue;
        }
        ids.end_at(out);
        merge_and_remember(source, size, key, ids, scratch);
      } else {
        ids.end_at(out);
        encode_coarse(begin, cut, end, ids, scratch);
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
  // their own: one is emitted as soon as the next one does not join it. `limit` is how far the text goes.
  void encode_coarse(const char* p, const char* end, const char* limit, Ids& ids, Scratch& scratch) const {
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
        encode_exact_unit(p, size_t(cut - p), limit, ids, scratch);
        if (cut < end) next = read_well_formed(cut), behind = characters_[next.code];
      } else if (lone.id >= 0) {
        ids.push(lone.id);
      } else {
        spell(symbols_.of_character(c.code), {p, c.size}, ids);
      }
      p = cut, c = next, lone = behind;
    }
  }

  void encode_exact_unit(const char* p, size_t size, const char* limit, Ids& ids, Scratch& scratch) const {
    if (size > kMaxUnit) return encode_long({p, size}, ids, scratch);
    char padded[16] = {};
    if (limit - p < 16) p = static_cast<const char*>(std::memcpy(padded, p, size));
    encode_unit(p, size, unit_key(p, size), ids, scratch);
  }

  void encode_unit(const char* p, size_t size, const Key& key, Ids& ids, Scratch& scratch) const {
    size_t found = scratch.units.find(key, ids.room(room_for(size)));
    if (found)
      ids.add(found);
    else
      merge_and_remember(p, size, key, ids, scratch);
  }

  void merge_and_remember(const char* p, size_t size, const Key& key, Ids& ids, Scratch& scratch) const {
    size_t before = ids.size();
    if (!encode_spaces_apart({p, size}, ids, scratch)) merge_unit({p, size}, ids, nullptr, scratch);
    scratch.units.insert(key, ids.data() + before, ids.size() - before);
  }

  // A unit that is too long for the table of units.
  void encode_long(std::string_view unit, Ids& ids, Scratch& scratch) const {
    if (encode_spaces_apart(unit, ids, scratch)) return;
    if (unit.size() > LongUnits::kMaxSize) return merge_unit(unit, ids, nullptr, scratch);
    uint64_t hash = hash_text(unit, seed_);
    if (size_t found = scratch.long_units.find(unit, hash, ids.room(room_for(unit.size()))))
      return ids.add(found);
    size_t before = ids.size();
    merge_unit(unit, ids, nullptr, scratch);
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
  // of the one and the first of the other may meet. Apart they may need a byte that has no piece.
  bool encode_spaces_apart(std::string_view unit, Ids& ids, Scratch& scratch) const {
    size_t n = 0;
    while (n < unit.size() && unit[n] == ' ') n++;
    if (n < 2 || n == unit.size() || n > kMaxSpaces || user_defined_has_space_ || lacks_bytes_) return false;
    const std::vector<int32_t>& spaces = ids_of_spaces(n - 1, scratch);
    size_t first = ids.size();
    for (int32_t id : spaces) ids.push(id);
    std::string_view rest = unit.substr(n - 1);
    if (rest.size() <= kMaxUnit) {
      char padded[16] = {};
      std::memcpy(padded, rest.data(), rest.size());
      encode_unit(padded, rest.size(), unit_key(padded, rest.size()), ids, scratch);
    } else {
      merge_unit(rest, ids, nullptr, scratch);
    }
    if (may_meet(spaces.back(), ids.data()[first + spaces.size()], spines(scratch))) return true;
    ids.resize(first);
    return false;
  }

  // Only what is known to be whole tells by its spine whether it merges; very long pieces are not.
  bool may_meet(int32_t left, int32_t right, Spines& spines) const {
    int32_t x = symbol_of(left), y = symbol_of(right);
    if (x < 0 || y < 0 || !spines.is_whole(Symbol(x)) || !spines.is_whole(Symbol(y))) return false;
    return spines.may_meet(Symbol(x), Symbol(y));
  }

  const std::vector<int32_t>& ids_of_spaces(size_t n, Scratch& scratch) const {
    if (scratch.spaces.size() <= n) scratch.spaces.resize(n + 1);
    std::vector<int32_t>& known = scratch.spaces[n];
    if (known.empty()) {
      Ids ids;
      merge_unit(std::string(n, ' '), ids, nullptr, scratch);
      known.assign(ids.data(), ids.data() + ids.size());
    }
    return known;
  }

  // ---- merging

  // User-defined pieces never merge; what lies between them does. The longest at the leftmost place
  // counts; of those that begin each other no more than 64 are seen.
  void merge_unit(std::string_view unit, Ids& ids, std::vector<Span>* spans, Scratch& scratch) const {
    size_t begin = 0;
    const char* end = unit.data() + unit.size();
    for (size_t at = 0; at < unit.size() && !vocabulary_.user_defined.empty();) {
      auto [size, id] = user_defined_at(unit, at);
      if (size) {
        merge_stretch(unit, begin, at, ids, spans, scratch);
        emit(id, {at, at + size}, ids, spans);
        begin = at += size;
      } else {
        at += read_character(unit.data() + at, end).size;
      }
    }
    merge_stretch(unit, begin, unit.size(), ids, spans, scratch);
  }

  std::pair<size_t, int32_t> user_defined_at(std::string_view unit, size_t at) const {
    std::pair<size_t, int32_t> found{0, 0};
    PieceTrie::Index node = PieceTrie::kRoot;
    const char *p = unit.data() + at, *end = unit.data() + unit.size();
    for (size_t matches = 0; p < end && matches < kMaxMatches;) {
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
                     Scratch& scratch) const {
    std::vector<Node>& row = scratch.row;
    row.clear();
    for (size_t at = begin; at < end;) {
      Character c = read_character(unit.data() + at, unit.data() + end);
      row.push_back({symbols_.of_character(c.code), uint32_t(at), c.code});
      at += c.size;
    }
    if (row.size() > ShortRow::kMost)
      merge_long(row, scratch);
    else if (row.size() > 1)
      row.resize(merger_.merge_short(row.data(), row.size()));
    for (size_t i = 0; i < row.size(); i++) {
      size_t next = i + 1 < row.size() ? row[i + 1].begin : end;
      size_t first = ids.size();
      spell(row[i].symbol, unit.substr(row[i].begin, next - row[i].begin), ids);
      if (spans) place_spans({row[i].begin, next}, ids.size() - first, *spans);
    }
  }

  // The first long units are merged by an agenda; the trie that makes them linear costs milliseconds,
  // so they must have earned it.
  void merge_long(std::vector<Node>& row, Scratch& scratch) const {
    scratch.merged_long += row.size();
    if (scratch.merged_long < kHeapAllowance * vocabulary_.pieces.size()) return merger_.merge_long(row);
    if (!scratch.search) scratch.search = std::make_unique<Search>(trie());
    if (!scratch.search->merge(row, spines(scratch))) merger_.merge_long(row);
  }

  Spines& spines(Scratch& scratch) const {
    if (!scratch.spines) scratch.spines = std::make_unique<Spines>(vocabulary_.pieces, symbols_);
    return *scratch.spines;
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

  // ---- ids

  // The id of a symbol, or those of its bytes; a space is spelled as the ▁ that it stands for.
  void spell(Symbol symbol, std::string_view text, Ids& ids) const {
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

  void emit(int32_t id, Span span, Ids& ids, std::vector<Span>* spans) const {
    ids.push(id);
    if (spans) spans->push_back(span);
  }

  // Of a symbol spelled by n ids the last owns all of it; the others are empty at its beginning.
  static void place_spans(Span symbol, size_t n, std::vector<Span>& spans) {
    for (size_t i = 0; i + 1 < n; i++) spans.push_back({symbol.begin, symbol.begin});
    spans.push_back(symbol);
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
    whole_.resize(vocabulary_.pieces.size());
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
  Symbols symbols_;
  Joins joins_;
  Characters characters_;
  Cuts cuts_;
  Merger merger_;
  PieceTrie user_defined_;
  bool user_defined_has_space_ = false;
  bool lacks_bytes_ = false;  // a character may come out that nothing spells
  std::vector<int32_t> symbol_of_id_;
  unsigned table_bits_;
  size_t kept_;
  mutable std::vector<bool> whole_;  // pieces that encode to themselves; written before anyone else reads
  mutable std::atomic<Scratch*> places_[kMaxKept] = {};
  mutable std::atomic<PieceTrie*> trie_ = nullptr;
};

}  // namespace spm
