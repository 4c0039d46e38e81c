// sentencepiece's `precompiled_charsmap`: which characters become which others. The specification, and
// the drawing of the format, is spm/text/charsmap.py; it has also checked the blob. Still nothing here
// reads outside of it, whatever it holds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spm {

class Charsmap {
 public:
  static constexpr int kMaxMatches = 32;  // normalizer.h, kMaxTrieResultsSize

  // A place in the trie: where the children of a node begin, and whether a key ends at the node.
  struct Place {
    uint32_t base;
    bool is_key;
  };

  // What replaces the longest known prefix of a text, and the prefix's bytes: 0 if none is known.
  struct Found {
    std::string_view replacement;
    size_t size;
  };

  explicit Charsmap(std::string_view blob) {  // an empty one replaces nothing
    if (blob.size() < 4) return;
    size_t size = std::min<size_t>(u32(blob, 0), blob.size() - 4) / 4 * 4;
    for (size_t at = 4; at < 4 + size; at += 4) units_.push_back(u32(blob, at));
    replacements_ = blob.substr(4 + size);
  }

  Place root() const { return {units_.empty() ? 0 : offset(units_[0]), false}; }

  // Goes one byte on, if a key does.
  bool step(Place& place, uint8_t byte) const {
    uint32_t at = place.base ^ byte;
    if (at >= units_.size() || (units_[at] & 0x800000FF) != byte) return false;
    place = {at ^ offset(units_[at]), (units_[at] >> 8 & 1) != 0};
    return true;
  }

  Found longest_prefix(std::string_view text) const {
    Place place = root();
    uint32_t longest = 0;  // where the children of the longest key's node begin
    size_t size = 0;
    int matches = 0;
    for (size_t at = 0; at < text.size() && step(place, uint8_t(text[at])); at++) {
      if (!place.is_key) continue;
      longest = place.base;
      size = at + 1;
      if (++matches == kMaxMatches) break;
    }
    return {size ? replacement(longest) : std::string_view(), size};
  }

 private:
  static uint32_t u32(std::string_view blob, size_t at) {
    uint32_t number = 0;
    for (int i = 3; i >= 0; i--) number = number << 8 | uint8_t(blob[at + i]);
    return number;
  }
  static uint32_t offset(uint32_t unit) { return (unit >> 10) << (unit >> 6 & 8); }

  // The value of a key stands where the child of byte 0 would.
  std::string_view replacement(uint32_t base) const {
    size_t begin = base < units_.size() ? units_[base] & 0x7FFFFFFF : 0;
    std::string_view all = replacements_;
    all.remove_prefix(std::min(begin, all.size()));
    return all.substr(0, all.find('\0'));
  }

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace spm
