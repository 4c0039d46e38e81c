// The long lists of the two file formats, walked in one go: a GGUF array of strings, and the pieces of a
// sentencepiece model.
//
// Theory. A file is untrusted, and to say what is wrong with one is the business of its reader in Python
// (spm/gguf/header.py, spm/vocab/protobuf.py), which is the specification and has the words for it. So
// nothing here makes an error: whatever is not plain is answered by nothing at all, and the reader walks
// the same bytes again. Plain is what real writers write, which is less than what the readers accept.
//
//     GGUF      02 00.. "ab"  01 00.. "c"        each string: its size in 8 bytes, little-endian, its bytes
//     protobuf  0A 0B | 0A 04 "▁a" | 15 00 00 80 BF | 18 01    field 1, of 11 bytes: a piece, in which
//                                                              field 1 its text, 2 its score, 3 its type
//
// Everything is checked before it is read, and every loop consumes bytes, so it ends with the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spm {

// ---- GGUF: an array of strings

constexpr uint64_t kSizeBytes = 8;               // in front of a string
constexpr uint64_t kMaxStringSize = 1ull << 62;  // of any file; below it no sum here overflows

inline uint64_t read_size(const char* p) {
  uint64_t size = 0;
  for (unsigned i = 0; i < kSizeBytes; i++) size |= uint64_t(uint8_t(p[i])) << 8 * i;
  return size;
}

// Where a walk over strings has come to.
struct Walk {
  uint64_t done;  // strings
  uint64_t end;   // of the last one; it may lie beyond the data
};

// Step over strings, from number `done` at byte `pos` on, while their sizes lie in the data.
inline std::optional<Walk> scan_strings(std::string_view data, uint64_t pos, uint64_t done, uint64_t count) {
  while (done < count && data.size() >= kSizeBytes && pos <= data.size() - kSizeBytes) {
    uint64_t size = read_size(data.data() + pos);
    if (size > kMaxStringSize) return std::nullopt;
    pos += kSizeBytes + size;
    done++;
  }
  return Walk{done, pos};
}

// `count` strings from byte `pos` on, all of them in the data.
inline std::optional<std::vector<std::string_view>> read_strings(std::string_view data, uint64_t pos,
                                                                 uint64_t count) {
  auto walk = scan_strings(data, pos, 0, count);
  if (!walk || walk->done != count || walk->end > data.size()) return std::nullopt;
  std::vector<std::string_view> strings;
  strings.reserve(count);
  for (uint64_t i = 0; i < count; i++) {
    strings.push_back(data.substr(pos + kSizeBytes, read_size(data.data() + pos)));
    pos += kSizeBytes + strings.back().size();
  }
  return strings;
}

// ---- protobuf: the fields of a message

enum Wire : unsigned { kVarint = 0, kEightBytes = 1, kSized = 2, kFourBytes = 5 };

struct Field {
  uint64_t number = 0;
  unsigned wire = kVarint;
  uint64_t value = 0;      // of a varint
  std::string_view bytes;  // of all the others
  std::string_view whole;  // with its key
};

// One field after the other. It stops at the end, and at the first that is malformed.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  bool next(Field& field) {
    if (rest_.empty() || broken_) return false;
    std::string_view from = rest_;
    broken_ = !read(field);
    field.whole = from.substr(0, from.size() - rest_.size());
    return !broken_;
  }
  bool broken() const { return broken_; }

 private:
  static constexpr unsigned kKeyBytes = 5;  // keys and sizes have 32 bits
  static constexpr unsigned kValueBytes = 10;
  static constexpr uint64_t kMaxNumber = (1ull << 29) - 1;

  bool read(Field& field) {
    uint64_t key, size;
    if (!varint(kKeyBytes, key)) return false;
    field.number = key >> 3;
    field.wire = key & 7;
    if (field.number < 1 || field.number > kMaxNumber) return false;
    switch (field.wire) {
      case kVarint:
        return varint(kValueBytes, field.value);
      case kEightBytes:
        return take(8, field.bytes);
      case kSized:
        return varint(kKeyBytes, size) && take(size, field.bytes);
      case kFourBytes:
        return take(4, field.bytes);
      default:
        return false;
    }
  }

  // Seven bits a byte, the lowest first; the last byte is below 0x80.
  bool varint(unsigned most, uint64_t& value) {
    value = 0;
    for (unsigned i = 0; i < most && i < rest_.size(); i++) {
      uint64_t byte = uint8_t(rest_[i]);
      if (i == 9 && byte > 1) return false;  // more than 64 bits
      value |= (byte & 0x7F) << 7 * i;
      if (byte >= 0x80) continue;
      rest_.remove_prefix(i + 1);
      return true;
    }
    return false;
  }

  bool take(uint64_t size, std::string_view& bytes) {
    if (size > rest_.size()) return false;
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  bool broken_ = false;
};

// ---- sentencepiece: the pieces of a model

struct ModelPieces {
  std::vector<std::string_view> texts;
  std::string scores;  // float32, little-endian as in the file
  std::string types;   // a byte each, 1 to 6
  std::string others;  // the model's other fields: a message without the pieces
};

// A NaN is not plain: to read it as a number and write it again may change its bits.
inline bool is_nan(std::string_view little_endian) {
  auto byte = [&](unsigned i) { return uint32_t(uint8_t(little_endian[i])) << 8 * i; };
  return ((byte(0) | byte(1) | byte(2) | byte(3)) & 0x7FFFFFFF) > 0x7F800000;
}

// src/sentencepiece_model.proto, ModelProto.SentencePiece. The last of several values counts.
inline bool read_piece(std::string_view message, ModelPieces& pieces) {
  std::string_view text, score("\0\0\0\0", 4);
  uint64_t type = 1;  // NORMAL
  Fields fields(message);
  for (Field field; fields.next(field);) {
    if (field.number == 1) {
      if (field.wire != kSized) return false;
      text = field.bytes;
    } else if (field.number == 2) {
      if (field.wire != kFourBytes || is_nan(field.bytes)) return false;
      score = field.bytes;
    } else if (field.number == 3) {
      if (field.wire != kVarint || field.value < 1 || field.value > 6) return false;
      type = field.value;
    }
  }
  pieces.texts.push_back(text);
  pieces.scores += score;
  pieces.types += char(type);
  return !fields.broken();
}

// ModelProto: field 1 is the pieces.
inline std::optional<ModelPieces> read_model_pieces(std::string_view model) {
  ModelPieces pieces;
  Fields fields(model);
  for (Field field; fields.next(field);) {
    if (field.number != 1) {
      pieces.others += field.whole;
    } else if (field.wire != kSized || !read_piece(field.bytes, pieces)) {
      return std::nullopt;
    }
  }
  if (fields.broken()) return std::nullopt;
  return pieces;
}

}  // namespace spm
