// Unigram: of all ways to write a text as pieces, the one whose scores add up to most. The specification
// is spm/text/unigram.py (sentencepiece unigram_model.cc, `Model::EncodeOptimized`; llama.cpp
// llama-vocab.cpp, `llm_tokenizer_ugm_session`).
//
// Theory. Character by character, every piece that begins here offers the place where it ends the best sum
// so far plus its score; a place keeps what is strictly more, so of equal sums the longest piece stays.
//
//     a:-1 b:-1 ab:-1.5 bc:-3 c:-1      a b c      place   0    1     2     3
//                                                  sum     0   -1   -1.5  -2.5
//                                                  by           a    ab     c        ab c
//
// Nothing of this crosses a cut (joins.hpp): there the lattice has one place only, and a text falls into
// units, each with a best path of its own that could be remembered. But the oracles add up from the
// beginning of the text, in floating point: what wins inside of a unit may be decided by how sums happen
// to be rounded at that height. After twenty thousand tokens a float counts in steps of 1/128.
//
//     a:-0.301 b:-0.301 ab:-0.6021      from 0       a b -0.602           ab -0.6021
//                                       from -70000  a b -70000.609375    ab -70000.6015625
//
// Let a path of k tokens have the exact sum S of its scores, and let all sums stay so small that one
// addition rounds by at most h. Then its rounded sum is within k·h of (what it began with) + S.
//
// Settled lemma (test_settled_lemma). If for the best path P, by S + k·h, and every other path Q of the
// unit S(Q) + k(Q)·h < S(P) - k(P)·h, then P is the oracle's path, whatever the sum before the unit.
// Proof. Rounding keeps order: x <= y gives fl(x + c) <= fl(y + c). So what a place holds is at least the
// rounded sum of every path to it, that of P at the end included, and it is the rounded sum of the path
// that it leads back along. If that were a Q, its sum would be at most s + S(Q) + k(Q)·h, less than
// s + S(P) - k(P)·h, which P's reaches.
//
// So `settle` asks for the best and the second best path by S + k·h; where the gap is wide enough the
// tokens of the unit are known once and for all. This is the rule: on English all but one unit of a
// thousand. The others are open; `decide` takes them the oracle's way, from the sum that it would have. To
// know that sum one adds the scores of all ids before in their order: `follow`.
//
// sentencepiece keeps its sums small: at a place whose best sum is beyond ±100000 it subtracts that sum
// from all that is ahead. `decide` does so too, at every place; `follow` sees units only, so it must stay
// away from the limit by all that a settled unit can reach: `is_far`. llama.cpp adds doubles and never
// subtracts: the limit is one that no text comes to, and if it did, all would be decided.
//
// UNUSED pieces are none for sentencepiece. A character that is no piece is an UNKNOWN with the worst
// score less ten, spelled by its bytes or by one id. Of these only the first counts in `follow`: byte
// pieces that continue a character score 0, which changes no sum.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ids.hpp"
#include "scored_trie.hpp"
#include "text.hpp"

namespace spm {

struct UnigramVocabulary {
  std::vector<ScoredPiece> pieces;  // all that can be a token, each text once
  float unknown_score;
  int32_t unknown_id;     // -1: what is no piece is spelled by its bytes
  int32_t byte_ids[256];  // all there, or else none
};

// sentencepiece: floats, whose height is lost at ±100000. Below 2^17 an addition rounds by at most 2^-8,
// half of what is reckoned with.
struct FloatSums {
  using Sum = float;
  static constexpr bool kSubtracts = true;
  static constexpr double kLimit = 100000;
  static constexpr double kRounding = 1.0 / 128;
};

// llama.cpp: doubles. Below 2^33 an addition rounds by at most 2^-21.
struct DoubleSums {
  using Sum = double;
  static constexpr bool kSubtracts = false;
  static constexpr double kLimit = double(1ull << 32);
  static constexpr double kRounding = 1.0 / (1 << 20);
};

// What one thread needs while it encodes.
struct UnigramWork {
  struct Place {
    uint32_t at;    // bytes in front of it
    Letter letter;  // of the character behind it
  };
  template <class Sum>
  struct Best {
    Sum sum;
    uint32_t node;   // of the trie
    uint32_t begin;  // the place where the token begins that ends here
  };
  struct Two {  // by S + k·h
    double best, second;
    uint32_t node, begin;
  };
  std::vector<Place> places;         // in front of every character of a text, and its end
  std::vector<Best<float>> singles;  // of every place
  std::vector<Best<double>> doubles;
  std::vector<Two> two;
  std::vector<uint32_t> path;  // places where tokens end, the last first

  template <class Sum>
  auto& best() {
    if constexpr (std::is_same_v<Sum, float>)
      return singles;
    else
      return doubles;
  }
};

template <class Sums>
class Unigram {
 public:
  using Sum = typename Sums::Sum;
  using Best = UnigramWork::Best<Sum>;

  // A unit of more bytes, or with a place whose best sum is further from where it began, is never settled.
  static constexpr size_t kMostSettled = 128;
  static constexpr double kReach = 1000;
  static constexpr size_t kKept = 1 << 16;  // bytes of text for which memory is kept

  explicit Unigram(UnigramVocabulary v) : vocabulary_(std::move(v)), trie_(vocabulary_.pieces) {
    const UnigramVocabulary& vocabulary = vocabulary_;
    for (const ScoredPiece& piece : vocabulary.pieces) score_of(piece.id) = piece.score;
    if (vocabulary.unknown_id >= 0) score_of(vocabulary.unknown_id) = vocabulary.unknown_score;
    for (int byte = 0; byte < 256 && vocabulary.unknown_id < 0; byte++)
      score_of(vocabulary.byte_ids[byte]) = (byte & 0xC0) == 0x80 ? 0 : vocabulary.unknown_score;
  }

  // Appends the ids of a unit if they are the same whatever stands before it.
  bool settle(std::string_view unit, Ids& ids, UnigramWork& work) const {
    if (unit.size() > kMostSettled) return false;
    const size_t n = find_places(unit, work.places);
    std::vector<UnigramWork::Two>& two = work.two;
    two.assign(n + 1, {kNever, kNever, kUnknown, 0});
    two[0].best = 0;
    double reach = 0;
    for (size_t place = 0; place < n; place++) {
      const double best = two[place].best, second = two[place].second;
      reach = std::max(reach, std::abs(best));
      visit_tokens(work.places, place, n, [&](size_t end, float score, uint32_t token) {
        UnigramWork::Two& there = two[end];
        double more = double(score) + Sums::kRounding, one = best + more, other = second + more;
        there.second = std::max(std::max(there.second, other), std::min(there.best, one));
        bool better = one > there.best;  // no guess: what cannot be known is not to be branched on
        there.best = better ? one : there.best;
        there.node = better ? token : there.node;
        there.begin = better ? uint32_t(place) : there.begin;
      });
    }
    go_back(two, n, work.path);
    const bool is_character = n == 1;  // of which there is one path
    double gap = two[n].best - two[n].second;
    bool is_settled = gap > 2 * double(work.path.size()) * Sums::kRounding;
    bool stays_near = std::max(reach, std::abs(two[n].best)) < kReach;
    if (!is_character && !(is_settled && stays_near)) return false;
    emit(unit, work.places, two, work.path, ids, nullptr);
    return true;
  }

  // Appends the ids of a text that stands between cuts, as the oracle finds them whose sum before it is
  // `sum`; leaves there the sum behind it.
  void decide(std::string_view text, Sum& sum, Ids& ids, std::vector<Span>* spans, UnigramWork& work) const {
    if (text.size() > std::numeric_limits<uint32_t>::max())
      throw std::length_error("a unit of 4 GiB, expected fewer bytes than 32 bits can count");
    const size_t n = find_places(text, work.places);
    size_t last = 0;  // the furthest place that a token has come to
    std::vector<Best>& best = work.best<Sum>();
    best.assign(n + 1, {kNever, kUnknown, 0});
    best[0].sum = sum;
    for (size_t place = 0; place < n; place++) {
      if (Sums::kSubtracts && is_beyond(best[place].sum)) subtract(best, place, last);
      const Sum here = best[place].sum;
      visit_tokens(work.places, place, n, [&](size_t end, float score, uint32_t token) {
        Best& there = best[end];
        Sum offer = Sum(score) + here;
        bool better = offer > there.sum;
        there.sum = better ? offer : there.sum;
        there.node = better ? token : there.node;
        there.begin = better ? uint32_t(place) : there.begin;
        last = std::max(last, end);
      });
    }
    sum = best[n].sum;
    go_back(best, n, work.path);
    emit(text, work.places, best, work.path, ids, spans);
    if (n > kKept) work.places = {}, best = {}, work.path = {};
  }

  // Goes on with a sum over ids of settled units, as long as that is certain to be the oracle's: returns
  // whether it is to the end.
  bool follow(const int32_t* ids, size_t n, Sum& sum) const {
    Sum s = sum, least = s, most = s;
    for (size_t i = 0; i < n; i++) {
      s = Sum(scores_[size_t(ids[i])]) + s;
      least = std::min(least, s);
      most = std::max(most, s);
    }
    sum = s;
    return is_far(least) && is_far(most);
  }

  const UnigramVocabulary& vocabulary() const { return vocabulary_; }

  // What is no piece; a space is spelled as the ▁ that it stands for.
  void spell(std::string_view text, Ids& ids) const {
    if (vocabulary_.unknown_id >= 0) return ids.push(vocabulary_.unknown_id);
    if (text == " ") text = kMarkUtf8;
    for (char c : text) ids.push(vocabulary_.byte_ids[uint8_t(c)]);
  }

  // Whether a settled unit behind this sum stays within the limits.
  bool is_far(Sum sum) const { return std::abs(double(sum)) < Sums::kLimit - kReach - 2; }

 private:
  static constexpr Sum kNever = -std::numeric_limits<Sum>::infinity();
  static constexpr uint32_t kUnknown = ScoredTrie::kRoot;  // which is no piece

  static bool is_beyond(Sum sum) { return sum < -Sum(Sums::kLimit) || sum > Sum(Sums::kLimit); }

  static void subtract(std::vector<Best>& best, size_t at, size_t last) {
    const Sum offset = best[at].sum;
    for (size_t i = at; i <= std::max(at, last); i++) best[i].sum -= offset;
  }

  float& score_of(int32_t id) {
    if (size_t(id) >= scores_.size()) scores_.resize(size_t(id) + 1);
    return scores_[size_t(id)];
  }

  // Reads a well-formed text; returns how many characters it has.
  size_t find_places(std::string_view text, std::vector<UnigramWork::Place>& places) const {
    places.resize(text.size() + 1);
    size_t n = 0;
    for (size_t at = 0; at < text.size(); n++) {
      const Character c = read_well_formed(text.data() + at);
      places[n] = {uint32_t(at), trie_.letter(c.code)};
      at += c.size;
    }
    places[n] = {uint32_t(text.size()), 0};
    return n;
  }

  // Calls visit(end, score, node) for every token that begins at a place, and for beginnings of tokens, that
  // score -infinity: to offer nothing is faster than to guess whether there is something to offer.
  template <class Visit>
  void visit_tokens(const std::vector<UnigramWork::Place>& places, size_t place, size_t n,
                    Visit visit) const {
    const ScoredTrie::Node* node = trie_.child(trie_.root(), places[place].letter);
    if (!node || node->score == ScoredTrie::kNoPiece)
      visit(place + 1, vocabulary_.unknown_score, kUnknown);
    else
      visit(place + 1, node->score, trie_.number(node));
    for (size_t end = place + 1; node && end < n; end++) {
      node = trie_.child(node, places[end].letter);
      if (node) visit(end + 1, node->score, trie_.number(node));
    }
  }

  template <class Row>
  static void go_back(const Row& row, size_t n, std::vector<uint32_t>& path) {
    path.clear();
    for (size_t at = n; at > 0; at = row[at].begin) path.push_back(uint32_t(at));
  }

  template <class Row>
  void emit(std::string_view text, const std::vector<UnigramWork::Place>& places, const Row& row,
            const std::vector<uint32_t>& path, Ids& ids, std::vector<Span>* spans) const {
    size_t begin = 0;
    for (size_t i = path.size(); i-- > 0;) {
      const size_t end = places[path[i]].at, first = ids.size();
      emit_token(text.substr(begin, end - begin), row[path[i]].node, ids);
      if (spans) place_spans({begin, end}, ids.size() - first, *spans);
      begin = end;
    }
  }

  void emit_token(std::string_view text, uint32_t node, Ids& ids) const {
    node == kUnknown ? spell(text, ids) : ids.push(trie_.id(node));
  }

  UnigramVocabulary vocabulary_;
  ScoredTrie trie_;
  std::vector<float> scores_;  // by id, what it adds to a sum
};

// The ids of a text but for its open units, and what was needed for them.
struct UnigramDraft {
  struct Open {
    size_t at;  // before this id
    std::string_view unit;
  };
  Ids ids;
  std::vector<Open> open;
  double sum = 0;  // of all before, as it would be
  UnigramWork work;

  void clear() {
    ids.resize(0);
    open.clear();
  }
};

}  // namespace spm
