// Pieces by their characters, in space form: which of them stand at a place, the longest first. (The
// other trie, trie.hpp, goes by bytes, for texts in which a typed ▁ is not yet a space.)
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text.hpp"

namespace spm {

class PieceTrie {
 public:
  using Index = uint32_t;
  static constexpr Index kRoot = 0;  // no piece is empty, so it stands for "none" as well

  struct Node {
    uint32_t value = 0;
    uint32_t depth = 0;     // characters
    Index shorter = kRoot;  // the longest piece that this one begins with
    bool ends = false;      // a piece ends here
  };

  PieceTrie(size_t n_pieces, uint64_t seed)
      : odd_(mixed(seed) | 1), nodes_(1), edges_(std::bit_ceil(4 * n_pieces + 64), Edge{kEmpty, 0}) {}

  // All pieces are inserted before the first search.
  void insert(std::string_view piece, uint32_t value) {
    Index at = kRoot;
    const char *p = piece.data(), *end = p + piece.size();
    while (p < end) {
      Character c = read_character(p, end);
      at = child_or_new(at, c.code);
      p += c.size;
    }
    nodes_[at].value = value;
    nodes_[at].ends = true;
  }

  // Lets every piece know the next shorter one; nodes come after those they hang on.
  void finish() {
    for (Index i = 1; i < nodes_.size(); i++) {
      Index parent = parents_[i - 1];
      nodes_[i].shorter = nodes_[parent].ends ? parent : nodes_[parent].shorter;
    }
    parents_ = {};
  }

  const Node& operator[](Index i) const { return nodes_[i]; }

  // Where the character `code` leads from a node, or kRoot if nowhere.
  Index child(Index at, Code code) const {
    const Edge& edge = edges_[slot(uint64_t(at) << 32 | code)];
    return edge.key == kEmpty ? kRoot : edge.to;
  }

 private:
  struct Edge {
    uint64_t key;  // node << 32 | character
    Index to;
  };
  static constexpr uint64_t kEmpty = ~0ull;

  Index child_or_new(Index at, Code code) {
    if (2 * nodes_.size() > edges_.size()) grow();
    Edge& edge = edges_[slot(uint64_t(at) << 32 | code)];
    if (edge.key != kEmpty) return edge.to;
    edge = {uint64_t(at) << 32 | code, Index(nodes_.size())};
    nodes_.push_back({0, nodes_[at].depth + 1, kRoot, false});
    parents_.push_back(at);
    return edge.to;
  }
  size_t slot(uint64_t key) const {
    size_t mask = edges_.size() - 1, i = (key * odd_ >> 32) & mask;
    while (edges_[i].key != kEmpty && edges_[i].key != key) i = (i + 1) & mask;
    return i;
  }
  void grow() {
    std::vector<Edge> old(2 * edges_.size(), Edge{kEmpty, 0});
    old.swap(edges_);
    for (const Edge& edge : old)
      if (edge.key != kEmpty) edges_[slot(edge.key)] = edge;
  }

  uint64_t odd_;
  std::vector<Node> nodes_;
  std::vector<Index> parents_;  // of node i + 1
  std::vector<Edge> edges_;
};

}  // namespace spm
