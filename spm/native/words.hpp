// A text -> its words, as the pre-tokenizer of a BPE vocabulary parts it. The specification, with the
// patterns themselves, is spm/text/pretokenize.py.
//
// Theory. A pre-tokenizer is a row of stages. Each parts what the one before it left together, and sees
// nothing beyond. There are two kinds:
//
//     Runs    runs of some characters, or so many of them; what lies between is a word as well
//     Words   the pattern that nearly all vocabularies have, in its variants
//
//     text             It's  2024!!\n  ok
//     Words (GPT-2)    It|'s| | 2024|!!|\n | ok
//     Words (Llama-3)  It|'s| | |202|4|!!\n| | ok
//
// The pattern of words, alternatives in order:
//
//     contraction      's 't 're 've 'm 'll 'd, in lower or in any case, or behind letters
//     letters          led by one character that is none, or by a space
//     numbers          so many at most, or all of them and led by a space
//     others           led by a space, and with the newlines (and slashes) behind them
//     white space      up to its last newline; or all but its last character, which leads what follows
//
// What a character is, is one look into a table of classes. All is found in one pass, and no character is
// looked at more often than a fixed number of times.
//
// Safe borders. Where a run of the first stage ends, and where it begins if nothing leads it. Where x is no
// white space and y is, a word ends whatever stands around: only newlines behind others belong to them.
// Where x is a letter and y one of the others, unless y is the apostrophe of a contraction behind letters.
// And where x is a newline and y a letter, if white space ends with its last newline. So a text may be cut
// there, and each side has the words that it has in the whole.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ascii_words.hpp"
#include "text.hpp"

namespace spm {

// What a code point is: one of the first nine, and any of the others.
using Class = uint16_t;
enum : Class {
  kLetter = 1,
  kNumber = 2,
  kAccent = 4,  // a mark: category M
  kPunctuation = 8,
  kSign = 16,  // a symbol: category S
  kElse = 32,
  kNewline = 64,  // \r or \n
  kBlank = 128,   // U+0020
  kGap = 256,     // any other white space
  kSlash = 512,
  kLower = 1024,  // a-z
  kUpper = 2048,  // A-Z
  kDigit = 4096,  // 0-9
  kSet1 = 8192,   // what a stage names by its code points
  kSet2 = 16384,
  kSet3 = 32768,
};
constexpr Class kWhite = kNewline | kBlank | kGap;

// Code point -> class; most planes are alike.
class Classes {
 public:
  struct Run {
    Code begin;  // up to the next run
    Class is;
  };

  explicit Classes(const std::vector<Run>& runs) : blocks_(kLast / kBlock + 1) {
    std::vector<Class> block(kBlock);
    size_t run = 0;
    for (Code begin = 0; begin <= kLast; begin += kBlock) {
      for (Code code = begin; code < begin + kBlock; code++) {
        while (run + 1 < runs.size() && runs[run + 1].begin <= code) run++;
        block[code - begin] = runs.empty() ? Class(kElse) : runs[run].is;
      }
      blocks_[begin / kBlock] = keep(block);
    }
    for (Code code = 0; code < 128; code++) ascii_[code] = of_ascii(code);
  }

  Class operator[](Code code) const {
    if (code < 128) return ascii_[code];
    return code <= kLast ? kept_[blocks_[code / kBlock] + code % kBlock] : Class(kElse);
  }

  // Of a byte; 0 if it is not ASCII.
  Class of_byte(char c) const { return ascii_[uint8_t(c)]; }

 private:
  static constexpr Code kLast = 0x10FFFF, kBlock = 256;

  uint32_t keep(const std::vector<Class>& block) {
    for (size_t at = 0; at < kept_.size(); at += kBlock)
      if (std::equal(block.begin(), block.end(), &kept_[at])) return uint32_t(at);
    kept_.insert(kept_.end(), block.begin(), block.end());
    return uint32_t(kept_.size() - kBlock);
  }

  Class of_ascii(Code code) const {
    Class is = kept_[blocks_[0] + code];
    if (code == '\r' || code == '\n') is = Class((is & ~kGap) | kNewline);
    if (code == ' ') is = Class((is & ~kGap) | kBlank);
    if (code == '/') is |= kSlash;
    if (code >= 'a' && code <= 'z') is |= kLower;
    if (code >= 'A' && code <= 'Z') is |= kUpper;
    if (code >= '0' && code <= '9') is |= kDigit;
    return is;
  }

  std::array<Class, 256> ascii_{};
  std::vector<uint32_t> blocks_;
  std::vector<Class> kept_;
};

struct RunsStage {
  Class set;
  uint32_t least = 1, most = 0;  // characters; 0: as many as there are
  Class led = 0;                 // by one of these, if there is one
  bool at_end = false;           // only where nothing follows
  bool from_right = false;       // cut behind every `most`, counted from the end of a run, but not before it
};

enum class Contractions : uint8_t { none, lower, any, behind };  // behind: in any case, behind letters

struct WordsStage {
  Class letters = kLetter;
  Class before_letters = kBlank;
  Class numbers = kNumber;
  uint32_t most_numbers = 0;   // 0: as many as there are
  bool blank_numbers = false;  // a space may lead them
  Class others = 0;
  Class behind_others = 0;
  Contractions contractions = Contractions::none;
  bool newlines = false;        // white space up to its last newline is a word
  bool cases = false;           // a word of letters ends before A-Z behind a-z
  bool sign_and_ascii = false;  // [!-/:-@[-`{-~][A-Za-z]+ is a word
};

struct Stage {
  bool is_words;
  RunsStage runs{};
  WordsStage words{};
};

class Words {
 public:
  Words(Classes classes, std::vector<Stage> stages, Isa isa)
      : classes_(std::move(classes)), stages_(std::move(stages)), read_ascii_(isa) {
    bool led = false;  // white space that a run takes is not where words look for it
    for (const Stage& stage : stages_) {
      led |= !stage.is_words && stage.runs.led;
      if (!stage.is_words && (stage.runs.most || stage.runs.at_end)) counted_ |= stage.runs.set;
      if (stage.is_words && !words_ && !led) words_ = &stage.words;
    }
  }
  Words(const Words&) = delete;

  // Writes where the words of a text of well-formed characters end; there is room for one a byte.
  // Returns the end of what was written.
  uint32_t* find(std::string_view text, uint32_t* out) const {
    split(0, text.data(), text.data() + text.size(), text.data(), out);
    return out;
  }

  // Whether a border between two code points is safe.
  bool may_cut(Code x, Code y) const {
    Class left = classes_[x], right = classes_[y];
    if (ends_run(left, right)) return true;
    if (!words_ || (left & right & counted_)) return false;
    Class letters = words_->letters & ~words_->others, others = words_->others & ~words_->letters;
    if (right & kWhite)
      return !(left & kWhite) && !((left & words_->others) && (right & words_->behind_others));
    if (left & kNewline) return (right & words_->letters) && words_->newlines;
    bool contracts = y == '\'' && words_->contractions == Contractions::behind;
    return (left & letters) && (right & others) && !contracts;
  }

 private:
  struct Read {
    Class is;
    unsigned size;
  };
  Read read(const char* p) const {
    if (Class is = classes_.of_byte(*p)) [[likely]]
      return {is, 1};
    Character c = read_code_point(p);
    return {classes_[c.code], c.size};
  }

  // Whether the first stage always parts two characters, as runs of one kind do where they end.
  bool ends_run(Class left, Class right) const {
    if (stages_.empty() || stages_[0].is_words) return false;
    const RunsStage& runs = stages_[0].runs;
    if (runs.least > 1 || runs.at_end || runs.from_right) return false;
    bool in_left = left & runs.set, in_right = right & runs.set;
    if (in_left && in_right) return runs.most == 1 && !runs.led;
    return in_left || (in_right && !runs.led);
  }

  // Behind the run of `set` that begins at `p`, of `most` characters at most.
  const char* skip(const char* p, const char* end, Class set) const {
    while (p < end) {
      Read c = read(p);
      if (!(c.is & set)) break;
      p += c.size;
    }
    return p;
  }
  const char* skip(const char* p, const char* end, Class set, uint32_t most) const {
    if (most == 0) return skip(p, end, set);
    for (; p < end && most; most--) {
      Read c = read(p);
      if (!(c.is & set)) break;
      p += c.size;
    }
    return p;
  }

  // ---- stages

  void split(size_t stage, const char* begin, const char* end, const char* base, uint32_t*& out) const {
    if (stage == stages_.size()) {
      *out++ = uint32_t(end - base);
      return;
    }
    auto part = [&](const char* from, const char* to) { split(stage + 1, from, to, base, out); };
    const Stage& s = stages_[stage];
    if (!s.is_words)
      split_runs(s.runs, begin, end, part);
    else if (stage + 1 < stages_.size())
      split_words(s.words, begin, end, part);
    else
      write_words(s.words, begin, end, base, out);
  }

  template <class Part>
  void split_runs(const RunsStage& stage, const char* begin, const char* end, Part part) const {
    const char* between = begin;  // where what was not matched begins
    for (const char* p = begin; p < end;) {
      Read c = read(p);
      const char* first = p;
      if ((c.is & stage.led) && p + c.size < end && (read(p + c.size).is & stage.set))
        first += c.size;
      else if (!(c.is & stage.set)) {
        p += c.size;
        continue;
      }
      const char* last = stage.from_right ? skip(first, end, stage.set) : match(stage, first, end);
      if (stage.at_end && last < end) last = first;
      if (last == first) {  // too few, or not at the end: none of them is one
        p = skip(first, end, stage.set, stage.at_end ? 0 : 1);
        continue;
      }
      if (stage.from_right) {
        part_from_right(stage, between, p, last, part);
      } else {
        if (between < p) part(between, p);
        part(p, last);
      }
      between = p = last;
    }
    if (between < end) part(between, end);
  }

  // Behind the characters of the set at `p`; `p` if they are too few.
  const char* match(const RunsStage& stage, const char* p, const char* end) const {
    if (stage.least > 1) {
      const char* q = p;
      for (uint32_t n = 0; n < stage.least; n++) {
        if (q == end || !(read(q).is & stage.set)) return p;
        q += read(q).size;
      }
    }
    return skip(p, end, stage.set, stage.most);
  }

  // The first of them together with what is `between` the last run and this one.
  template <class Part>
  void part_from_right(const RunsStage& stage, const char* between, const char* p, const char* end,
                       Part part) const {
    size_t n = 0;
    for (const char* q = p; q < end; q += read(q).size) n++;
    for (size_t take = n % stage.most; p < end; take = stage.most) {
      for (size_t i = 0; i < take; i++) p += read(p).size;
      if (take) part(between, p), between = p;
    }
  }

  template <class Part>
  void split_words(const WordsStage& stage, const char* begin, const char* end, Part part) const {
    const char* between = begin;  // where what no alternative matched begins
    for (const char* p = begin; p < end;) {
      const char* next = word(stage, p, end);
      if (next == p) {
        p += read(p).size;
        continue;
      }
      if (between < p) [[unlikely]]
        part(between, p);
      part(p, next);
      between = p = next;
    }
    if (between < end) part(between, end);
  }

  // The same for the last stage: many words of ASCII at once where there are.
  void write_words(const WordsStage& stage, const char* begin, const char* end, const char* base,
                   uint32_t*& out) const {
    if ((stage.others & kAnySign) != kAnySign || !stage.numbers)  // not every character is matched
      return split_words(stage, begin, end,
                         [&](const char*, const char* to) { *out++ = uint32_t(to - base); });
    for (const char* p = begin; p < end;) {
      uint64_t begins = end - p > 64 ? ascii_begins(stage, p) : 0;
      const uint32_t at = uint32_t(p - base);
      if (begins) p += 63 - std::countl_zero(begins);
      for (; begins; begins &= begins - 1) *out++ = at + uint32_t(std::countr_zero(begins));
      for (int n = 0; n < kOneByOne && p < end; n++) *out++ = uint32_t((p = word(stage, p, end)) - base);
    }
  }

  // ---- words of ASCII

  static constexpr Class kAnySign = kPunctuation | kSign | kElse;
  static constexpr int kOneByOne = 2;  // words, where fewer than 64 characters are seen at once

  // Where words begin behind `p`, where one does, as far as the next 64 characters tell.
  uint64_t ascii_begins(const WordsStage& stage, const char* p) const {
    const AsciiKinds a = read_ascii_(p);
    const uint64_t seen = a.beyond ? (a.beyond & -a.beyond) - 1 : ~uint64_t(0);
    if (seen < 0xFFFF) return 0;
    const uint64_t others = ~(a.letters | a.numbers | a.white) & seen;
    uint64_t tails = 0;  // newlines that belong to others before them
    if (stage.behind_others) tails = a.newlines & ~(a.newlines + (a.newlines & others << 1));
    if ((stage.behind_others & kSlash) && tails & has_slash(p, tails << 1 & seen) >> 1) return 0;
    const uint64_t white = a.white & ~tails, gaps = stage.newlines ? white & ~a.newlines : white;

    uint64_t begins = (white & ~(white << 1)) | (gaps & ~(a.white >> 1));
    if (stage.newlines) begins |= behind_last_newlines(gaps, white & a.newlines);
    const uint64_t first_of_others = others & ~(others << 1) & ~(a.blanks << 1);
    begins |= first_of_others | begins_of_numbers(stage, a);
    begins |= begins_of_letters(stage, a, first_of_others & ~(others >> 1));
    if (stage.contractions != Contractions::none)
      part_contractions(stage, p, a.apostrophes & first_of_others, a.letters << 1, begins);

    const uint64_t not_white = ~a.white & seen;  // up to the white space at the end, or the last but one
    const uint64_t last = not_white ? std::bit_floor(not_white) : 0;
    const uint64_t certain = ((last << 1) - 1) | last << 1;
    return begins & certain & seen >> 1 & ~uint64_t(1);
  }

  // Behind the last newline of white space that goes on.
  static uint64_t behind_last_newlines(uint64_t gaps, uint64_t newlines) {
    uint64_t begins = gaps & newlines << 1;
    for (uint64_t more = (gaps + begins) & ~gaps & newlines; more; more &= more - 1)  // it was not the last
      begins &= ~std::bit_floor(begins & ((more & -more) - 1));
    return begins;
  }

  static uint64_t begins_of_numbers(const WordsStage& stage, const AsciiKinds& a) {
    uint64_t begins = a.numbers & ~(a.numbers << 1);
    if (stage.blank_numbers) return begins & ~(a.blanks << 1);
    const uint32_t most = stage.most_numbers;
    if (most == 1) return a.numbers;
    if (most == 0 || most > 63) return begins;
    uint64_t run = a.numbers;  // behind `most` - 1 others
    for (uint32_t i = 1; i < most; i++) run &= a.numbers << i;
    for (uint64_t next = begins; next;) begins |= next = next << most & run;
    return begins;
  }

  // `alone` are the others that are led by nothing, and one only.
  static uint64_t begins_of_letters(const WordsStage& stage, const AsciiKinds& a, uint64_t alone) {
    uint64_t begins = a.letters & ~(a.letters << 1) & ~(a.blanks << 1);
    if (stage.before_letters & kGap) begins &= ~((a.white & ~a.newlines) << 1);
    if (stage.before_letters & kPunctuation) begins &= ~(alone << 1);
    if (stage.cases) begins |= a.letters & ~a.lower & a.lower << 1;
    return begins;
  }

  static void part_contractions(const WordsStage& stage, const char* p, uint64_t apostrophes,
                                uint64_t behind_letters, uint64_t& begins) {
    const bool behind = stage.contractions == Contractions::behind;
    for (unsigned last = 0; apostrophes; apostrophes &= apostrophes - 1) {
      const unsigned at = unsigned(std::countr_zero(apostrophes));
      if (at > 60) return void(begins &= (uint64_t(1) << at) - 1);  // not all of it is seen
      if (behind && (at == last || !(behind_letters >> at & 1))) continue;
      size_t size = contraction(p + at, p + 64, behind ? Contractions::any : stage.contractions);
      if (!size) continue;
      begins = (begins & ~(uint64_t(2) << at)) | uint64_t(1) << (at + size);
      if (behind) begins &= ~(uint64_t(1) << at);
      last = unsigned(at + size);
    }
  }

  static uint64_t has_slash(const char* p, uint64_t places) {
    uint64_t found = 0;
    for (; places; places &= places - 1)
      if (p[std::countr_zero(places)] == '/') found |= places & -places;
    return found;
  }

  // ---- words

  // The end of the word that begins at `p`; `p` if there is none.
  const char* word(const WordsStage& stage, const char* p, const char* end) const {
    const Read first = read(p);
    const char* const next = p + first.size;
    if (first.is & stage.letters) return letters(stage, p, next, end);
    if (*p == '\'' && (stage.contractions == Contractions::lower || stage.contractions == Contractions::any))
      if (size_t size = contraction(p, end, stage.contractions)) return p + size;
    const Class second = next < end ? read(next).is : Class(0);
    if (stage.sign_and_ascii && (first.is & (kPunctuation | kSign)) && first.size == 1 &&
        (second & (kLower | kUpper)))
      return skip(next, end, kLower | kUpper);
    if ((first.is & stage.before_letters) && (second & stage.letters)) return letters(stage, next, next, end);
    if (first.is & stage.numbers) return skip(p, end, stage.numbers, stage.most_numbers);
    if (first.is & kBlank) {
      if (stage.blank_numbers && (second & stage.numbers)) return skip(next, end, stage.numbers);
      if (second & stage.others) return others(stage, next, end);
    }
    if (first.is & stage.others) return others(stage, next, end);
    if (first.is & kWhite) return white_space(stage, p, end);
    return p;
  }

  const char* others(const WordsStage& stage, const char* p, const char* end) const {
    p = skip(p, end, stage.others);
    return stage.behind_others ? skip(p, end, stage.behind_others) : p;
  }

  // Behind letters from `begin` on, of which those before `p` were seen.
  const char* letters(const WordsStage& stage, const char* begin, const char* p, const char* end) const {
    if (!stage.cases) return contracted(stage, skip(p, end, stage.letters), end);
    return contracted(stage, cased(stage, begin, end), end);
  }

  // [^a-z]*[^A-Z]+, or [^a-z]+[^A-Z]*, of letters: both ends give back what the other needs.
  const char* cased(const WordsStage& stage, const char* p, const char* end) const {
    const char* last_of_both = nullptr;  // behind the last letter that is neither in a-z nor in A-Z
    for (Read c; p < end; p += c.size) {
      c = read(p);
      if (!(c.is & stage.letters)) break;
      if (c.is & kLower) {
        for (; p < end; p += c.size) {
          c = read(p);
          if (!(c.is & stage.letters) || (c.is & kUpper)) break;
        }
        return p;
      }
      if (!(c.is & kUpper)) last_of_both = p + c.size;
    }
    return last_of_both ? last_of_both : p;
  }

  const char* contracted(const WordsStage& stage, const char* p, const char* end) const {
    bool may = stage.contractions == Contractions::behind && p < end && *p == '\'';
    return may ? p + contraction(p, end, Contractions::any) : p;
  }

  // Bytes of the contraction at `p`, an apostrophe; 0 if it is none.
  static size_t contraction(const char* p, const char* end, Contractions kind) {
    auto letter = [&](size_t i) -> char {
      if (size_t(end - p) <= i) return 0;
      bool upper = kind == Contractions::any && p[i] >= 'A' && p[i] <= 'Z';
      return upper ? char(p[i] | 0x20) : p[i];
    };
    switch (letter(1)) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return 2;
      case 'r':
      case 'v':
        return letter(2) == 'e' ? 3 : 0;
      case 'l':
        return letter(2) == 'l' ? 3 : 0;
      default:
        return 0;
    }
  }

  const char* white_space(const WordsStage& stage, const char* p, const char* end) const {
    const char *begin = p, *last = p, *behind_newline = nullptr;
    for (Read c; p < end; p += c.size) {
      c = read(p);
      if (!(c.is & kWhite)) break;
      last = p;
      if (c.is & kNewline) behind_newline = p + 1;
    }
    if (stage.newlines && behind_newline) return behind_newline;
    return p < end && last > begin ? last : p;
  }

  Classes classes_;
  std::vector<Stage> stages_;
  AsciiReader read_ascii_;
  const WordsStage* words_ = nullptr;
  Class counted_ = 0;  // sets of which a stage counts the characters
};

}  // namespace spm
