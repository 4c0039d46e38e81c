// Units seen before and their ids: the reason why most text never merges at all.
//
// A unit of at most 15 bytes is its own key: its bytes and its size make 16, compared as a whole, so a
// hit is certain and no text can pass for another. An entry is 32 bytes, half a cache line: the key and
// up to four ids; the few units that have more are merged anew each time. The hash is seeded, so that
// nobody who writes a text can choose which units collide.
//
// The table has a fixed size: a bucket has two places, a new unit takes the first and moves what was
// there to the second. Nothing grows.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace spm {

constexpr size_t kMaxUnit = 15;
constexpr size_t kMaxIds = 4;
constexpr int32_t kIdLimit = 1 << 28;  // ids have 28 bits; the four above hold how many there are

struct Key {
  uint64_t low, high;
  bool operator==(const Key&) const = default;
};

// What remains of 16 bytes when only the first `size` count.
struct KeyMasks {
  Key of[kMaxUnit + 1];
  constexpr KeyMasks() : of() {
    for (size_t size = 0; size <= kMaxUnit; size++) {
      of[size].low = size < 8 ? (1ull << 8 * size) - 1 : ~0ull;
      of[size].high = size < 8 ? 0 : (1ull << 8 * (size - 8)) - 1;
    }
  }
};
inline constexpr KeyMasks kKeyMasks;

// The key of a unit of `size` bytes; 16 bytes from `p` must be readable.
inline Key unit_key(const char* p, size_t size) {
  Key key;
  std::memcpy(&key, p, 16);
  key.low &= kKeyMasks.of[size].low;
  key.high = (key.high & kKeyMasks.of[size].high) | uint64_t(size) << 56;
  return key;
}

class UnitTable {
 public:
  UnitTable(unsigned bits, uint64_t seed)
      : shift_(64 - (bits - 1)), seed_(seed), entries_(size_t(1) << bits) {}

  // Writes the ids of a unit to `out`, where there must be room for four, and returns how many they
  // are; 0 if the unit is not known.
  size_t find(const Key& key, int32_t* out) const {
    const Entry* entry = &entries_[bucket(key)];
    if (entry->key != key && (++entry)->key != key) return 0;
    std::memcpy(out, entry->ids, sizeof entry->ids);
    size_t n = uint32_t(entry->ids[3]) >> 28;
    out[3] &= kIdLimit - 1;
    return n;
  }

  void insert(const Key& key, const int32_t* ids, size_t n) {
    Entry* entry = &entries_[bucket(key)];
    entry[1] = entry[0];
    entry->key = key;
    for (size_t i = 0; i < kMaxIds; i++) entry->ids[i] = i < n ? ids[i] : 0;
    entry->ids[3] |= int32_t(uint32_t(n) << 28);
  }

 private:
  struct alignas(32) Entry {
    Key key{0, 0};  // no unit has size 0
    int32_t ids[kMaxIds]{};
  };

  size_t bucket(const Key& key) const {
    uint64_t h = (key.low ^ seed_) ^ key.high * 0xD6E8FEB86659FD93ull ^ key.high >> 29;
    return (h * 0x9E3779B97F4A7C15ull >> shift_) * 2;
  }

  unsigned shift_;
  uint64_t seed_;
  std::vector<Entry> entries_;
};

}  // namespace spm
