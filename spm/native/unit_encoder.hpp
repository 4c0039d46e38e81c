// One unit -> ids, from the definition and without remembering anything: what is common to all families.
// Symbols become pieces, by merging or by the best path, and what is no piece is spelled.
#pragma once

#include <limits>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "ids.hpp"
#include "merge.hpp"
#include "spines.hpp"
#include "unigram.hpp"

namespace spm {

// A character was met that has no piece, and neither has one of its bytes.
struct NoPieceForByte {
  uint8_t byte;
};

// A piece came out that only the specification can resolve (sentencepiece's UNUSED).
struct NeedsSpecification {};

class UnitEncoder {
 public:
  // What one thread needs while it encodes.
  struct Work {
    std::vector<Node> row;
    std::unique_ptr<Spines> spines;
    std::unique_ptr<Search> search;
    size_t merged_long = 0;  // characters of long units so far
    UnigramDraft draft;
  };

  virtual ~UnitEncoder() = default;

  const Symbols& symbols() const { return symbols_; }

  // Appends the ids of a unit and, if asked for, where they stand in it.
  virtual void encode(std::string_view unit, Ids& ids, std::vector<Span>* spans, Work& work) const = 0;

  // Appends the id of a symbol, or those that spell it.
  virtual void spell(Symbol symbol, std::string_view text, Ids& ids) const = 0;

  // Whether two tokens are known to stay apart when their texts are put together.
  virtual bool may_meet(int32_t, int32_t, Work&) const { return false; }

  // The same of pieces, and whether one is known to encode to itself alone.
  virtual bool may_meet(std::string_view, std::string_view, Work&) const { return false; }
  virtual bool is_whole(std::string_view, Work&) const { return false; }

 protected:
  template <class Vocabulary>
  UnitEncoder(Vocabulary&& vocabulary, uint64_t seed)
      : symbols_(std::forward<Vocabulary>(vocabulary), seed), merger_(symbols_) {}

  static void check_size(size_t size) {
    if (size > std::numeric_limits<uint32_t>::max())
      throw std::length_error("a unit of 4 GiB, expected fewer bytes than 32 bits can count");
  }

  // Appends the ids of a row of symbols, the last of which ends before byte `end` of the unit.
  void write(const std::vector<Node>& row, std::string_view unit, size_t end, Ids& ids,
             std::vector<Span>* spans) const {
    for (size_t i = 0; i < row.size(); i++) {
      size_t next = i + 1 < row.size() ? row[i + 1].begin : end;
      size_t first = ids.size();
      spell(row[i].symbol, unit.substr(row[i].begin, next - row[i].begin), ids);
      if (spans) place_spans({row[i].begin, next}, ids.size() - first, *spans);
    }
  }

  Symbols symbols_;
  Merger merger_;
};

}  // namespace spm
