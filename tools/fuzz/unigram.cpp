// Unigram: a text's best row of pieces by the core, from any sum before it, settled once and for all, and
// whole texts unit by unit, against a search through all substrings that a piece can be.

#include <map>

#include "../../spm/native/unigram_encoder.hpp"
#include "answers.hpp"

namespace {

using fuzz::Alone, fuzz::Input;

const std::string kLetters[] = {"a", "b", " ", "c", "\xC3\xA9", "\xE6\x97\xA5", "\xE6\x9C\xAC", "\xF0\x9F\xA6\x99"};
const float kScores[] = {-1,  -1.0001f, -0.9999f, -2,    -2.0001f, -3,      -0.003f, 0,
                         0.3f, -17.25f,  12,       -250, -30000,   -99000, 40000,   -7};
constexpr size_t kLongest = 5;  // characters of a piece
const double kBefore[] = {0, -1.5, -70000, 70000.25, -99500, 98000};

// A character of a few, or any at all.
std::string letter(Input& input) {
  const size_t choice = input.byte();
  if (choice < 224) return kLetters[choice % std::size(kLetters)];
  const spm::Code code = 0x80 + input.byte() * 0x10FFu / (1 + choice % 3 * 8);
  uint8_t bytes[4];
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  return {bytes, spm::write_character(is_surrogate || code == spm::kMark ? 0x416 : code, bytes)};
}

std::string letters(Input& input, size_t n) {
  std::string text;
  for (; n; n--) text += letter(input);
  return text;
}

spm::UnigramVocabulary hostile_vocabulary(Input& input) {
  spm::UnigramVocabulary vocabulary{{}, -20, input.flag() ? 900 : -1, {}};
  for (int byte = 0; byte < 256; byte++) vocabulary.byte_ids[byte] = 1000 + byte;
  std::set<std::string> seen;
  for (size_t n = input.below(40), id = 0; id < n; id++)
    if (std::string piece = letters(input, 1 + input.below(kLongest)); seen.insert(piece).second)
      vocabulary.pieces.push_back({piece, kScores[input.below(std::size(kScores))], int32_t(id)});
  return vocabulary;
}

// ---- the definition

struct Row {
  std::vector<int32_t> ids;
  double sum = 0;
};

std::string spelled(const std::string& character) { return character == " " ? fuzz::kSpaceMark : character; }

template <class Sums>
Row best_row(const spm::UnigramVocabulary& vocabulary, const std::vector<std::string>& characters, double before) {
  using Sum = typename Sums::Sum;
  std::map<std::string, const spm::ScoredPiece*> pieces;
  for (const spm::ScoredPiece& piece : vocabulary.pieces) pieces[piece.text] = &piece;
  struct Place {
    Sum sum = -std::numeric_limits<Sum>::infinity();
    size_t begin = 0;
    const spm::ScoredPiece* piece = nullptr;
  };
  const size_t n = characters.size();
  std::vector<Place> places(n + 1);
  places[0].sum = Sum(before);
  for (size_t i = 0; i < n; i++) {
    const Sum offset = places[i].sum;
    if (Sums::kSubtracts && std::abs(double(offset)) > Sums::kLimit)
      for (size_t k = i; k <= n; k++) places[k].sum -= offset;
    std::string text;
    for (size_t j = i; j < std::min(n, i + kLongest); j++) {
      text += characters[j];
      const auto found = pieces.find(text);
      if (found == pieces.end() && j > i) continue;
      const Sum offer =
          Sum(found == pieces.end() ? vocabulary.unknown_score : found->second->score) + places[i].sum;
      if (offer > places[j + 1].sum) places[j + 1] = {offer, i, found == pieces.end() ? nullptr : found->second};
    }
  }
  Row row{{}, double(places[n].sum)};
  for (size_t i = n; i > 0; i = places[i].begin) {
    const std::string bytes = spelled(characters[i - 1]);
    if (places[i].piece)
      row.ids.push_back(places[i].piece->id);
    else if (vocabulary.unknown_id >= 0)
      row.ids.push_back(vocabulary.unknown_id);
    else
      for (size_t k = bytes.size(); k-- > 0;) row.ids.push_back(vocabulary.byte_ids[uint8_t(bytes[k])]);
  }
  std::reverse(row.ids.begin(), row.ids.end());
  return row;
}

// ---- the core beside it

std::vector<int32_t> numbers(const spm::Ids& ids) { return {ids.data(), ids.data() + ids.size()}; }

std::string joined(const std::vector<std::string>& characters) {
  std::string text;
  for (const std::string& each : characters) text += each;
  return text;
}

template <class Sums>
void check_rows(const spm::UnigramVocabulary& vocabulary, const std::vector<std::string>& characters) {
  using Sum = typename Sums::Sum;
  const spm::Unigram<Sums> unigram(vocabulary);
  const Alone text(joined(characters));
  const std::string name = fuzz::shown(text.view());
  spm::UnigramWork work;
  spm::Ids settled;
  const bool is_settled = !characters.empty() && unigram.settle(text.view(), settled, work);
  for (const double before : kBefore) {
    const Row expected = best_row<Sums>(vocabulary, characters, before);
    spm::Ids ids;
    std::vector<spm::Span> spans;
    Sum sum = Sum(before);
    unigram.decide(text.view(), sum, ids, &spans, work);
    fuzz::expect_equal(expected.ids, numbers(ids), "decided behind " + std::to_string(before) + ": " + name);
    fuzz::expect(double(sum) == expected.sum, "the sum behind " + name);
    fuzz::expect(spans.size() == ids.size(), "a place for each id of " + name);
    Sum followed = Sum(before);
    if (!is_settled || !unigram.is_far(followed)) continue;
    fuzz::expect_equal(expected.ids, numbers(settled), "settled: " + name);
    if (unigram.follow(settled.data(), settled.size(), followed))
      fuzz::expect(double(followed) == expected.sum, "the sum that follows " + name);
  }
}

void check_whole_texts(const spm::UnigramVocabulary& vocabulary, std::vector<std::string> characters,
                       spm::Isa isa, size_t times) {
  const std::vector<std::string> once = characters;
  for (size_t i = 1; i < times; i++) characters.insert(characters.end(), once.begin(), once.end());
  const auto encoder = spm::unigram_encoder<spm::FloatSums>(vocabulary, 3, isa, 1 << 16);
  const Alone text(joined(characters));
  const Row expected = best_row<spm::FloatSums>(vocabulary, characters, 0);
  spm::Encoder::Lease scratch(*encoder);
  for (int turn = 0; turn < 2; turn++) {  // new, and remembered
    spm::Ids ids;
    encoder->begin(*scratch);
    encoder->encode(text.view(), false, ids, *scratch);
    fuzz::expect_equal(expected.ids, numbers(ids), "the ids of " + fuzz::shown(text.view()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const spm::UnigramVocabulary vocabulary = hostile_vocabulary(input);
  const uint8_t choice = input.byte();
  for (int i = 0; i < 4 && (i == 0 || !input.empty()); i++) {
    std::vector<std::string> characters;
    for (size_t n = input.below(40); n; n--) characters.push_back(letter(input));
    check_rows<spm::FloatSums>(vocabulary, characters);
    check_rows<spm::DoubleSums>(vocabulary, characters);
    if (!characters.empty() && spm::supports(spm::Isa(choice & 3)))
      check_whole_texts(vocabulary, characters, spm::Isa(choice & 3), choice & 4 ? 1 : 1 + choice % 64);
  }
  return 0;
}
