// Special pieces are cut out of a text before anything merges. The specification is
// spm/text/fragments.py (llama.cpp tokenizer_st_partition): the longest special is searched first, over
// the whole text, then the next longest in what is left. Read so, a text is searched as often as there
// are specials. Here it is read once.
//
// Theory. An automaton (Aho and Corasick, 1975) is fed the text byte by byte. Its state is the longest
// beginning of a special that the text read so far ends with, so all occurrences that are still to end
// begin at or after `earliest` = bytes read - size of that beginning. An occurrence can stand in the
// way of another only if the two overlap; so as soon as `earliest` has passed all occurrences that
// were found, these are a group of their own, decided without a look at the rest of the text.
//
//     specials bcd ab        text    x  a  b  c  d  a  b  x
//                            state   -  a  b  bc -  a  b  -     ab ends, but a bcd may overlap it
//                            group            ab .  bcd ab .    closed where `earliest` has passed it
//
// Within a group the order decides: longest first, the lower id of equal sizes, then left to right.
// Many specials may end at one byte (a aa aaa ...), but only the longest of them is a candidate. A cut
// made before is at least as long as the candidate, so if they overlap, it covers the candidate's last
// byte, and then nothing that ends here is left; or its first byte, and then the next candidate is the
// longest special that fits behind the cut and ends at the same byte. Each time this happens the room
// is less than half of what it was, because a cut at least as long as the candidate went into it. So
// n bytes have at most n log n candidates, in a heap, whatever the specials; a group takes some 50
// bytes of memory for each byte it spans. Almost always it spans one special.
//
// A special with `lstrip` or `rstrip` also takes the white space beside it, as far as that is free.
// White space beside an occurrence is in its group then.
#pragma once

#include <array>
#include <string>

#include "trie.hpp"

namespace spm {

// A piece that is found as a whole, before merging.
struct Special {
  std::string piece;
  int32_t id;
  bool lstrip, rstrip;  // it swallows the white space before it, after it
};

// A part of the text, in bytes: a special piece, or plain text, whose id is -1. Never empty.
struct Fragment {
  size_t begin, end;
  int32_t id;
};

class Specials {
 public:
  // In the order in which they are searched, longest first, as `special_pieces` gives them.
  explicit Specials(std::vector<Special> in_order)
      : specials_(std::move(in_order)), trie_(entries(specials_)), shorter_(specials_.size() + 1) {
    for (const Special& special : specials_) {
      lstrip_ |= special.lstrip;
      rstrip_ |= special.rstrip;
    }
    trie_.visit_children(Trie::kRoot, [&](Node node, uint8_t byte) {
      first_[byte] = node;
      first_byte_ = byte;
      n_first_bytes_++;
    });
    link();
  }

  bool empty() const { return specials_.empty(); }

  // Appends the fragments of a text.
  void partition(std::string_view text, std::vector<Fragment>& out) const {
    Scan scan(*this, text);
    Cutter cutter(*this, text);
    size_t done = 0;
    for (bool more = true; more;) {
      more = scan.next();  // what is left at the end is a group as well: nothing follows
      for (const Cut& cut : cutter.cuts(scan)) {
        if (done < cut.begin) out.push_back({done, cut.begin, -1});
        out.push_back(cut.special);
        done = cut.end;
      }
    }
    if (done < text.size()) out.push_back({done, text.size(), -1});
  }

  // The first bytes of a text that can be cut apart from the rest, and from whatever may follow:
  // partition(text[:n]) and partition(text[n:] + more) are together partition(text + more), but that
  // plain text may be in two fragments there.
  size_t settled(std::string_view text) const {
    Scan scan(*this, text);
    while (scan.next()) continue;
    return scan.settled();
  }

 private:
  using Node = Trie::Node;
  using Index = uint32_t;  // of a special, counted from 1; 0 is none

  // Of one special, those that it ends with: the longest one, and one further on, so that a chain of
  // any length is passed in few steps (Myers, An applicative random-access stack, 1983).
  struct Shorter {
    Index next = 0, jump = 0;
    uint32_t n = 0;  // the chain's length
  };

  struct Occurrence {
    Index special;
    size_t end;
  };

  // Reads a text and stops after every group.
  class Scan {
   public:
    Scan(const Specials& specials, std::string_view text) : s_(specials), text_(text) {}

    // Finds the next group; false if the text ended before it was certain to be complete.
    bool next() {
      group.clear();
      reach_ = 0;
      while (at_ < text_.size()) {
        if (state_ == Trie::kRoot && group.empty()) at_ = s_.skip(text_, at_);
        if (at_ == text_.size()) break;
        Node node = s_.step(state_, uint8_t(text_[at_++]));
        if (s_.longest_[node]) add({s_.longest_[node], at_});
        state_ = s_.trie_.is_leaf(node) ? s_.fail_[node] : node;
        if (!group.empty() && earliest() >= reach_) return true;
      }
      return false;
    }

    // The part of the text that the group is in, with the white space that may belong to it.
    size_t begin() const {
      size_t begin = text_.size();
      for (const Occurrence& o : group) begin = std::min(begin, o.end - s_.size(o.special));
      return before_white(begin);
    }
    size_t end() const { return std::min(reach_, text_.size()); }

    // Where the text can be cut, after the last group: the first byte that what is still to end may
    // take, or what it may stand in the way of, and so on.
    size_t settled() const {
      size_t settled = before_white(earliest());
      for (auto o = group.rbegin(); o != group.rend() && touches(o->end, settled); ++o) {
        size_t begin = o->end - s_.size(o->special);
        if (begin < settled) settled = before_white(begin);
      }
      return settled;
    }

    std::vector<Occurrence> group;  // of those that end at the same byte, the longest

   private:
    size_t earliest() const { return at_ - s_.trie_.depth(state_); }

    void add(Occurrence occurrence) {
      group.push_back(occurrence);
      if (occurrence.end >= reach_) reach_ = reach(occurrence.end);
    }

    // What ends at `end` cannot be touched by what begins here or later; behind the end of the text
    // if it can be touched by what follows.
    size_t reach(size_t end) const {
      size_t reach = s_.rstrip_ ? after_white(end) : end;
      if (s_.rstrip_ && reach == text_.size()) return reach + 1;
      if (s_.lstrip_ && is_white(text_[reach - 1])) return after_white(reach) + 1;
      return reach;
    }
    // Whether what ends at `end`, with white space that may belong to it, goes beyond `at`.
    bool touches(size_t end, size_t at) const {
      while (s_.rstrip_ && end < at && is_white(text_[end])) end++;
      return end > at || (s_.rstrip_ && end == at && (at == text_.size() || is_white(text_[at])));
    }
    size_t after_white(size_t at) const {
      while (at < text_.size() && is_white(text_[at])) at++;
      return at;
    }
    size_t before_white(size_t at) const {
      while (s_.lstrip_ && at > 0 && is_white(text_[at - 1])) at--;
      return at;
    }

    const Specials& s_;
    std::string_view text_;
    Node state_ = Trie::kRoot;
    size_t at_ = 0;     // bytes read
    size_t reach_ = 0;  // the group is complete once `earliest` is here
  };

  // What is taken out of a text: a special and the white space that it swallows.
  struct Cut {
    size_t begin, end;
    Fragment special;
  };

  // Decides groups, one after the other.
  class Cutter {
   public:
    Cutter(const Specials& specials, std::string_view text) : s_(specials), text_(text) {}

    // The cuts of the group that was found last, from left to right.
    const std::vector<Cut>& cuts(const Scan& scan) {
      cuts_.clear();
      heap_ = scan.group;
      if (heap_.empty()) return cuts_;
      first_ = scan.begin();
      taken_.assign(scan.end() - first_, 0);
      std::make_heap(heap_.begin(), heap_.end(), comes_after);
      while (!heap_.empty()) {
        std::pop_heap(heap_.begin(), heap_.end(), comes_after);
        Occurrence occurrence = heap_.back();
        heap_.pop_back();
        decide(occurrence);
      }
      std::sort(cuts_.begin(), cuts_.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
      return cuts_;
    }

   private:
    static bool comes_after(const Occurrence& a, const Occurrence& b) {
      return a.special != b.special ? a.special > b.special : a.end > b.end;
    }

    // Cuts at an occurrence that is first in order, or puts a shorter one in its place.
    void decide(Occurrence occurrence) {
      auto [special, end] = occurrence;
      size_t begin = end - s_.size(special);
      if (taken_[end - 1 - first_]) return;
      if (size_t before = taken_[begin - first_]) {
        Index fits = s_.at_most(end - before, special);
        if (!fits) return;
        heap_.push_back({fits, end});
        std::push_heap(heap_.begin(), heap_.end(), comes_after);
      } else {
        cuts_.push_back(widened(s_.specials_[special - 1], begin));
        Cut cut = cuts_.back();
        std::fill(&taken_[cut.begin - first_], &taken_[cut.end - 1 - first_] + 1, cut.end);
      }
    }

    // A special with the white space that it swallows, of bytes that are not taken.
    Cut widened(const Special& special, size_t at) const {
      size_t begin = at, end = at + special.piece.size(), last = first_ + taken_.size();
      auto is_free = [&](size_t i) { return !taken_[i - first_] && is_white(text_[i]); };
      while (special.lstrip && begin > first_ && is_free(begin - 1)) begin--;
      while (special.rstrip && end < last && is_free(end)) end++;
      return {begin, end, {at, at + special.piece.size(), special.id}};
    }

    const Specials& s_;
    std::string_view text_;
    size_t first_ = 0;           // where the group begins
    std::vector<size_t> taken_;  // of each byte of the group, where the cut ends that covers it, or 0
    std::vector<Occurrence> heap_;
    std::vector<Cut> cuts_;
  };

  static bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }  // C's isspace

  static std::vector<Trie::Entry> entries(const std::vector<Special>& specials) {
    std::vector<Trie::Entry> entries;
    for (const Special& special : specials) {
      bool longer = !entries.empty() && special.piece.size() > entries.back().text.size();
      if (special.piece.empty() || longer)
        throw std::invalid_argument("specials must not be empty, and the longest first");
      entries.push_back({special.piece, uint32_t(entries.size() + 1)});
    }
    return entries;
  }

  // Goes through the nodes, shortest first, and tells each the longest end of its text that is a node
  // with children, where the search goes on, and the longest end that is a special.
  void link() {
    fail_.resize(trie_.size());
    longest_.resize(trie_.size());
    for (Node node = 0; node < trie_.size(); node++) {
      trie_.visit_children(node, [&](Node child, uint8_t byte) {
        Node end = node == Trie::kRoot ? Trie::kRoot : step(fail_[node], byte);
        fail_[child] = trie_.is_leaf(end) ? fail_[end] : end;
        longest_[child] = longest_[end];
        if (Index special = trie_.value(child)) {
          shorter_[special] = chain(longest_[end]);
          longest_[child] = special;
        }
      });
    }
  }

  // A chain whose first special is `next`. Jumps are taken together when two have the same length.
  Shorter chain(Index next) const {
    const Shorter& one = shorter_[next];
    const Shorter& two = shorter_[one.jump];
    bool same = one.n - two.n == two.n - shorter_[two.jump].n;
    return {next, same ? two.jump : next, one.n + 1};
  }

  // The longest special of at most `limit` bytes that `special` ends with, or none.
  Index at_most(size_t limit, Index special) const {
    while (size(special) > limit) {
      const Shorter& chain = shorter_[special];
      special = size(chain.jump) > limit ? chain.jump : chain.next;
    }
    return special;
  }
  size_t size(Index special) const { return special ? specials_[special - 1].piece.size() : 0; }

  Node step(Node state, uint8_t byte) const {
    for (; state != Trie::kRoot; state = fail_[state])
      if (Node child = trie_.child(state, byte)) return child;
    return first_[byte];
  }

  // The next byte that begins a special.
  size_t skip(std::string_view text, size_t at) const {
    if (n_first_bytes_ == 1) {
      const void* found = std::memchr(text.data() + at, first_byte_, text.size() - at);
      return found ? size_t(static_cast<const char*>(found) - text.data()) : text.size();
    }
    const auto* p = reinterpret_cast<const uint8_t*>(text.data());
    auto any = [&](size_t i) {
      return first_[p[i]] | first_[p[i + 1]] | first_[p[i + 2]] | first_[p[i + 3]];
    };
    while (at + 8 <= text.size() && !(any(at) | any(at + 4))) at += 8;
    while (at < text.size() && !first_[p[at]]) at++;
    return at;
  }

  std::vector<Special> specials_;
  Trie trie_;
  std::vector<Node> fail_;      // of each node
  std::vector<Index> longest_;  // of each node
  std::vector<Shorter> shorter_;
  std::array<Node, 256> first_{};  // the children of the root
  size_t n_first_bytes_ = 0;
  uint8_t first_byte_ = 0;                // the only one, if there is one
  bool lstrip_ = false, rstrip_ = false;  // whether any special does
};

}  // namespace spm
