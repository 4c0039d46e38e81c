// Memory for rows of numbers, used again and again: a pass makes some three hundred arrays of few sizes, and
// fresh pages would cost more than what is computed on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "../huge_pages.hpp"

namespace spm::llama {

struct Release {
  void operator()(uint8_t* data) const { ::operator delete(data, std::align_val_t(64)); }
};
using Memory = std::unique_ptr<uint8_t[], Release>;

inline Memory allocate(size_t bytes) {
  Memory memory(static_cast<uint8_t*>(::operator new(bytes, std::align_val_t(64))));
  ask_for_huge_pages(memory.get(), bytes);
  return memory;
}

// Keeps what is given back, up to a bound, and gives it out again.
class Recycler : public std::enable_shared_from_this<Recycler> {
 public:
  static constexpr size_t kMostKept = 96 << 20;

  // At least `bytes`, aligned to 64, until the last owner lets go of them.
  std::shared_ptr<uint8_t[]> get(size_t bytes) {
    Block block = take(bytes);
    return {block.memory.release(),
            [keeper = shared_from_this(), size = block.size](uint8_t* data) { keeper->give({size, Memory(data)}); }};
  }

 private:
  struct Block {
    size_t size;
    Memory memory;
  };

  // The least that is enough, unless it is more than twice as much.
  Block take(size_t bytes) {
    std::lock_guard lock(mutex_);
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
    std::lock_guard lock(mutex_);
    if (bytes_ + block.size > kMostKept) return;
    bytes_ += block.size;
    kept_.push_back(std::move(block));
  }

  std::mutex mutex_;
  std::vector<Block> kept_;
  size_t bytes_ = 0;
};

}  // namespace spm::llama
