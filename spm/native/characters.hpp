// Characters that are units of their own, as most are in scripts without spaces.
//
// What one must know of a character to emit it without looking anything up by text: its id, and whether
// it may join the one before it. The second is a filter: sixteen classes of characters, and for each
// character those that some character behind it is in. Where it says no there is a cut; where it says
// maybe, `Joins` knows.
#pragma once

#include "joins.hpp"

namespace spm {

struct Lone {
  int32_t id = -1;  // -1: it has none, and is spelled in some other way
  uint16_t behind = 0, own = 0;
};

class Characters {
 public:
  // `unused` ids are none that can be emitted.
  Characters(const Symbols& symbols, const Joins& joins, std::vector<int32_t> unused) : basic_(kBasicPlane) {
    std::sort(unused.begin(), unused.end());
    for (Code code = 0; code < kBasicPlane; code++) {
      Symbol symbol = symbols.of_character(code);
      if (symbol == kNoSymbol) continue;
      int32_t id = symbols.id(symbol);
      if (!std::binary_search(unused.begin(), unused.end(), id)) basic_[code].id = id;
    }
    joins.visit_all([&](Code x, Code y) {
      uint16_t own = uint16_t(1u << (y * 0x9E3779B9u >> 28));
      if (y < kBasicPlane) basic_[y].own = own;
      if (x < kBasicPlane) basic_[x].behind |= y < kBasicPlane ? own : kAny;
    });
  }

  Lone operator[](Code code) const { return code < kBasicPlane ? basic_[code] : Lone{-1, kAny, kAny}; }

 private:
  static constexpr Code kBasicPlane = 0x10000;
  static constexpr uint16_t kAny = 0xFFFF;

  std::vector<Lone> basic_;
};

inline bool may_join(Lone left, Lone right) { return left.behind & right.own; }

}  // namespace spm
