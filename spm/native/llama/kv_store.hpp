// The keys and values of one text in every layer, head by head; attention.hpp says how a head's lie.
#pragma once

#include <cstring>
#include <stdexcept>
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
    const size_t old_keys = key_bytes(), old_values = value_bytes();
    capacity_ = rounded_up(capacity, kMostLanes);
    for (Layer& layer : layers_) {
      layer.keys = moved(layer.keys, old_keys, key_bytes(), rounded_up(used, lanes_) * head_dim * element());
      layer.values = moved(layer.values, old_values, value_bytes(), used * padded_dim() * element());
    }
  }

  KeysValues head(size_t layer, size_t head) const {
    return {kept_, layers_[layer].keys.get() + head * key_bytes(), layers_[layer].values.get() + head * value_bytes(),
            head_dim};
  }

 private:
  struct Layer {
    Memory keys, values;
  };

  size_t element() const { return kept_ == Kept::f16 ? 2 : 4; }
  size_t padded_dim() const { return rounded_up(head_dim, kMostLanes); }
  size_t key_bytes() const { return capacity_ * head_dim * element(); }  // of one head
  size_t value_bytes() const { return capacity_ * padded_dim() * element(); }

  // Every head's first `used` bytes, in larger rooms.
  Memory moved(const Memory& old, size_t old_bytes, size_t new_bytes, size_t used) const {
    Memory larger = allocate(n_kv_heads * new_bytes);
    for (size_t h = 0; used && h < n_kv_heads; h++)
      std::memcpy(larger.get() + h * new_bytes, old.get() + h * old_bytes, used);
    return larger;
  }

  size_t lanes_;
  Kept kept_;
  size_t capacity_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace spm::llama
