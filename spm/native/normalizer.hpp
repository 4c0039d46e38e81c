// sentencepiece's normaliser: a text as typed -> the text that merges, with the way back. The
// specification is spm/text/normalize.py (sentencepiece normalizer.cc, `Normalizer::Normalize`).
//
// Theory. Step by step a prefix of the text is replaced: a user-defined piece by itself, a key of the
// charsmap by what the charsmap says, any other character by itself. Nearly all characters stay as
// they are, and this is known of most of them beforehand: if no piece and no key begins with a
// character, or is a part of it, nothing can happen to it. Many a character begins longer keys only
// (A begins A + U+0300, which becomes À); then what follows it decides, most often with the next byte:
//
//     changes_[A][B]     is false: an A before a B stays as it is
//     changes_[A][0xCC]  is true: U+0300 begins with that byte
//     stays_[か]         is the place in the charsmap's trie from where U+3099 would lead on to が
//
// So a text is copied in stretches, ASCII eight bytes at a time with one look into `changes_` for each
// pair of neighbours, other characters of the basic plane with one look into `stays_`; only where
// something may happen does the text go the way of the specification. Single spaces are part of a
// stretch if a space is written for a space. The two tables take 320 KB.
#pragma once

#include <array>

#include "charsmap.hpp"
#include "prefix_matcher.hpp"
#include "text.hpp"

namespace spm {

struct NormalizerRules {
  bool add_dummy_prefix, remove_extra_whitespaces, treat_whitespace_as_suffix;
  bool escape_whitespaces;  // ▁ stands for a space, whatever is written for one here
  std::string space;        // what is written for a space: ▁, or U+0020
};

// The specification refuses a text: the charsmap makes `size` bytes of its first `pos`.
struct Growth {
  size_t pos, size;
};

class Normalizer {
 public:
  Normalizer(NormalizerRules rules, std::vector<std::string> user_defined, std::string_view charsmap)
      : rules_(std::move(rules)),
        user_defined_(std::move(user_defined)),
        charsmap_(charsmap),
        stays_(kBasicPlane),
        changes_(256) {
    for (uint32_t code = 0x80; code < kBasicPlane; code++) stays_[code] = after(code);
    for (int x = 0; x < 256; x++)
      for (int y = 0; y < 256; y++) changes_[x][y] = x >= 0x80 || changes(uint8_t(x), uint8_t(y));
    for (int y = 0; y < 256; y++) is_only_space_[y] = !begins_more(' ', uint8_t(y));
  }

  // Appends the normalised text. `origin`, if given, gets for each byte appended the byte of `text`
  // that it came from, and one entry more for the end. Without `begins` the text goes on from another
  // that does not end with a space: none is put in front, and of those that are there one stays. Throws
  // Growth.
  void normalize(std::string_view text, std::string& out, std::vector<size_t>* origin,
                 bool begins = true) const {
    Output output(rules_, out, origin);
    size_t pos = rules_.remove_extra_whitespaces && begins ? leading_spaces(text) : 0;
    bool as_suffix = rules_.treat_whitespace_as_suffix;
    if (pos == text.size()) return output.end(pos);
    if (rules_.add_dummy_prefix && begins && !as_suffix) output.write(" ", pos);
    rewrite(text, pos, output, rules_.remove_extra_whitespaces && begins);
    pos = text.size();
    if (rules_.remove_extra_whitespaces) pos = output.drop_trailing_spaces(pos);
    if (rules_.add_dummy_prefix && as_suffix) output.write(" ", pos);
    output.end(pos);
  }

  // How many bytes decide what a text begins with; 0 if even its end is written before it is known.
  size_t sight() const {
    if (rules_.treat_whitespace_as_suffix) return 0;
    return std::max(kMaxKey, user_defined_.longest());
  }

 private:
  static constexpr size_t kMaxKey = 256;     // bytes; spm/text/charsmap.py lets no longer one pass
  static constexpr size_t kMaxGrowth = 100;  // bytes of output for one of input
  static constexpr uint32_t kBasicPlane = 0x10000;
  static constexpr uint32_t kStays = 0xFFFFFFFF;  // in `stays_`: whatever follows
  static constexpr uint32_t kAsk = 0xFFFFFFFE;    // the specification has to tell

  // What stands at the beginning of a text, normalised, and how many bytes of the text that is.
  struct Prefix {
    std::string_view text;
    size_t size;
  };

  class Output {
   public:
    Output(const NormalizerRules& rules, std::string& out, std::vector<size_t>* origin)
        : rules_(rules), out_(out), origin_(origin), begin_(out.size()), counted_(out.size()) {}

    // Well-formed characters from `pos` on that stay as they are. Each comes from its first byte.
    void copy(std::string_view characters, size_t pos) {
      out_ += characters;
      if (!origin_) return;
      size_t first = pos;
      for (char c : characters) {
        if ((c & 0xC0) != 0x80) first = pos;
        origin_->push_back(first);
        pos++;
      }
    }

    // What became of the prefix at `pos`.
    void write(std::string_view prefix, size_t pos) {
      size_t size = out_.size();
      for (char c : prefix) {
        if (c == ' ')
          out_ += rules_.space;
        else
          out_ += c;
      }
      if (origin_) origin_->insert(origin_->end(), out_.size() - size, pos);
    }

    // Throws if the first `pos` bytes of the text have grown too much.
    void check_growth(size_t pos) {
      size_t limit = kMaxGrowth * (pos + 1), at_most = kMarkText.size() * (out_.size() - begin_);
      if (at_most > limit && specified_size() > limit) throw Growth{pos, specified_size()};
    }

    // Typed ▁ too; returns where the text ends then.
    size_t drop_trailing_spaces(size_t pos) {
      while (size_t size = trailing_space()) {
        out_.resize(out_.size() - size);
        if (!origin_) continue;
        origin_->resize(origin_->size() - size + 1);
        pos = origin_->back();
        origin_->pop_back();
      }
      return pos;
    }

    void end(size_t pos) {
      if (origin_) origin_->push_back(pos);
    }

   private:
    static constexpr std::string_view kMarkText = kMarkUtf8;

    // The bytes of the specification's text, in which U+0020 may be ▁. Each is looked at once.
    size_t specified_size() {
      for (; counted_ < out_.size(); counted_++) n_spaces_ += out_[counted_] == ' ';
      size_t longer = rules_.escape_whitespaces ? kMarkText.size() - 1 : 0;
      return out_.size() - begin_ + n_spaces_ * longer;
    }
    size_t trailing_space() const {
      std::string_view written = std::string_view(out_).substr(begin_);
      if (written.ends_with(rules_.space)) return rules_.space.size();
      return rules_.escape_whitespaces && written.ends_with(kMarkText) ? kMarkText.size() : 0;
    }

    const NormalizerRules& rules_;
    std::string& out_;
    std::vector<size_t>* origin_;
    size_t begin_, counted_, n_spaces_ = 0;
  };

  // ---- the specification

  size_t leading_spaces(std::string_view text) const {
    size_t pos = 0;
    while (pos < text.size()) {
      Prefix prefix = prefix_of(text.substr(pos));
      if (prefix.text != " ") break;
      pos += prefix.size;
    }
    return pos;
  }

  void rewrite(std::string_view text, size_t pos, Output& output, bool after_space) const {
    bool collapse = rules_.remove_extra_whitespaces;
    while (pos < text.size()) {
      if (after_space) pos = skip_spaces(text, pos);
      if (size_t end = unchanged(text, pos); end > pos) {
        output.copy(text.substr(pos, end - pos), pos);
        pos = end;
        after_space = collapse && text[pos - 1] == ' ';
        continue;
      }
      auto [prefix, size] = prefix_of(text.substr(pos));
      if (after_space) prefix.remove_prefix(std::min(prefix.find_first_not_of(' '), prefix.size()));
      output.write(prefix, pos);
      if (collapse && !prefix.empty()) after_space = prefix.back() == ' ';
      pos += size;
      output.check_growth(pos);
    }
  }

  Prefix prefix_of(std::string_view text) const {
    if (size_t size = user_defined_.size(text)) return {text.substr(0, size), size};
    if (Charsmap::Found found = charsmap_.longest_prefix(text); found.size)
      return {found.replacement, found.size};
    if (size_t size = well_formed_size(bytes(text), text.size())) return {text.substr(0, size), size};
    return {kReplacement, 1};
  }

  // ---- what stays as it is

  // The end of a stretch, from `pos` on, in which every character is written as it is and each for
  // itself; `pos` if that is not certain of the first.
  size_t unchanged(std::string_view text, size_t pos) const {
    const uint8_t* p = bytes(text);
    while (pos + 1 < text.size()) {
      if (p[pos] < 0x80) {
        while (pos + 8 < text.size() && !(any_of_four(p + pos) | any_of_four(p + pos + 4))) pos += 8;
        if (pos + 1 == text.size() || changes_[p[pos]][p[pos + 1]]) break;
        pos++;
      } else {
        size_t size = unchanged_size(text.substr(pos));
        if (!size) break;
        pos += size;
      }
    }
    return pos;
  }

  bool any_of_four(const uint8_t* p) const {
    return changes_[p[0]][p[1]] | changes_[p[1]][p[2]] | changes_[p[2]][p[3]] | changes_[p[3]][p[4]];
  }

  // The bytes of the first character if it is above ASCII and certain to stay as it is, else 0.
  size_t unchanged_size(std::string_view text) const {
    const uint8_t* p = bytes(text);
    size_t size = well_formed_size(p, text.size());
    if (size != 2 && size != 3) return 0;
    uint32_t place = stays_[size == 2 ? (p[0] & 0x1F) << 6 | (p[1] & 0x3F)
                                      : (p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F)];
    if (place == kStays) return size;
    return place == kAsk || is_key_prefix(place, text.substr(size)) ? 0 : size;
  }

  // Drops the spaces of a run; one that may be more together with what follows is left, and is the
  // beginning of no stretch.
  size_t skip_spaces(std::string_view text, size_t pos) const {
    while (pos + 1 < text.size() && text[pos] == ' ' && is_only_space_[uint8_t(text[pos + 1])]) pos++;
    return pos;
  }

  // Whether a key goes on from a place in the charsmap as the text does, and ends.
  bool is_key_prefix(uint32_t base, std::string_view text) const {
    Charsmap::Place place{base, false};
    for (char c : text) {
      if (!charsmap_.step(place, uint8_t(c))) return false;
      if (place.is_key) return true;
    }
    return false;
  }

  // For `stays_`: follows the bytes of a character.
  uint32_t after(uint32_t code) const {
    char bytes[4];
    std::string_view character(bytes, write_character(code, bytes));
    if (user_defined_.may_begin(character)) return kAsk;
    Charsmap::Place place = charsmap_.root();
    for (char c : character) {
      if (!charsmap_.step(place, uint8_t(c))) return kStays;
      if (place.is_key) return kAsk;
    }
    return place.base;
  }

  // For `changes_`: an ASCII character before a byte.
  bool changes(uint8_t x, uint8_t next) const {
    if (x == ' ' && rules_.space != " ") return true;
    if (x == ' ' && next == ' ' && rules_.remove_extra_whitespaces) return true;
    return begins_more(x, next);
  }

  // Whether a piece or a key may begin with an ASCII character that stands before a byte.
  bool begins_more(uint8_t x, uint8_t next) const {
    const char both[] = {char(x), char(next)};
    if (user_defined_.may_begin({both, 2})) return true;
    Charsmap::Place place = charsmap_.root();
    return charsmap_.step(place, x) && (place.is_key || charsmap_.step(place, next));
  }

  // Of the basic plane, above ASCII.
  static size_t write_character(uint32_t code, char* out) {
    size_t size = code < 0x800 ? 2 : 3;
    for (size_t i = size - 1; i > 0; i--, code >>= 6) out[i] = char(0x80 | (code & 0x3F));
    out[0] = char((size == 2 ? 0xC0 : 0xE0) | code);
    return size;
  }

  static const uint8_t* bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

  static constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

  NormalizerRules rules_;
  PrefixMatcher user_defined_;
  Charsmap charsmap_;
  std::vector<uint32_t> stays_;                 // of characters of the basic plane: kStays, kAsk or a place
  std::vector<std::array<bool, 256>> changes_;  // [x][y]: whether x may change before y
  std::array<bool, 256> is_only_space_;         // [y]: whether a space before y is a prefix of its own
};

}  // namespace spm
