// Ids -> text for one vocabulary: what each id shows is worked out once, decoding only copies it.
//
// Theory. An entry is 16 bytes: the text of an id, its size, and flags that say when the text is not
// the whole story. The loop copies all 16 bytes and steps on by the size, so an id costs one branch:
// does its entry have a flag that is watched? Which are watched depends on what came before, the state:
// all of them at the beginning of a text and while something is held back, else only a few. Llama-2's
// vocabulary in sentencepiece's dialect, special pieces skipped:
//
//     id       <s>       ▁Hello    <0xC3>    <0xA9>    ▁the      ▁world
//     entry    "<s>"     " Hello"  C3        A9        " the"    " world"
//     flags    silent    space     byte      byte      space     space
//     watched  all       all       byte      all       byte      byte       (and silent, and long)
//     shows              "Hello"             "é"       " the"    " world"
//     copied                                           as it is  as it is
//
// The dialects differ in three things. In llama.cpp's (`llama_vocab::impl::detokenize`) the beginning
// of a text ends with the first id, bytes are raw, and BOS and EOS are removed from the ends. In
// sentencepiece's (`SentencePieceProcessor::DecodeOptimized`) it ends with the first text, bytes that
// make no character become U+FFFD each, and what an UNKNOWN id shows is said by the model.
//
// spm/text/dialect_llama_cpp.py and dialect_sentencepiece.py are the specification of both.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "byte_alphabet.hpp"
#include "text.hpp"

namespace spm {

// By the numbers of `tokenizer.ggml.token_type` and of sentencepiece.
enum class TokenType : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct DecodingRules {
  bool sentencepiece = false;  // or else llama.cpp
  bool byte_level = false;     // pieces are spelled in GPT-2's alphabet
  bool strip_space = false;    // a text loses the space that it begins with
  bool strip_spaces = false;   // and all that follow it
  int32_t bos_id = -1;         // not shown at the beginning if special pieces are skipped; -1: none
  int32_t eos_id = -1;         // nor this one at the end
  std::string unknown;         // what an UNKNOWN id shows in sentencepiece
};

// Text on its way out: a buffer that is never filled with zeros.
class DecodedText {
 public:
  DecodedText() = default;
  DecodedText(const DecodedText&) = delete;
  DecodedText& operator=(const DecodedText&) = delete;
  ~DecodedText() { std::free(data_); }

  // Room for `n` bytes more, at the end of what there is.
  char* room(size_t n) {
    if (n > capacity_ - size_) grow(n);
    return data_ + size_;
  }
  void end_at(const char* end) { size_ = size_t(end - data_); }
  void append(std::string_view text) {
    if (text.empty()) return;
    std::memcpy(room(text.size()), text.data(), text.size());
    size_ += text.size();
  }
  void drop_front(size_t n) {
    size_ -= n;
    if (size_) std::memmove(data_, data_ + n, size_);
  }
  std::string_view view() const { return {data_, size_}; }

 private:
  void grow(size_t n) {
    size_t capacity = std::max(size_ + n, 2 * capacity_);
    auto* data = static_cast<char*>(std::realloc(data_, capacity));
    if (!data) throw std::bad_alloc();
    data_ = data;
    capacity_ = capacity;
  }
  char* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

class Decoder {
  enum Flag : uint8_t {
    kSilent = 1,  // not shown, if special pieces are skipped
    kSpace = 2,   // begins with a space that the beginning of a text loses
    kByte = 4,    // a byte that may be a part of a character
    kEos = 8,     // shown only if something follows, if special pieces are skipped
    kLong = 16,   // the text is one of `long_texts_`
    kAny = 128,   // every entry has this one
  };

  struct Entry {
    char text[14];  // or the index of a long one
    uint8_t size;
    uint8_t flags;
  };
  static_assert(sizeof(Entry) == 16);

 public:
  // What a text that comes id by id has to remember. It must not outlive its decoder.
  class State {
    friend class Decoder;
    bool skip_special = true;
    bool begun = false;  // the beginning is over: no space is lost any more
    uint8_t n_raw = 0;
    uint8_t raw[4] = {};    // the bytes that may still become a character
    std::string_view held;  // of an EOS
    uint8_t watched = kAny;
  };

  Decoder(DecodingRules rules, size_t n_pieces) : rules_(std::move(rules)) { entries_.reserve(n_pieces); }

  // The pieces come in the order of their ids.
  void add(std::string_view piece, TokenType type) {
    std::string text = shown(piece, type);
    Entry entry{{}, uint8_t(text.size()), flags_of(piece, type, text)};
    if (text.size() <= sizeof entry.text) {
      text.copy(entry.text, text.size());
    } else {
      uint32_t index = uint32_t(long_texts_.size());
      long_texts_.push_back(std::move(text));
      std::memcpy(entry.text, &index, sizeof index);
      entry.flags |= kLong;
    }
    entries_.push_back(entry);
  }

  size_t size() const { return entries_.size(); }

  // The state at the beginning of a text.
  State begin(bool skip_special) const {
    State state;
    state.skip_special = skip_special;
    return state;
  }

  // Appends what `ids` add. False if one of them is no id: then the ones before it are done.
  bool push(std::span<const int32_t> ids, State& state, DecodedText& text) const {
    while (!ids.empty()) {
      size_t n = std::min(ids.size(), kBlock);
      if (!push_block(ids.first(n), state, text)) return false;
      ids = ids.subspan(n);
    }
    return true;
  }

  // Appends what was held back and can be shown: bytes, but no EOS. The next id begins a new text.
  void flush(State& state, DecodedText& text) const {
    end_bytes(state, text);
    state = begin(state.skip_special);
  }

  // Appends the text of `ids`, or returns false if one of them is no id.
  bool decode(std::span<const int32_t> ids, bool skip_special, DecodedText& text) const {
    State state = begin(skip_special);
    if (!push(ids, state, text)) return false;
    flush(state, text);
    return true;
  }

 private:
  static constexpr size_t kBlock = 256;  // ids for which room is made at once
  static constexpr char kReplacement[] = "\xEF\xBF\xBD";

  // ---- what an id shows

  std::string shown(std::string_view piece, TokenType type) const {
    const bool sp = rules_.sentencepiece;
    if (type == TokenType::kByte) return std::string(1, value_of(piece));
    if (type == TokenType::kControl) return std::string(piece);
    if (type == TokenType::kUnknown) return sp ? rules_.unknown : std::string(piece);
    if (type == TokenType::kUnused && !sp) return {};
    if (type == TokenType::kUserDefined && !sp) return std::string(piece);
    return rules_.byte_level ? spelled(piece) : with_spaces(piece);
  }

  // What is no letter of the alphabet is shown as `llama_decode_text` does it: the bytes of the character
  // in hex, and then the whole piece.
  std::string spelled(std::string_view piece) const {
    std::string out;
    if (alphabet_.read(piece, out)) return out;
    out.clear();
    const std::string characters = respell(piece, nullptr);
    for (const char *p = characters.data(), *end = p + characters.size(); p < end;) {
      unsigned size = read_code_point(p).size;
      if (!alphabet_.read({p, size}, out)) {
        out += "[UNK_BYTE_0x";
        for (unsigned i = 0; i < size; i++)
          for (uint8_t digit : {uint8_t(p[i]) >> 4, p[i] & 15}) out += "0123456789abcdef"[digit];
        out.append(piece) += ']';
      }
      p += size;
    }
    return out;
  }

  // Bytes are replaced, not characters: a ▁ behind malformed bytes is a space as well.
  static std::string with_spaces(std::string_view piece) {
    const std::string_view mark = kMarkUtf8;
    std::string out;
    for (size_t at; (at = piece.find(mark)) != piece.npos; piece.remove_prefix(at + mark.size()))
      out.append(piece, 0, at) += ' ';
    return out.append(piece);
  }

  uint8_t flags_of(std::string_view piece, TokenType type, std::string_view text) const {
    const bool sp = rules_.sentencepiece;
    const bool is_silent = type == TokenType::kControl || (type == TokenType::kUnknown && !sp);
    uint8_t flags = kAny;
    if (is_silent) flags |= kSilent;
    if (rules_.strip_space && loses_space(piece, type, text)) flags |= kSpace;
    if (rules_.eos_id >= 0 && entries_.size() == size_t(rules_.eos_id)) flags |= kEos;
    if (sp && type == TokenType::kByte && uint8_t(text[0]) >= 0x80) flags |= kByte;
    return flags;
  }

  // sentencepiece means the ▁ of a piece, llama.cpp whatever comes out as a space.
  bool loses_space(std::string_view piece, TokenType type, std::string_view text) const {
    if (!rules_.sentencepiece) return text.starts_with(' ');
    const bool literal = type == TokenType::kControl || type == TokenType::kUnknown;
    return !literal && piece.starts_with(kMarkUtf8);
  }

  // <0x0A> -> 10
  static char value_of(std::string_view piece) {
    auto digit = [&](size_t at) {
      char c = piece.at(at);
      return c <= '9' ? c - '0' : c - 'A' + 10;
    };
    return char(16 * digit(3) + digit(4));
  }

  std::string_view text_of(const Entry& entry) const {
    if (!(entry.flags & kLong)) return {entry.text, entry.size};
    uint32_t index;
    std::memcpy(&index, entry.text, sizeof index);
    return long_texts_[index];
  }

  // ---- what a text shows

  bool push_block(std::span<const int32_t> ids, State& state, DecodedText& text) const {
    const size_t most = ids.size() * sizeof(Entry);
    char* end = text.room(most);
    for (int32_t id : ids) {
      if (size_t(uint32_t(id)) >= entries_.size()) return text.end_at(end), false;
      const Entry& entry = entries_[size_t(id)];
      if (entry.flags & state.watched) {
        text.end_at(end);
        push_watched(id, entry, state, text);
        end = text.room(most);
        continue;
      }
      std::memcpy(end, &entry, sizeof entry);  // more than its text: what follows writes over it
      end += entry.size;
    }
    return text.end_at(end), true;
  }

  void push_watched(int32_t id, const Entry& entry, State& state, DecodedText& text) const {
    if (entry.flags & kByte) {
      push_byte(uint8_t(entry.text[0]), state, text);
    } else {
      end_bytes(state, text);
      std::string_view shown = shown_at(id, entry, state);
      text.append(std::exchange(state.held, {}));
      if (state.skip_special && entry.flags & kEos)
        state.held = shown;
      else
        text.append(shown);
    }
    state.watched = watched(state);
  }

  static uint8_t watched(const State& state) {
    if (!state.begun || state.n_raw || !state.held.empty()) return kAny;
    return kByte | kLong | (state.skip_special ? kSilent | kEos : 0);
  }

  // What an id shows in this place; the beginning of a text ends with it or goes on.
  std::string_view shown_at(int32_t id, const Entry& entry, State& state) const {
    bool is_silent = entry.flags & kSilent || (!state.begun && id == rules_.bos_id);
    std::string_view shown = is_silent && state.skip_special ? "" : text_of(entry);
    if (state.begun) return shown;
    bool lost = entry.flags & kSpace && !shown.empty();
    if (lost) shown.remove_prefix(1);
    state.begun = !rules_.sentencepiece || !shown.empty() || (lost && !rules_.strip_spaces);
    return shown;
  }

  // Keeps a byte while it may become a character with those before it and after it.
  static void push_byte(uint8_t byte, State& state, DecodedText& text) {
    state.raw[state.n_raw++] = byte;
    size_t at = 0;
    while (at < state.n_raw && !is_unfinished(state.raw + at, state.n_raw - at)) {
      size_t size = well_formed_size(state.raw + at, state.n_raw - at);
      const char* character = reinterpret_cast<const char*>(state.raw + at);
      text.append(size ? std::string_view(character, size) : kReplacement);
      at += std::max<size_t>(size, 1);
    }
    state.begun |= at > 0;
    state.n_raw -= uint8_t(at);
    std::memmove(state.raw, state.raw + at, state.n_raw);
  }

  // Bytes that nothing can complete any more.
  static void end_bytes(State& state, DecodedText& text) {
    for (; state.n_raw; state.n_raw--) {
      text.append(kReplacement);
      state.begun = true;
    }
  }

  DecodingRules rules_;
  ByteAlphabet alphabet_;
  std::vector<Entry> entries_;
  std::vector<std::string> long_texts_;
};

}  // namespace spm
