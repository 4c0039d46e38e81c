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
      : n_kv_heads(n_kv_heads), head_dim(head_dim), lanes_(lanes), kept_(kept), layers_(n_layers) {}

  KVStore(KVStore&&) = default;

  size_t n_kv_heads, head_dim;
  size_t layers() const { return layers_.size(); }
  size_t capacity() const { return capacity_; }

  // Room for `capacity` positions, of which the first `used` are kept.
  void grow(size_t capacity, size_t used) {
    const size_t before = head_bytes(), kept = rounded_up(used, lanes_) * kept_bytes(kept_, head_dim);
    capacity_ = rounded_up(capacity, kMostLanes);
    for (Layer& layer : layers_) {
      layer.keys = moved(layer.keys, before, kept);
      layer.values = moved(layer.values, before, kept);
    }
  }

  KeysValues head(size_t layer, size_t head) const {
    const size_t at = head * head_bytes();
    return {kept_, layers_[layer].keys.get() + at, layers_[layer].values.get() + at, head_dim};
  }

 private:
  struct Layer {
    Memory keys, values;
  };

  size_t head_bytes() const { return capacity_ * kept_bytes(kept_, head_dim); }  // keys, or values

  // Every head's first `used` bytes in larger rooms.
  Memory moved(const Memory& old, size_t before, size_t used) const {
    Memory larger = allocate(n_kv_heads * head_bytes());
    for (size_t h = 0; used && h < n_kv_heads; h++)
      std::memcpy(larger.get() + h * head_bytes(), old.get() + h * before, used);
    return larger;
  }

  size_t lanes_;
  Kept kept_;
  size_t capacity_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace spm::llama
