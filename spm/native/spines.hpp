// Long units in linear time: tokens from left to right, each checked against the one before.
//
// Theory. Call a piece whole if its own text encodes to it alone. Write r(t) for the run of merges that
// makes t from its characters, in order. Two lemmas make an encoding something that can be checked.
//
// Neighbour lemma. A row of whole tokens t1 t2 ... tk is the encoding of its text if and only if every
// two neighbours are the encoding of theirs. Proof: while nothing has merged across a border, the best
// bigram of the text that lies inside ti is the next one of r(ti), whatever the others do. So the runs
// interleave, always the one with the best next merge first (of equal ranks the left one), and for two
// neighbours the order of their merges does not depend on the rest of the text. The first merge across
// a border would be at a moment when it beats the next merges of both sides; the text of these two
// alone comes to the same moment, and there it wins as well; and the other way round.
//
// Spine lemma. Whether t1|t2 merge across needs only what stands at the border. The last symbol of t1
// changes few times during r(t1); the right spine of t1 lists the symbols that stood there, each with its
// ceiling: the worst rank among the merges from its coming to its going, the one that replaces it
// included, and infinity for t1 itself. The left spine of t2 lists its first symbols in the same way. Let
// x with ceiling M and y with ceiling N stand at the border, and c be the rank of the bigram xy.
//   - If c < M and c <= N, it merges: both runs come to a merge that is no better than c before x or y
//     goes, and everything before that is done first. (The merges of t1 lie left of the border and win
//     ties with it; those of t2 lie right of it and lose them.)
//   - Otherwise it does not, while x and y stand; then the side with the smaller ceiling moves on (of
//     equal ones the left): all its merges up to there come before the other side's worst one, which
//     is therefore still ahead, so that the other ceiling stays what it is.
// When both ceilings are infinite and xy is no bigram, nothing merges across. A spine has about three
// entries.
//
//     pieces  a 1  b 2  ab 5  ba 3        "ba" + "b":  right spine of ba:  (a, 3) (ba, inf);  of b: (b, inf)
//     a|b     ab has rank 5; 5 < 3 is false, so a merges away before: ba|b. bab is no piece: valid.
//
// Since the encoding of every beginning of a text is unique, the tokens can be searched from the left:
// try the longest whole piece, then shorter ones; where none fits, go back by one token and never come
// to this place again. Every place is entered at most once.
#pragma once

#include <vector>

#include "merge.hpp"
#include "piece_trie.hpp"

namespace spm {

class Spines {
 public:
  Spines(const std::vector<Mergeable>& pieces, const Symbols& symbols)
      : pieces_(pieces), symbols_(symbols), known_(symbols.size()) {}

  // Whether the encoding of both texts together is just these two tokens. Each must be whole. The last
  // answers are kept: what is long is mostly monotonous.
  bool may_meet(Symbol left, Symbol right) {
    uint64_t pair = uint64_t(left) << 32 | right;
    Answer& answer = answers_[pair * 0x9E3779B97F4A7C15ull >> (64 - kAnswerBits)];
    if (answer.pair != pair) answer = {pair, walk(left, right)};
    return answer.may_meet;
  }

  bool is_whole(Symbol piece) { return spine(piece).whole; }

 private:
  struct Answer {
    uint64_t pair = ~0ull;  // of a symbol that is none with itself, which may meet
    bool may_meet = true;
  };
  static constexpr unsigned kAnswerBits = 10;

  bool walk(Symbol left, Symbol right) {
    size_t x = spine(left).right, y = spine(right).left;
    for (;;) {
      const Step &a = steps_[x], &b = steps_[y];
      Rank across = symbols_.bigram(a.edge, b.edge).rank;
      if (across < a.ceiling && across <= b.ceiling && across != kNoRank) return false;
      if (a.ceiling == kNoRank && b.ceiling == kNoRank) return true;
      a.ceiling <= b.ceiling ? x++ : y++;
    }
  }

  struct Step {
    Symbol edge;
    Rank ceiling;  // kNoRank: infinity
  };
  struct Spine {
    uint32_t left = 0, right = 0;  // where they begin among the steps; 0: not known yet
    bool whole = false;
  };
  static constexpr size_t kMaxCharacters = 128;  // longer pieces are not simulated, and never whole

  const Spine& spine(Symbol symbol) {
    if (symbol == kNoSymbol) return none_;
    if (!known_[symbol].left) learn(symbol);
    return known_[symbol];
  }

  void learn(Symbol symbol) {
    std::vector<Step> left, right;
    bool whole = symbol >= pieces_.size() || simulate(symbol, left, right);
    left.push_back({symbol, kNoRank});
    right.push_back({symbol, kNoRank});
    known_[symbol] = {keep(left), keep(right), whole};
  }

  uint32_t keep(const std::vector<Step>& spine) {
    steps_.insert(steps_.end(), spine.begin(), spine.end());
    return uint32_t(steps_.size() - spine.size());
  }

  // Runs the merges of a piece's own text; true if the piece comes out.
  bool simulate(Symbol piece, std::vector<Step>& left, std::vector<Step>& right) {
    std::vector<Symbol> row;
    const std::string& text = pieces_[piece].text;
    for (const char *p = text.data(), *end = p + text.size(); p < end;) {
      Character c = read_character(p, end);
      row.push_back(symbols_.of_character(c.code));
      p += c.size;
      if (row.size() > kMaxCharacters) return false;
    }
    Rank left_ceiling = 0, right_ceiling = 0;
    while (row.size() > 1) {
      auto [best, at] = best_bigram(row);
      if (best.rank == kNoRank) return false;
      left_ceiling = std::max(left_ceiling, best.rank);
      right_ceiling = std::max(right_ceiling, best.rank);
      if (at == 0) left.push_back({row.front(), left_ceiling}), left_ceiling = 0;
      if (at + 2 == row.size()) right.push_back({row.back(), right_ceiling}), right_ceiling = 0;
      row[at] = best.merge;
      row.erase(row.begin() + ptrdiff_t(at) + 1);
    }
    return row[0] == piece;
  }

  std::pair<Bigram, size_t> best_bigram(const std::vector<Symbol>& row) const {
    Bigram best;
    size_t place = 0;
    for (size_t i = 0; i + 1 < row.size(); i++)
      if (Bigram b = symbols_.bigram(row[i], row[i + 1]); b.rank < best.rank) best = b, place = i;
    return {best, place};
  }

  const std::vector<Mergeable>& pieces_;
  const Symbols& symbols_;
  std::vector<Spine> known_;
  std::vector<Step> steps_{{kNoSymbol, kNoRank}};  // the spine of a character that is no symbol
  const Spine none_{0, 0, true};
  std::vector<Answer> answers_ = std::vector<Answer>(size_t(1) << kAnswerBits);
};

// The search from the left.
class Search {
 public:
  explicit Search(const PieceTrie& trie) : trie_(trie) {}

  // Reduces a row of characters to its encoding. False, with the row as it was, if that would take more
  // than a few steps a character: some crafted vocabularies make every place try thousands of pieces.
  bool merge(std::vector<Node>& row, Spines& spines) {
    tokens_.clear();
    dead_.assign(row.size() + 1, false);
    size_t budget = 16 * row.size() + 1024;
    Token candidate = longest(0, row, budget);
    for (size_t at = 0; at < row.size();) {
      if (budget-- == 0) return false;
      size_t behind = at + candidate.size;
      if (candidate.size == 0) {  // nothing fits here: the token before was wrong
        if (tokens_.empty()) return false;
        dead_[at] = true;
        Token last = tokens_.back();
        tokens_.pop_back();
        at -= last.size;
        candidate = shorter(last, row[at]);
      } else if (!dead_[behind] && fits(candidate, spines)) {
        tokens_.push_back(candidate);
        at = behind;
        if (at < row.size()) candidate = longest(at, row, budget);
      } else {
        candidate = shorter(candidate, row[at]);
      }
    }
    write(row);
    return true;
  }

 private:
  struct Token {
    Symbol symbol;
    uint32_t size;  // characters; 0: none
    PieceTrie::Index node;
  };

  bool fits(const Token& token, Spines& spines) {
    if (token.node && !spines.is_whole(token.symbol)) return false;
    return tokens_.empty() || spines.may_meet(tokens_.back().symbol, token.symbol);
  }

  Token longest(size_t at, const std::vector<Node>& row, size_t& budget) const {
    PieceTrie::Index found = PieceTrie::kRoot, node = PieceTrie::kRoot;
    for (size_t i = at; i < row.size() && budget; i++, budget--) {
      node = trie_.child(node, row[i].code);
      if (node == PieceTrie::kRoot) break;
      if (trie_[node].ends) found = node;
    }
    return token_of(found, row[at]);
  }

  // After all pieces a character that is none stands for itself.
  Token shorter(const Token& token, const Node& first) const {
    if (!token.node || token.size == 1) return {kNoSymbol, 0, PieceTrie::kRoot};
    return token_of(trie_[token.node].shorter, first);
  }

  Token token_of(PieceTrie::Index node, const Node& first) const {
    if (node == PieceTrie::kRoot) return {first.symbol, 1, PieceTrie::kRoot};
    return {trie_[node].value, trie_[node].depth, node};
  }

  void write(std::vector<Node>& row) const {
    size_t at = 0, kept = 0;
    for (const Token& token : tokens_) {
      row[kept++] = {token.symbol, row[at].begin, 0};
      at += token.size;
    }
    row.resize(kept);
  }

  const PieceTrie& trie_;
  std::vector<Token> tokens_;
  std::vector<bool> dead_;
};

}  // namespace spm
