// The longest of some pieces at the beginning of a text. The specification is `PrefixMatcher` in
// spm/text/normalize.py, which tells how the chains work.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace spm {

class PrefixMatcher {
 public:
  static constexpr size_t kMaxMatches = 64;  // normalizer.cc, PrefixMatcher: no more are seen

  explicit PrefixMatcher(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {
    std::sort(pieces_.begin(), pieces_.end());
    std::vector<size_t> chain;
    for (size_t i = 0; i < pieces_.size(); i++) {
      std::string_view piece = pieces_[i];
      while (!chain.empty() && !piece.starts_with(pieces_[chain.back()])) chain.pop_back();
      shorter_.push_back(chain.empty() ? kNone : chain.back());
      chain.push_back(i);
      seen_.push_back(chain.size() > kMaxMatches ? chain[kMaxMatches - 1] : i);
      first_bytes_[uint8_t(piece[0])] = true;
      longest_ = std::max(longest_, piece.size());
    }
  }

  size_t longest() const { return longest_; }

  // The size of the longest piece that a text begins with, or 0.
  size_t size(std::string_view text) const {
    if (!first_bytes_[uint8_t(text[0])]) return 0;
    auto after = std::upper_bound(pieces_.begin(), pieces_.end(), text);
    size_t i = after == pieces_.begin() ? kNone : seen_[size_t(after - pieces_.begin()) - 1];
    while (i != kNone && !text.starts_with(pieces_[i])) i = shorter_[i];
    return i == kNone ? 0 : pieces_[i].size();
  }

  // Whether a piece may stand where a text begins so.
  bool may_begin(std::string_view text) const {
    if (!first_bytes_[uint8_t(text[0])]) return false;
    auto longer = std::lower_bound(pieces_.begin(), pieces_.end(), text);
    return size(text) || (longer != pieces_.end() && longer->starts_with(text));
  }

 private:
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();

  std::vector<std::string> pieces_;  // sorted, none empty
  std::vector<size_t> shorter_;      // of each piece, the longest that begins it
  std::vector<size_t> seen_;         // of each piece, where a search begins
  std::array<bool, 256> first_bytes_{};
  size_t longest_ = 0;
};

}  // namespace spm
