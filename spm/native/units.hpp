// Units seen before and their ids: the reason why most text never merges at all.
//
// A unit of at most 15 bytes is its own key: its bytes and its size make 16, compared as a whole, so a
// hit is certain and no text can pass for another. An entry is 32 bytes, half a cache line: the key and
// up to four ids. The few units with more keep them in a store beside the table. The hash is seeded, so
// that nobody who writes a text can choose which units collide.
//
// The table has a fixed size: a bucket has two places, a new unit takes the first and moves what was
// there to the second. Nothing grows; a store that is full is emptied, and what pointed into it is
// forgotten.
#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "huge_pages.hpp"
#include "text.hpp"

namespace spm {

constexpr size_t kMaxUnit = 15;
constexpr size_t kInlineIds = 4;
constexpr int32_t kIdLimit = 1 << 28;  // ids have 28 bits; the four above hold how many there are

struct Key {
  uint64_t low, high;
};

// Zero if two keys are equal: one comparison, where two would be two guesses.
inline uint64_t difference(const Key& a, const Key& b) { return (a.low ^ b.low) | (a.high ^ b.high); }

// What remains of 16 bytes when only the first `size` count, and the size.
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

// The same where fewer bytes may be readable: of all of a short text.
inline Key unit_key(std::string_view unit) {
  char padded[16] = {};
  std::memcpy(padded, unit.data(), unit.size());
  return unit_key(padded, unit.size());
}

class UnitTable {
 public:
  struct Entry {
    Key key;  // all zero where there is none: no unit has size 0
    int32_t ids[kInlineIds];
  };

  // How much memory a table of 2^bits units takes at most.
  static size_t bytes(unsigned bits) { return (sizeof(Entry) + kStoredPerUnit * sizeof(int32_t)) << bits; }

  // A table of 2^bits units.
  UnitTable(unsigned bits, uint64_t seed)
      : shift_(64 - (bits - 1)),
        odd_low_(mixed(seed) | 1),
        odd_high_(mixed(~seed) | 1),
        store_limit_(kStoredPerUnit << bits),
        entries_(static_cast<Entry*>(std::calloc((size_t(1) << bits) + 2, sizeof(Entry)))) {
    if (!entries_) throw std::bad_alloc();
    ask_for_huge_pages(entries_.get(), (size_t(1) << bits) * sizeof(Entry));
    size_t odd = reinterpret_cast<uintptr_t>(entries_.get()) & 63;  // a bucket is one cache line
    first_ = reinterpret_cast<Entry*>(reinterpret_cast<char*>(entries_.get()) + (odd ? 64 - odd : 0));
    bits_ = bits;
  }

  // Where a unit's place is; it is not touched yet.
  const Entry* bucket(const Key& key) const {
    return first_ + ((key.low * odd_low_ + key.high * odd_high_) >> shift_) * 2;
  }

  // Writes the ids of a unit to `out` and returns how many they are; 0 if the unit is not known.
  // There must be room for as many ids as a unit can have, and for four.
  size_t find(const Key& key, int32_t* out) const { return find(key, bucket(key), out); }
  size_t find(const Key& key, const Entry* entry, int32_t* out) const {
    entry += difference(entry->key, key) != 0;
    if (difference(entry->key, key)) [[unlikely]]
      return 0;
    std::memcpy(out, entry->ids, sizeof entry->ids);
    size_t n = uint32_t(entry->ids[3]) >> 28;
    if (n > kInlineIds) [[unlikely]]
      return find_stored(*entry, out);
    out[3] &= kIdLimit - 1;
    return n;
  }

  // Whether a unit was inserted, though without ids.
  bool is_without(const Key& key) const {
    const Entry* entry = bucket(key);
    entry += difference(entry->key, key) != 0;
    return difference(entry->key, key) == 0 && uint32_t(entry->ids[3]) >> 28 == 0;
  }

  void insert(const Key& key, const int32_t* ids, size_t n) {
    Entry* entry = const_cast<Entry*>(bucket(key));
    entry[1] = entry[0];
    if (n > kInlineIds) {
      if (store_.size() + n > store_limit_) forget_stored();
      entry->key = key;
      entry->ids[0] = int32_t(store_.size());
      entry->ids[1] = int32_t(n);
      store_.insert(store_.end(), ids, ids + n);
      n = kInlineIds + 1;
    } else {
      entry->key = key;
      for (size_t i = 0; i < kInlineIds; i++) entry->ids[i] = i < n ? ids[i] : 0;
    }
    entry->ids[3] = int32_t((uint32_t(entry->ids[3]) & (kIdLimit - 1)) | uint32_t(n) << 28);
  }

 private:
  static constexpr size_t kStoredPerUnit = 4;  // ids

  struct Free {
    void operator()(Entry* entries) const { std::free(entries); }
  };

  size_t find_stored(const Entry& entry, int32_t* out) const {
    std::memcpy(out, &store_[size_t(entry.ids[0])], size_t(entry.ids[1]) * sizeof(int32_t));
    return size_t(entry.ids[1]);
  }

  void forget_stored() {
    store_.clear();
    for (size_t i = 0; i < size_t(1) << bits_; i++)
      if (uint32_t(first_[i].ids[3]) >> 28 > kInlineIds) first_[i] = Entry{};
  }

  unsigned shift_, bits_;
  uint64_t odd_low_, odd_high_;
  size_t store_limit_;  // ids, as many as there are in the table
  std::vector<int32_t> store_;
  std::unique_ptr<Entry[], Free> entries_;
  Entry* first_;
};

// The same for units that are longer: their text and their ids lie in a store, and a slot says where.
// When the store is full, all is forgotten.
class LongUnits {
 public:
  static constexpr size_t kMaxSize = 128;

  static size_t bytes(unsigned bits) { return (sizeof(Slot) + 2 * kStoredPerUnit) << bits; }

  explicit LongUnits(unsigned bits)
      : shift_(64 - bits), limit_(kStoredPerUnit << bits), slots_(size_t(1) << bits) {}

  // As UnitTable::find; there must be room for as many ids as the unit can have.
  size_t find(std::string_view unit, uint64_t hash, int32_t* out) const {
    const Slot& slot = slots_[hash >> shift_];
    if (slot.hash != hash || slot.size != unit.size()) return 0;
    const char* stored = &store_[slot.begin];
    if (std::memcmp(stored, unit.data(), unit.size()) != 0) return 0;
    std::memcpy(out, stored + unit.size(), slot.n * sizeof(int32_t));
    return slot.n;
  }

  void insert(std::string_view unit, uint64_t hash, const int32_t* ids, size_t n) {
    size_t size = unit.size() + n * sizeof(int32_t);
    if (store_.size() + size > limit_) {
      store_.clear();
      slots_.assign(slots_.size(), Slot{});
    }
    slots_[hash >> shift_] = {hash, uint32_t(store_.size()), uint16_t(unit.size()), uint16_t(n)};
    const char* bytes = reinterpret_cast<const char*>(ids);
    store_.insert(store_.end(), unit.begin(), unit.end());
    store_.insert(store_.end(), bytes, bytes + n * sizeof(int32_t));
  }

 private:
  static constexpr size_t kStoredPerUnit = 64;  // bytes

  struct Slot {
    uint64_t hash = 0;
    uint32_t begin = 0;
    uint16_t size = 0, n = 0;  // no unit has size 0
  };

  unsigned shift_;
  size_t limit_;  // bytes
  std::vector<Slot> slots_;
  std::vector<char> store_;
};

}  // namespace spm
