// Pieces with scores as a double array: which of them begin here, character by character, a load for each.
//
// Theory. The characters of the pieces are numbered, the frequent ones first: letters, from 1 on. A node is
// a slot. It has a base, and its child by a letter stands in slot `base ^ letter`, if that one has the
// letter for its label. No two nodes have the same base, so a slot with the right label is nobody else's
// child.
//
//     letters a 1, b 2
//
//     a  ab  b      root, base 4      slot 4 ^ 1 = 5    label a, base 8
//                                     slot 4 ^ 2 = 6    label b, no child: base 0, which nobody has
//                                     slot 8 ^ 2 = 10   label b, no child
//
// Slots come in blocks that all letters fit into, and the children of a node are in one block. A node with
// several children takes the first room behind that of the last such node, so that no vocabulary makes this
// quadratic; those with one child fill the gaps.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "text.hpp"

namespace spm {

struct ScoredPiece {
  std::string text;  // space form; never empty, and no two are the same
  float score;
  int32_t id;
};

using Letter = uint32_t;  // 0: a character that no piece has

// Eight million slots are not enough.
struct TrieTooLarge : std::length_error {
  TrieTooLarge() : std::length_error("more pieces than the core's trie can hold") {}
};

class ScoredTrie {
 public:
  static constexpr float kNoPiece = -std::numeric_limits<float>::infinity();
  static constexpr uint32_t kRoot = 0;

  // A place on the way through the trie, and the piece that ends there.
  struct Node {
    uint32_t base = 0;
    Letter label = kFree;
    float score = kNoPiece;
    int32_t id = -1;
  };

  // Throws TrieTooLarge.
  explicit ScoredTrie(const std::vector<ScoredPiece>& pieces) {
    std::u32string text;
    std::vector<Spelled> spelled = spell(pieces, text);
    std::sort(spelled.begin(), spelled.end(), [](auto& a, auto& b) { return a.letters < b.letters; });
    open_block();
    is_base_[0] = true;
    nodes_[kRoot].label = kNobodysChild;
    std::vector<Branch> level{{0, spelled.size(), kRoot}}, next;
    for (size_t depth = 0; !level.empty(); depth++) {
      next.clear();
      for (const Branch& branch : level) add_children(spelled, branch, depth, next);
      level.swap(next);
    }
    is_base_ = {};
  }

  // The letter of a character.
  Letter letter(Code code) const {
    if (code < kBasicPlane) return letters_[code];
    auto found = std::lower_bound(others_.begin(), others_.end(), std::pair(code, Letter(0)));
    return found != others_.end() && found->first == code ? found->second : 0;
  }

  // Where a letter leads, or nullptr if no piece goes on so.
  const Node* child(const Node* node, Letter letter) const {
    const Node* there = &nodes_[node->base ^ letter];
    return there->label == letter ? there : nullptr;
  }

  const Node* root() const { return &nodes_[kRoot]; }
  uint32_t number(const Node* node) const { return uint32_t(node - nodes_.data()); }
  int32_t id(uint32_t number) const { return nodes_[number].id; }

 private:
  static constexpr Letter kFree = ~Letter(0), kNobodysChild = kFree - 1;
  static constexpr size_t kPatience = 64;  // looks for each child
  static constexpr size_t kLeastBlock = 256, kMostSlots = size_t(1) << 23;
  static constexpr Code kBasicPlane = 0x10000;

  struct Spelled {
    std::u32string_view letters;
    float score;
    int32_t id;
  };
  struct Branch {  // of spelled pieces: those that go through one node
    size_t begin, end;
    uint32_t slot;  // before the node has one, its label
  };

  // The pieces in letters, which are made here; `text` holds them all.
  std::vector<Spelled> spell(const std::vector<ScoredPiece>& pieces, std::u32string& text) {
    std::map<Code, size_t> counts;  // of what the basic plane lacks
    std::vector<size_t> basic(kBasicPlane);
    size_t size = 0;
    for (const ScoredPiece& piece : pieces) size += piece.text.size();
    text.reserve(size);  // views of it stay
    std::vector<Spelled> spelled;
    spelled.reserve(pieces.size());
    for (const ScoredPiece& piece : pieces) {
      const size_t begin = text.size();
      for (const char *p = piece.text.data(), *end = p + piece.text.size(); p < end;) {
        const Character c = read_character(p, end);
        text.push_back(char32_t(c.code));
        (c.code < kBasicPlane ? basic[c.code] : counts[c.code])++;
        p += c.size;
      }
      spelled.push_back({{text.data() + begin, text.size() - begin}, piece.score, piece.id});
    }
    for (Code code = 0; code < kBasicPlane; code++)
      if (basic[code]) counts.emplace(code, basic[code]);
    number_letters({counts.begin(), counts.end()});
    for (char32_t& each : text) each = char32_t(letter(Code(each)));
    return spelled;
  }

  void number_letters(std::vector<std::pair<Code, size_t>> counts) {
    std::sort(counts.begin(), counts.end(), [](auto& a, auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    letters_.resize(kBasicPlane);
    for (size_t i = 0; i < counts.size(); i++)
      if (const Code code = counts[i].first; code < kBasicPlane)
        letters_[code] = Letter(i + 1);
      else
        others_.emplace_back(code, Letter(i + 1));
    std::sort(others_.begin(), others_.end());
    block_ = std::max(kLeastBlock, std::bit_ceil(counts.size() + 1));
  }

  void add_children(const std::vector<Spelled>& sorted, Branch branch, size_t depth,
                    std::vector<Branch>& next) {
    auto [begin, end, slot] = branch;
    if (begin < end && sorted[begin].letters.size() == depth) {
      nodes_[slot].score = sorted[begin].score;
      nodes_[slot].id = sorted[begin].id;
      begin++;
    }
    if (begin == end) return;
    const size_t first = next.size();
    while (begin < end) {
      const size_t from = begin++;
      const char32_t label = sorted[from].letters[depth];
      while (begin < end && sorted[begin].letters[depth] == label) begin++;
      next.push_back({from, begin, Letter(label)});
    }
    const uint32_t base =
        next.size() - first > 1 ? base_of_several(next, first) : base_of_one(next[first].slot);
    is_base_[base] = true;
    nodes_[slot].base = base;
    for (size_t i = first; i < next.size(); i++) {
      nodes_[base ^ next[i].slot].label = next[i].slot;
      next[i].slot ^= base;
    }
  }

  bool is_free(uint32_t slot) const { return nodes_[slot].label == kFree; }

  // A base for the labels of next[first:]. Who has looked long takes a block of its own.
  uint32_t base_of_several(const std::vector<Branch>& next, size_t first) {
    size_t looks = 0;
    const auto fits = [&](uint32_t base) {
      return !is_base_[base] && std::all_of(next.begin() + ptrdiff_t(first), next.end(),
                                            [&](auto& child) { return looks++, is_free(base ^ child.slot); });
    };
    for (;; room_++) {
      if (room_ == nodes_.size() || looks > kPatience * (next.size() - first)) room_ = open_block();
      if (const uint32_t base = uint32_t(room_) ^ next[first].slot; fits(base)) return base;
    }
  }

  // A slot that is free stays a gap only if its base is somebody's.
  uint32_t base_of_one(Letter label) {
    for (;; gap_++) {
      if (gap_ == nodes_.size()) open_block();
      const uint32_t base = uint32_t(gap_) ^ label;
      if (is_free(uint32_t(gap_)) && !is_base_[base]) return base;
    }
  }

  // Returns its first slot.
  size_t open_block() {
    const size_t begin = nodes_.size(), end = begin + block_;
    if (end > kMostSlots) throw TrieTooLarge();
    nodes_.resize(end);
    is_base_.resize(end);
    return begin;
  }

  std::vector<Node> nodes_;
  std::vector<Letter> letters_;                  // of the basic plane
  std::vector<std::pair<Code, Letter>> others_;  // sorted
  std::vector<bool> is_base_;
  size_t block_ = kLeastBlock, room_ = 0, gap_ = 0;
};

}  // namespace spm
