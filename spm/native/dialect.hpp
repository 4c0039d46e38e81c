// Text -> ids as one oracle does it for one vocabulary. The specification is spm/text/dialect_*.py.
//
// A text is first laid out as stretches: ids that are there already (BOS, special pieces, EOS), and
// between them texts that merge. Then the stretches are encoded; long ones are cut into parts that are
// encoded apart, on several threads or one after the other.
#pragma once

#include <list>
#include <optional>

#include "encoder.hpp"
#include "normalizer.hpp"
#include "parallel.hpp"
#include "specials.hpp"

namespace spm {

struct DialectRules {
  bool prefix;              // a space goes before a text, and behind a special piece
  bool replaces_malformed;  // sentencepiece; llama.cpp takes any bytes as they are
  int32_t bos, eos;         // -1: none is added
  bool normalizes;          // sentencepiece's normaliser changes more than spaces
  bool respells = false;    // or takes them as they are only if they are code points: BPE
};

struct EncodeOptions {
  bool add_special, parse_special;
  bool begins = true;  // nothing but a special piece stands before this text
};

// A text, and whether it is known to be valid UTF-8.
struct Text {
  std::string_view bytes;
  bool valid;
};

class Dialect {
 public:
  // `specials` are those that are read always, and those with parse_special.
  Dialect(std::unique_ptr<const Encoder> encoder, DialectRules rules, std::vector<Special> specials,
          std::vector<Special> all_specials, std::optional<Normalizer> normalizer)
      : rules_(rules),
        specials_{Specials(std::move(specials)), Specials(std::move(all_specials))},
        normalizer_(std::move(normalizer)),
        encoder_(std::move(encoder)) {}

  const DialectRules& rules() const { return rules_; }
  size_t most_threads() const { return encoder_->kept(); }

  // What a thread encodes with; it may keep it for many texts.
  Encoder::Lease lease() const { return Encoder::Lease(*encoder_); }

  // Appends the ids of a text.
  void encode(Text text, EncodeOptions options, Ids& ids) const {
    Encoder::Lease scratch = lease();
    encode(text, options, ids, *scratch);
  }
  void encode(Text text, EncodeOptions options, Ids& ids, Encoder::Scratch& scratch) const {
    between_ends(options, ids, [&] {
      visit_stretches(text, options, false, [&](const Stretch& stretch) {
        encoder_->begin(scratch);
        encode(stretch, ids, scratch);
      });
    });
  }

  // Whether parts of a text may be encoded on several threads.
  bool parts_are_apart() const { return encoder_->parts_are_apart(); }

  // The same, the parts of long stretches on several threads.
  void encode_in_parallel(Text text, EncodeOptions options, size_t threads, Ids& ids) const {
    if (!parts_are_apart()) return encode(text, options, ids);
    size_t part_size = std::clamp<size_t>(text.bytes.size() / (8 * threads), 1 << 16, 1 << 22);
    Layout layout = lay_out(text, options, false);
    std::vector<Stretch> parts;
    for (const Stretch& stretch : layout.stretches)
      visit_parts(stretch, part_size, [&](const Stretch& part) { return parts.push_back(part), true; });
    encode_each(parts.size(), options, threads, ids,
                [&](size_t i, Ids& found, Encoder::Scratch& scratch) { encode(parts[i], found, scratch); });
  }

  // The same for a valid text that comes in parts, so that no memory is touched for all of it at once:
  // source.append_part(n, text) appends some n characters and says whether there are more.
  bool takes_parts(EncodeOptions options) const {
    return !rules_.normalizes && specials_[options.parse_special].empty();
  }
  template <class Source>
  void encode_parts(Source& source, EncodeOptions options, Ids& ids) const {
    Encoder::Lease scratch = lease();
    encoder_->begin(*scratch);
    between_ends(options, ids,
                 [&] { encode_source(source, rules_.prefix && options.begins, ids, *scratch); });
  }

  // The same for sources whose texts may be cut from each other, on several threads.
  template <class Source>
  void encode_parts_in_parallel(std::vector<Source> sources, EncodeOptions options, size_t threads,
                                Ids& ids) const {
    encode_each(sources.size(), options, threads, ids, [&](size_t i, Ids& found, Encoder::Scratch& scratch) {
      encode_source(sources[i], rules_.prefix && options.begins && i == 0, found, scratch);
    });
  }

  // Whether a text may be cut between two code points.
  bool may_cut(Code x, Code y) const { return encoder_->may_cut(x, y); }

  // Puts rows of ids one behind the other.
  static void append_all(const std::vector<Ids>& rows, size_t threads, Ids& ids) {
    std::vector<size_t> begins;
    size_t total = 0;
    for (const Ids& row : rows) begins.push_back(total), total += row.size();
    int32_t* out = ids.room(total);
    in_parallel(rows.size(), threads, [&](size_t i) {
      if (rows[i].size()) std::memcpy(out + begins[i], rows[i].data(), rows[i].size() * sizeof(int32_t));
    });
    ids.add(total);
  }

  // How many ids a text has, and the first of them behind BOS: a part at a time, and nothing is kept.
  struct Count {
    size_t n = 0;
    int32_t first = -1;
  };
  Count count(Text text, EncodeOptions options) const {
    Encoder::Lease scratch(*encoder_);
    Count count;
    Ids& ids = (*scratch).ids;
    int32_t last = -1;
    auto add = [&](const Stretch& part) {
      ids.resize(0);
      encode(part, ids, *scratch);
      encoder_->join_unknown(0, ids, nullptr);
      if (!ids.size()) return true;
      bool joins = encoder_->is_unknown(last) && ids.data()[0] == last;
      if (!count.n) count.first = ids.data()[0];
      count.n += ids.size() - joins;
      last = ids.data()[ids.size() - 1];
      return true;
    };
    visit_stretches(text, options, false, [&](const Stretch& stretch) {
      encoder_->begin(*scratch);
      visit_parts(stretch, kPart, add);
    });
    if (options.add_special) count.n += size_t(rules_.bos >= 0) + size_t(rules_.eos >= 0);
    return count;
  }

  // Appends the ids of a text without BOS and EOS, and the bytes where each stands; stops soon after
  // the first `limit` of them.
  void locate(Text text, EncodeOptions options, size_t limit, Ids& ids, std::vector<Span>& spans) const {
    Encoder::Lease scratch(*encoder_);
    auto add = [&](const Stretch& part) {
      size_t last = ids.size() - (ids.size() > 0);  // a run may go on from the part before
      locate(part, ids, spans, *scratch);
      encoder_->join_unknown(last, ids, &spans);
      return ids.size() <= limit;
    };
    visit_stretches(text, options, true, [&](const Stretch& stretch) {
      encoder_->begin(*scratch);
      if (ids.size() <= limit) visit_parts(stretch, kPart, add);
    });
  }

  // How many bytes of a text encode to the same ids whatever follows, and whether a special piece ends
  // there. The cut lemma tells, inside of what cannot be part of a special piece any more.
  struct Settled {
    size_t size = 0;
    bool after_special = false;
  };
  Settled settled(std::string_view text, bool parse_special) const {
    if (!parts_are_apart()) return {};
    if (rules_.normalizes) return {settled_before_normalizing(text), false};
    const Specials& specials = specials_[parse_special];
    size_t limit = valid_prefix(text);
    if (!specials.empty()) limit = std::min(limit, specials.settled(text));
    std::vector<Fragment> fragments = fragments_of(text.substr(0, limit), parse_special);
    if (fragments.empty()) return {};
    const Fragment& last = fragments.back();
    if (last.id >= 0) return {limit, true};  // with the white space that it swallowed
    // What follows decides whether the last character is cut from it.
    std::string_view plain = text.substr(last.begin, last.end - last.begin);
    // A special piece of stray bytes may begin or end inside of a character.
    if (valid_prefix(plain) < plain.size()) return {last.begin, last.begin > 0};
    size_t cut = encoder_->last_cut(plain, plain.size());
    return {last.begin + cut, cut == 0 && last.begin > 0};
  }

  // What the spines say of pieces, for who wants to check them.
  bool is_whole(std::string_view piece) const { return encoder_->is_whole(piece); }
  bool may_meet(std::string_view left, std::string_view right) const {
    return encoder_->may_meet(left, right);
  }

 private:
  static constexpr size_t kPart = 1 << 14;  // bytes that are encoded before one looks up

  // Either one id, or a text that merges. `origin` tells where its bytes come from, if they were
  // rewritten; otherwise they are those of the given text from `begin` on.
  struct Stretch {
    int32_t id = -1;
    std::string_view text{};
    bool prefix = false;
    bool exactly = false;  // any bytes, spaces written as ▁
    size_t begin = 0, end = 0;
    const std::vector<size_t>* origin = nullptr;
    size_t origin_begin = 0;
  };
  struct Layout {
    std::vector<Stretch> stretches;
    std::list<std::string> texts;  // that were rewritten
    std::list<std::vector<size_t>> origins;
  };

  // Calls visit(stretch) for each. Most texts are one as they are.
  template <class Visit>
  void visit_stretches(Text text, EncodeOptions options, bool with_origin, Visit visit) const {
    bool rewritten = rules_.normalizes || (normalizer_ && with_origin);
    if (text.valid && !rewritten && specials_[options.parse_special].empty()) {
      if (!text.bytes.empty()) visit(Stretch{.text = text.bytes, .prefix = rules_.prefix && options.begins});
      return;
    }
    Layout layout = lay_out(text, options, with_origin);
    for (const Stretch& stretch : layout.stretches) visit(stretch);
  }

  Layout lay_out(Text text, EncodeOptions options, bool with_origin) const {
    Layout layout;
    if (rules_.replaces_malformed)
      lay_out_normalized(text, options, layout, with_origin);
    else
      lay_out_fragments(text, options, layout, with_origin);
    return layout;
  }

  void lay_out_fragments(Text text, EncodeOptions options, Layout& layout, bool with_origin) const {
    std::vector<Fragment> fragments = fragments_of(text.bytes, options.parse_special);
    bool after_special = options.begins, valid = text.valid && fragments.size() <= 1;
    for (const Fragment& f : fragments) {
      if (f.id >= 0)
        layout.stretches.push_back({.id = f.id, .begin = f.begin, .end = f.end});
      else
        lay_out_plain(text.bytes, f, after_special && rules_.prefix, valid, layout, with_origin);
      after_special = f.id >= 0;
    }
  }

  std::vector<Fragment> fragments_of(std::string_view text, bool parse_special) const {
    std::vector<Fragment> fragments;
    const Specials& specials = specials_[parse_special];
    if (!specials.empty())
      specials.partition(text, fragments);
    else if (!text.empty())
      fragments.push_back({0, text.size(), -1});
    return fragments;
  }

  void lay_out_plain(std::string_view text, const Fragment& f, bool prefix, bool valid, Layout& layout,
                     bool with_origin) const {
    std::string_view part = text.substr(f.begin, f.end - f.begin);
    if (valid || valid_prefix(part) == part.size()) {
      layout.stretches.push_back({.text = part, .prefix = prefix, .begin = f.begin});
      return;
    }
    std::vector<size_t>* origin = with_origin ? &layout.origins.emplace_back() : nullptr;
    try {
      layout.texts.push_back(rules_.respells ? respell(part, origin) : escape(part, prefix, origin));
    } catch (NoCodePoint& error) {
      error.at += f.begin;
      throw;
    }
    layout.stretches.push_back(
        {.text = layout.texts.back(), .exactly = true, .begin = f.begin, .origin = origin});
  }

  // Where the cut lemma holds for the normalised text, what stands there was decided by what can be seen
  // already and begins what was rewritten, and no space before it could swallow one behind.
  size_t settled_before_normalizing(std::string_view text) const {
    size_t sight = normalizer_->sight();
    if (sight == 0 || text.size() < sight) return 0;
    std::string normalized;
    std::vector<size_t> origin;
    normalizer_->normalize(text, normalized, &origin);
    for (size_t cut = normalized.size(); (cut = encoder_->last_cut(normalized, cut)) > 0;) {
      bool seen = origin[cut] + sight <= text.size(), begins = origin[cut - 1] < origin[cut];
      if (seen && begins && !ends_with_space(std::string_view(normalized).substr(0, cut))) return origin[cut];
    }
    return 0;
  }

  static bool ends_with_space(std::string_view text) {
    return text.ends_with(' ') || text.ends_with(kMarkUtf8);
  }

  void lay_out_normalized(Text text, EncodeOptions options, Layout& layout, bool with_origin) const {
    if (text.bytes.empty()) return;
    // Where spaces alone change, it is asked only where the bytes of a user-defined piece come from.
    bool normalizes = rules_.normalizes || (normalizer_ && with_origin);
    if (!normalizes && (text.valid || valid_prefix(text.bytes) == text.bytes.size())) {
      layout.stretches.push_back({.text = text.bytes, .prefix = rules_.prefix && options.begins});
      return;
    }
    std::vector<size_t>* origin = with_origin ? &layout.origins.emplace_back() : nullptr;
    std::string& rewritten = layout.texts.emplace_back();
    if (normalizes)
      normalizer_->normalize(text.bytes, rewritten, origin, options.begins);
    else
      rewritten = replace_malformed(text.bytes, origin);
    bool prefix = rules_.prefix && options.begins && !normalizes;
    if (!rewritten.empty())
      layout.stretches.push_back({.text = rewritten, .prefix = prefix, .origin = origin});
  }

  // Calls visit(part) for parts of about `size` bytes that may be encoded apart, until it says false.
  template <class Visit>
  void visit_parts(const Stretch& stretch, size_t size, Visit visit) const {
    if (stretch.id >= 0 || stretch.exactly || stretch.text.size() <= size) {
      visit(stretch);
      return;
    }
    for (size_t begin = 0; begin < stretch.text.size();) {
      size_t end = encoder_->next_cut(stretch.text, begin + std::min(size, stretch.text.size() - begin));
      Stretch part = stretch;
      part.text = stretch.text.substr(begin, end - begin);
      part.prefix = stretch.prefix && begin == 0;
      (part.origin ? part.origin_begin : part.begin) += begin;
      if (!visit(part)) return;
      begin = end;
    }
  }

  // Lets `encode` append the ids of a whole text between BOS and EOS.
  template <class Encode>
  void between_ends(EncodeOptions options, Ids& ids, Encode encode) const {
    if (options.add_special && rules_.bos >= 0) ids.push(rules_.bos);
    size_t first = ids.size();
    encode();
    encoder_->join_unknown(first, ids, nullptr);
    if (options.add_special && rules_.eos >= 0) ids.push(rules_.eos);
  }

  // Lets encode(i, ids, scratch) append the ids of part i of a text, on several threads.
  template <class Encode>
  void encode_each(size_t n, EncodeOptions options, size_t threads, Ids& ids, Encode encode) const {
    std::vector<Ids> found(n);
    in_parallel(n, threads, [&](size_t i) {
      Encoder::Lease scratch = lease();
      encode(i, found[i], *scratch);
    });
    between_ends(options, ids, [&] { append_all(found, threads, ids); });
  }

  template <class Source>
  void encode_source(Source& source, bool prefix, Ids& ids, Encoder::Scratch& scratch) const {
    std::string text;
    ids.room(source.size() / 2);  // rarely more; what is not written to costs nothing
    for (bool more = true; more;) {
      more = source.append_part(std::max(kPart, text.size()), text);
      size_t cut = more ? encoder_->last_cut(text, text.size()) : text.size();
      if (cut == 0) continue;  // one unit so far
      try {
        encoder_->encode({text.data(), cut}, prefix, ids, scratch);
      } catch (const NoPieceForByte&) {
        while (more) text.clear(), more = source.append_part(kPart, text);  // what is no text is told first
        throw;
      }
      text.erase(0, cut);
      prefix = false;
    }
  }

  void encode(const Stretch& stretch, Ids& ids, Encoder::Scratch& scratch) const {
    if (stretch.id >= 0)
      ids.push(stretch.id);
    else if (stretch.exactly)
      encoder_->encode_exactly(stretch.text, ids, nullptr, scratch);
    else
      encoder_->encode(stretch.text, stretch.prefix, ids, scratch);
  }

  void locate(const Stretch& part, Ids& ids, std::vector<Span>& spans, Encoder::Scratch& scratch) const {
    if (part.id >= 0) {
      ids.push(part.id);
      spans.push_back({part.begin, part.end});
      return;
    }
    size_t first = spans.size();
    std::string with_space = part.prefix ? ' ' + std::string(part.text) : std::string();
    encoder_->encode_exactly(part.prefix ? with_space : part.text, ids, &spans, scratch);
    auto in_text = [&](size_t at) {
      at -= part.prefix && at > 0;
      return part.origin ? part.begin + (*part.origin)[part.origin_begin + at] : part.begin + at;
    };
    for (size_t i = first; i < spans.size(); i++) spans[i] = {in_text(spans[i].begin), in_text(spans[i].end)};
  }

  DialectRules rules_;
  Specials specials_[2];
  std::optional<Normalizer> normalizer_;
  std::unique_ptr<const Encoder> encoder_;
};

}  // namespace spm
