// Memory for rows of numbers, used again and again: a pass makes some three hundred arrays of few sizes, and
// fresh pages would cost more than what is computed on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include <sys/mman.h>

#include "../huge_pages.hpp"

namespace spm::llama {

// What is large is mapped by itself, where huge pages begin: the heap's own pages would be small ones that
// somebody has used before.
constexpr uintptr_t kHugePage = 2 << 20;

struct Release {
  void* mapping = nullptr;
  size_t mapped = 0;
  void operator()(uint8_t* data) const {
    if (mapping)
      munmap(mapping, mapped);
    else
      ::operator delete(data, std::align_val_t(64));
  }
};
using Memory = std::unique_ptr<uint8_t[], Release>;

inline Memory allocate(size_t bytes) {
  if (bytes < kHugePage / 2)
    return Memory(static_cast<uint8_t*>(::operator new(bytes, std::align_val_t(64))));
  const size_t mapped = bytes + kHugePage;  // what is not touched costs nothing
  if (mapped < bytes) throw std::bad_alloc();
  void* mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(mapping) + kHugePage - 1) & ~(kHugePage - 1);
  auto* data = reinterpret_cast<uint8_t*>(begin);
  ask_for_huge_pages(data, bytes);
  return Memory(data, Release{mapping, mapped});
}

// Keeps what is given back, up to a bound, and gives it out again. Who finds it busy goes without: nobody
// waits, not even after a fork that left it locked for ever.
class Recycler : public std::enable_shared_from_this<Recycler> {
 public:
  static constexpr size_t kMostKept = 96 << 20;

  // At least `bytes`, aligned to 64, until the last owner lets go of them.
  std::shared_ptr<uint8_t[]> get(size_t bytes) {
    Block block = take(bytes);
    const Release release = block.memory.get_deleter();
    return {block.memory.release(), [keeper = shared_from_this(), size = block.size, release](uint8_t* data) {
              keeper->give({size, Memory(data, release)});
            }};
  }

 private:
  struct Block {
    size_t size;
    Memory memory;
  };

  // The least that is enough, unless it is more than twice as much.
  Block take(size_t bytes) {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return {bytes, allocate(bytes)};
    size_t best = kept_.size();
    for (size_t i = 0; i < kept_.size(); i++)
      if (kept_[i].size >= bytes && kept_[i].size <= 2 * bytes + 4096 &&
          (best == kept_.size() || kept_[i].size < kept_[best].size))
        best = i;
    if (best == kept_.size()) return {bytes, allocate(bytes)};
    Block block = std::move(kept_[best]);
    kept_[best] = std::move(kept_.back());
    kept_.pop_back();
    bytes_ -= block.size;
    return block;
  }

  void give(Block block) {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || bytes_ + block.size > kMostKept) return;
    bytes_ += block.size;
    kept_.push_back(std::move(block));
  }

  std::mutex mutex_;
  std::vector<Block> kept_;
  size_t bytes_ = 0;
};

}  // namespace spm::llama
