// Pieces with scores as a double array: which of them begin here, byte by byte, a load for each byte.
//
// Theory. A node is a slot, 32 bits. It has a base, and its child by a byte stands in slot `base ^ byte`,
// if that one is taken and has the byte for its label. No two nodes have the same base, so a slot with
// the right label is nobody else's child.
//
//     slot    base 23 bits | taken | label 8 bits
//
//     a  ab  b      root, base 0x61..      slot 0x61 ^ 'a' = 0     label a, base 0x44
//                                          slot 0x61 ^ 'b' = 3     label b, no child: base 0
//                                          slot 0x44 ^ 'b' = 0x26  label b, no child: base 0
//
// Slots come in blocks of 256, and all children of a node are in one block. A node with several children
// looks for room among free slots; but it tries a few only, and a slot that was tried in vain too often
// is given up, so that no vocabulary makes this quadratic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "text.hpp"
#include "utf8.hpp"

namespace spm {

struct ScoredPiece {
  std::string text;  // space form; never empty, and no two are the same
  float score;
  int32_t id;
};

class ScoredTrie {
 public:
  static constexpr float kNoPiece = -std::numeric_limits<float>::infinity();

  // A place on the way through the trie, and the score of the piece that ends there.
  struct Node {
    uint32_t unit = 0;
    float score = kNoPiece;
  };

  // Throws std::length_error if eight million slots are not enough.
  explicit ScoredTrie(const std::vector<ScoredPiece>& pieces) {
    std::vector<const ScoredPiece*> sorted;
    for (const ScoredPiece& piece : pieces) sorted.push_back(&piece);
    std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->text < b->text; });
    open_block();
    // The root is no child, though it is taken; a node without children has base 0, which nobody has.
    take(kRoot, 0xFF);
    is_base_[0] = is_base_[0xFF] = true;
    std::vector<Branch> level{{0, sorted.size(), kRoot}}, next;
    for (size_t depth = 0; !level.empty(); depth++) {
      next.clear();
      for (const Branch& branch : level) add_children(sorted, branch, depth, next);
      level.swap(next);
    }
    links_ = {};
    is_base_ = {};
    find_characters();
  }

  // Where a well-formed character leads from the root, or nullptr; and the bytes of the character.
  const Node* first(const char* p, unsigned& size) const {
    Character c = read_well_formed(p);
    size = c.size;
    if (c.code >= kBasicPlane) return walk(p, 4);
    return characters_[c.code] ? &nodes_[characters_[c.code]] : nullptr;
  }

  // Where a byte leads, or nullptr if no piece goes on so.
  const Node* child(const Node* node, uint8_t byte) const {
    const Node* there = &nodes_[node->unit >> kBaseShift ^ byte];
    return (there->unit & (kTaken | 0xFF)) == (kTaken | byte) ? there : nullptr;
  }

  // Of the piece that ends at the node of this number.
  uint32_t number(const Node* node) const { return uint32_t(node - nodes_.data()); }
  int32_t id(uint32_t number) const { return ids_[number]; }

 private:
  static constexpr uint32_t kRoot = 0, kTaken = 1 << 8;
  static constexpr int kBaseShift = 9;
  static constexpr size_t kBlock = 256, kMostSlots = size_t(1) << 23;
  static constexpr size_t kTries = 32;  // free slots that a node tries
  static constexpr Code kBasicPlane = 0x10000;
  static constexpr uint8_t kPatience = 8;  // times that a free slot is tried in vain

  struct Branch {  // of sorted pieces: those that go through one node
    size_t begin, end;
    uint32_t slot;  // before the node has one, its label
  };
  struct Link {  // free slots, in a ring with the root, while the trie is built
    uint32_t before, behind;
    uint8_t tried = 0;
  };

  const Node* walk(const char* p, size_t n) const {
    const Node* node = &nodes_[kRoot];
    for (size_t i = 0; i < n && node; i++) node = child(node, uint8_t(p[i]));
    return node;
  }

  // A first character is one load, however many bytes it has.
  void find_characters() {
    characters_.resize(kBasicPlane);
    for (Code code = 0; code < kBasicPlane; code++) {
      char bytes[4];
      auto* end = reinterpret_cast<char*>(write_character(code, reinterpret_cast<uint8_t*>(bytes)));
      if (const Node* node = walk(bytes, size_t(end - bytes))) characters_[code] = number(node);
    }
    characters_[kMark] = characters_[kSpace];
  }

  void add_children(const std::vector<const ScoredPiece*>& sorted, Branch branch, size_t depth,
                    std::vector<Branch>& next) {
    auto [begin, end, slot] = branch;
    if (begin < end && sorted[begin]->text.size() == depth) {
      nodes_[slot].score = sorted[begin]->score;
      ids_[slot] = sorted[begin]->id;
      begin++;
    }
    if (begin == end) return;
    size_t first = next.size();
    while (begin < end) {
      size_t from = begin++;
      char label = sorted[from]->text[depth];
      while (begin < end && sorted[begin]->text[depth] == label) begin++;
      next.push_back({from, begin, uint8_t(label)});
    }
    uint32_t base = find_base(next, first);
    is_base_[base] = true;
    nodes_[slot].unit |= base << kBaseShift;
    for (size_t i = first; i < next.size(); i++) {
      take(base ^ next[i].slot, next[i].slot);
      next[i].slot ^= base;
    }
  }

  // A base for the labels of next[first:].
  uint32_t find_base(const std::vector<Branch>& next, size_t first) {
    uint32_t label = next[first].slot, slot = links_[kRoot].behind;
    for (size_t tries = 0; tries < kTries && slot != kRoot; tries++) {
      uint32_t base = slot ^ label, behind = links_[slot].behind;
      auto is_free = [&](const Branch& child) { return !(nodes_[base ^ child.slot].unit & kTaken); };
      if (!is_base_[base] && std::all_of(next.begin() + ptrdiff_t(first), next.end(), is_free)) return base;
      if (++links_[slot].tried == kPatience) unlink(slot);
      slot = behind;
    }
    return open_block() ^ label;
  }

  uint32_t open_block() {
    size_t size = nodes_.size();
    if (size + kBlock > kMostSlots) throw std::length_error("more pieces than the core's trie can hold");
    nodes_.resize(size + kBlock);
    ids_.resize(size + kBlock);
    is_base_.resize(size + kBlock);
    links_.resize(size + kBlock);
    for (uint32_t slot = uint32_t(size); slot < size + kBlock; slot++) {
      if (slot == kRoot) continue;
      links_[slot] = {links_[kRoot].before, kRoot};
      links_[links_[kRoot].before].behind = slot;
      links_[kRoot].before = slot;
    }
    return uint32_t(size);
  }

  void take(uint32_t slot, uint32_t label) {
    nodes_[slot].unit = kTaken | label;
    if (slot != kRoot && links_[slot].tried < kPatience) unlink(slot);
  }

  void unlink(uint32_t slot) {
    links_[links_[slot].before].behind = links_[slot].behind;
    links_[links_[slot].behind].before = links_[slot].before;
  }

  std::vector<Node> nodes_;
  std::vector<int32_t> ids_;
  std::vector<uint32_t> characters_;  // the node of each; kRoot: there is none
  std::vector<bool> is_base_;
  std::vector<Link> links_;
};

}  // namespace spm
