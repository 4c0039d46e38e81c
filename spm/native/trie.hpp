// Many texts as one trie: walked byte by byte, it tells which of them begin here.
//
// Theory. A node stands for a beginning of some texts; the root stands for the empty one. Nodes are
// numbered level by level, so the children of a node follow one another, and those of the next node
// follow them: where each node's children begin is all that has to be kept, nine bytes a node.
//
//     a ab b bc      node      0     1  2   3   4
//                    is of     ""    a  b   ab  bc
//                    label           a  b   b   c
//                    children  1-2   3  4   -   -
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace spm {

class Trie {
 public:
  using Node = uint32_t;
  static constexpr Node kRoot = 0;  // also where no child is: the root is nobody's

  struct Entry {
    std::string_view text;  // any bytes, never empty; no two are the same
    uint32_t value;         // never 0
  };

  explicit Trie(std::vector<Entry> entries) {
    std::sort(entries.begin(), entries.end(), [](auto& a, auto& b) { return a.text < b.text; });
    std::vector<Range> level{{0, entries.size()}}, next;
    labels_.push_back(0);
    for (size_t depth = 0; !level.empty(); depth++) {
      levels_.push_back(Node(values_.size()));
      next.clear();
      for (Range range : level) add_node(entries, range, depth, next);
      level.swap(next);
    }
    children_.push_back(Node(labels_.size()));
  }

  Node child(Node node, uint8_t byte) const {
    const uint8_t* first = labels_.data() + children_[node];
    const void* found = std::memchr(first, byte, children_[node + 1] - children_[node]);
    return found ? Node(static_cast<const uint8_t*>(found) - labels_.data()) : kRoot;
  }

  // Calls visit(child, byte) for every child of a node.
  template <class Visit>
  void visit_children(Node node, Visit visit) const {
    for (Node c = children_[node]; c < children_[node + 1]; c++) visit(c, labels_[c]);
  }

  size_t size() const { return values_.size(); }
  bool is_leaf(Node node) const { return children_[node] == children_[node + 1]; }
  uint32_t value(Node node) const { return values_[node]; }  // of the text that ends here, or 0
  size_t depth(Node node) const {
    return size_t(std::upper_bound(levels_.begin(), levels_.end(), node) - levels_.begin()) - 1;
  }

 private:
  struct Range {  // of sorted entries: those that go through one node
    size_t begin, end;
  };

  // Numbers the children of the next node of a level, and leaves their ranges to the next level.
  void add_node(const std::vector<Entry>& entries, Range range, size_t depth, std::vector<Range>& next) {
    auto [begin, end] = range;
    values_.push_back(0);
    while (begin < end && entries[begin].text.size() == depth) values_.back() = entries[begin++].value;
    children_.push_back(Node(labels_.size()));
    while (begin < end) {
      char label = entries[begin].text[depth];
      size_t first = begin++;
      while (begin < end && entries[begin].text[depth] == label) begin++;
      labels_.push_back(uint8_t(label));
      next.push_back({first, begin});
    }
    if (labels_.size() >= std::numeric_limits<Node>::max())
      throw std::length_error("a trie of 4 GiB, expected fewer nodes than 32 bits can count");
  }

  std::vector<uint8_t> labels_;   // of each node, the byte that leads to it
  std::vector<Node> children_;    // of each node, the first child; the next node's first ends them
  std::vector<uint32_t> values_;  // of each node
  std::vector<Node> levels_;      // of each depth, the first node
};

}  // namespace spm
