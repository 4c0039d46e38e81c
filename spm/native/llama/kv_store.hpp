// The keys and values of one text in every layer, head by head; attention.hpp says how a head's lie.
#pragma once

#include <cstring>
#include <vector>

#include "kernels.hpp"
#include "memory.hpp"
#include "rows.hpp"

namespace spm::llama {

class KVStore {
 public:
  KVStore(size_t lanes, Kept kept, size_t n_layers, size_t n_kv_heads, size_t head_dim)
      : n_kv_heads(n_kv_heads), head_dim(head_dim), lanes_(lanes), kept_(kept), layers_(n_layers) {
    require(n_kv_heads && head_dim && head_dim <= kMostHeadDim && kept >= Kept::f32 && kept <= Kept::q8_0,
            "keys and values of this shape");
  }

  KVStore(KVStore&&) = default;

  size_t n_kv_heads, head_dim;
  size_t layers() const { return layers_.size(); }
  size_t capacity() const { return capacity_; }

  // Room for `capacity` positions, of which the first `used` are kept. All of it is had before any is used:
  // where memory runs out, the store is as it was.
  void grow(size_t capacity, size_t used) {
    require(used <= capacity_ && used <= capacity && capacity <= SIZE_MAX - kMostLanes, "a store's size");
    const size_t wanted = rounded_up(capacity, kMostLanes), before = head_bytes(capacity_),
                 after = head_bytes(wanted);
    const size_t kept = times(rounded_up(used, lanes_), kept_bytes(kept_, head_dim));
    std::vector<Layer> larger(layers_.size());
    for (Layer& layer : larger)
      layer = {allocate(times(n_kv_heads, after)), allocate(times(n_kv_heads, after))};
    for (size_t i = 0; i < larger.size(); i++) {
      const Layer old = std::move(layers_[i]);
      for (size_t h = 0; kept && h < n_kv_heads; h++) {
        std::memcpy(larger[i].keys.get() + h * after, old.keys.get() + h * before, kept);
        std::memcpy(larger[i].values.get() + h * after, old.values.get() + h * before, kept);
      }
    }
    layers_ = std::move(larger);
    capacity_ = wanted;
  }

  KeysValues head(size_t layer, size_t head) const {
    const size_t at = head * head_bytes(capacity_);
    return {kept_, layers_[layer].keys.get() + at, layers_[layer].values.get() + at, head_dim};
  }

 private:
  struct Layer {
    Memory keys, values;
  };

  static constexpr size_t kMostHeadDim = 1u << 31;

  // Of keys, or values, at so many positions.
  size_t head_bytes(size_t positions) const { return times(positions, kept_bytes(kept_, head_dim)); }

  size_t lanes_;
  Kept kept_;
  size_t capacity_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace spm::llama
