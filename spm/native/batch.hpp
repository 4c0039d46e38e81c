// Many texts at once, their ids one behind the other.
#pragma once

#include "dialect.hpp"

namespace spm {

// Encodes `texts`, whose elements have size() and read(buffer); text i gets ids[offsets[i]] up to
// ids[offsets[i + 1]]. Texts are handed to threads in groups, so that one is not handed a line at a
// time; a text that is longer than all of a group is cut up itself.
template <class Texts>
class Batch {
 public:
  Batch(const Dialect& dialect, const Texts& texts, EncodeOptions options, size_t threads)
      : dialect_(dialect), texts_(texts), options_(options), threads_(threads) {}

  void encode(Ids& ids, int64_t* offsets) const {
    offsets[0] = 0;
    if (threads_ == 1) return encode_range({0, texts_.size()}, ids, offsets + 1);
    std::vector<Range> groups = group();
    std::vector<Ids> rows(groups.size());
    in_parallel(groups.size(), threads_, [&](size_t g) {
      if (!is_huge(groups[g])) encode_range(groups[g], rows[g], offsets + groups[g].begin + 1);
    });
    for (size_t g = 0; g < groups.size(); g++)
      if (is_huge(groups[g])) encode_huge(groups[g].begin, rows[g], offsets);
    int64_t before = 0;
    for (size_t g = 0; g < groups.size(); g++) {
      for (size_t i = groups[g].begin; i < groups[g].end; i++) offsets[i + 1] += before;
      before += int64_t(rows[g].size());
    }
    Dialect::append_all(rows, threads_, ids);
  }

 private:
  static constexpr size_t kHuge = 1 << 22;  // bytes

  struct Range {
    size_t begin, end;
  };

  bool is_huge(Range range) const {
    return range.end - range.begin == 1 && texts_[range.begin].size() >= kHuge;
  }

  std::vector<Range> group() const {
    size_t total = 0;
    for (const auto& text : texts_) total += text.size();
    size_t wanted = std::clamp<size_t>(total / (8 * threads_), 1 << 14, kHuge);
    std::vector<Range> groups;
    for (size_t begin = 0, i = 0, size = 0; i < texts_.size(); i++) {
      bool huge = texts_[i].size() >= kHuge;
      if (huge && begin < i) groups.push_back({begin, i}), begin = i, size = 0;
      size += texts_[i].size();
      if (size >= wanted || huge || i + 1 == texts_.size())
        groups.push_back({begin, i + 1}), begin = i + 1, size = 0;
    }
    return groups;
  }

  // Writes behind each text how many ids there are so far.
  void encode_range(Range range, Ids& ids, int64_t* ends) const {
    std::string buffer;
    Encoder::Lease scratch = dialect_.lease();
    for (size_t i = range.begin; i < range.end; i++) {
      dialect_.encode(texts_[i].read(buffer), options_, ids, *scratch);
      *ends++ = int64_t(ids.size());
    }
  }

  void encode_huge(size_t i, Ids& ids, int64_t* offsets) const {
    std::string buffer;
    dialect_.encode_in_parallel(texts_[i].read(buffer), options_, threads_, ids);
    offsets[i + 1] = int64_t(ids.size());
  }

  const Dialect& dialect_;
  const Texts& texts_;
  EncodeOptions options_;
  size_t threads_;
};

}  // namespace spm
