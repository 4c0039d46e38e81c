// Byte-level BPE below the dialect: the words of made-up pre-tokenizers on every instruction set and on
// both sides of safe borders, and the ids of each word against the definition of merging.

#include <map>

#include "../../spm/native/word_encoder.hpp"
#include "input.hpp"

namespace {

using fuzz::Input;

[[noreturn]] void differ(const char* what, const std::string& text) {
  std::fprintf(stderr, "%s differ for", what);
  for (char c : text) std::fprintf(stderr, " %02x", uint8_t(c));
  std::fprintf(stderr, "\n");
  std::abort();
}

// ---- a pre-tokenizer

constexpr spm::Class kLeads = 511 & ~(spm::kNewline | spm::kLetter | spm::kNumber);
constexpr spm::Class kSigns = spm::kPunctuation | spm::kSign;

spm::Stage words_stage(Input& input) {
  spm::WordsStage stage;
  if (input.flag()) stage.letters |= spm::kAccent;
  if (input.flag()) stage.before_letters = kLeads;
  stage.most_numbers = uint32_t(input.below(4));
  stage.blank_numbers = stage.most_numbers == 0 && input.flag();
  stage.others = input.below(4) ? spm::kAccent | kSigns | spm::kElse : kSigns;
  const spm::Class behind[] = {0, spm::kNewline, spm::kNewline | spm::kSlash};
  stage.behind_others = behind[input.below(3)];
  stage.contractions = spm::Contractions(input.below(4));
  stage.newlines = stage.behind_others || input.flag();
  stage.cases = input.flag();
  stage.sign_and_ascii = stage.others == kSigns && input.flag();
  return {.is_words = true, .words = stage};
}

spm::Stage runs_stage(Input& input) {
  const spm::Class sets[] = {spm::kNumber, spm::kNewline, spm::kSet1, spm::kPunctuation, spm::kLetter};
  spm::RunsStage stage{.set = sets[input.below(5)]};
  stage.most = uint32_t(input.below(4));
  if (stage.most == 3) stage.least = input.flag() ? 3 : 1;
  if (input.flag()) stage.led = input.flag() ? spm::kBlank : spm::kWhite;
  if (stage.set & (spm::kWhite)) stage.led = 0;
  stage.from_right = stage.most == 3 && stage.least == 1 && !stage.led && input.flag();
  return {.is_words = false, .runs = stage};
}

// Every kind of character, at code points that a made text has.
std::vector<spm::Classes::Run> classes() {
  std::vector<spm::Classes::Run> runs;
  for (spm::Code code = 0; code < 128; code++) {
    bool letter = (code | 32) >= 'a' && (code | 32) <= 'z', number = code >= '0' && code <= '9';
    bool white = code == ' ' || (code >= 9 && code <= 13), sign = code > ' ' && code < 127;
    runs.push_back({code, spm::Class(letter   ? spm::kLetter
                                     : number ? spm::kNumber
                                     : white  ? spm::kGap
                                     : sign   ? spm::kPunctuation
                                              : spm::kElse)});
  }
  const std::pair<spm::Code, spm::Class> beyond[] = {
      {0x80, spm::kElse}, {0xA0, spm::kGap},    {0xA1, spm::kLetter},          {0x300, spm::kAccent},
      {0x660, spm::kNumber}, {0x3000, spm::kGap}, {0x4E00, spm::kLetter | spm::kSet1}, {0x10000, spm::kSign}};
  for (auto [code, is] : beyond) runs.push_back({code, is});
  return runs;
}

const spm::Classes& kinds() {
  static const spm::Classes made(classes());
  return made;
}

std::vector<spm::Stage> stages(Input& input) {
  std::vector<spm::Stage> made;
  for (size_t n = input.below(3); n; n--) made.push_back(runs_stage(input));
  if (input.below(8)) made.push_back(words_stage(input));
  if (input.below(4) == 0) made.push_back(runs_stage(input));
  if (made.empty()) made.push_back(words_stage(input));
  return made;
}

std::string text_of(Input& input) {
  const char* parts[] = {"a", "B", "s", "'", "'s", "'re", " ", "  ", "\n", "\r", "\t", "1", "!",
                         "/", "\xC3\xA9", "\xCC\x81", "\xD9\xA3", "\xE3\x80\x80", "\xE4\xB8\xAD", "\xF0\x9F\x98\x80", "\x01", "ab"};
  std::string text;
  for (size_t n = input.byte(); n; n--) text += parts[input.below(std::size(parts))];
  return text;
}

// ---- words

std::vector<uint32_t> ends(const spm::Words& words, std::string_view text) {
  const std::vector<char> alone(text.begin(), text.end());
  std::vector<uint32_t> found(text.size());
  found.resize(size_t(words.find({alone.data(), alone.size()}, found.data()) - found.data()));
  return found;
}

void check_words(const std::vector<spm::Stage>& stages, const std::string& text) {
  const spm::Words words(kinds(), stages, spm::Isa::portable);
  const std::vector<uint32_t> expected = ends(words, text);
  if (!std::is_sorted(expected.begin(), expected.end()) || (!text.empty() && expected.back() != text.size()))
    differ("the ends of words", text);
  if (spm::supports(spm::Isa::avx2) &&
      ends(spm::Words(kinds(), stages, spm::Isa::avx2), text) != expected)
    differ("the words by AVX2", text);
  for (size_t at = 0, next; at < text.size(); at = next) {
    next = at + spm::read_code_point(&text[at]).size;
    if (next == text.size()) break;
    if (!words.may_cut(spm::read_code_point(&text[at]).code, spm::read_code_point(&text[next]).code)) continue;
    std::vector<uint32_t> both = ends(words, std::string_view(text).substr(0, next));
    for (uint32_t end : ends(words, std::string_view(text).substr(next))) both.push_back(uint32_t(next) + end);
    if (both != expected) differ("both sides of a safe border", text);
  }
}

// ---- ids

struct Model {
  std::vector<std::string> pieces, merges;
};

Model model_of(Input& input) {
  const spm::ByteAlphabet alphabet;
  Model model;
  for (char c : std::string_view("aBs' \n1!\xC3\xA9\xE4\xB8\xAD")) model.pieces.push_back(alphabet.spelled(uint8_t(c)));
  std::vector<std::string> rows = model.pieces;
  for (size_t n = input.below(24); n; n--) {
    std::string left = rows[input.below(rows.size())], right = rows[input.below(rows.size())];
    model.merges.push_back(left + ' ' + right);
    rows.push_back(left + right);
    if (input.below(8)) model.pieces.push_back(left + right);
  }
  return model;
}

// The best pair of neighbours, the leftmost of equal ones, until there is none.
std::vector<int32_t> merged(const Model& model, std::string_view word, bool whole_words) {
  const spm::ByteAlphabet alphabet;
  std::map<std::string, int32_t> ids, ranks;
  for (size_t i = 0; i < model.pieces.size(); i++) ids[model.pieces[i]] = int32_t(i);
  for (size_t i = model.merges.size(); i-- > 0;) ranks[model.merges[i]] = int32_t(i);
  std::vector<std::string> row;
  std::string all;
  for (char c : word) row.push_back(alphabet.spelled(uint8_t(c))), all += row.back();
  if (whole_words && ids.contains(all)) return {ids[all]};
  for (;;) {
    std::pair<int32_t, size_t> best{INT32_MAX, 0};
    for (size_t i = 0; i + 1 < row.size(); i++)
      if (auto found = ranks.find(row[i] + ' ' + row[i + 1]); found != ranks.end())
        best = std::min(best, {found->second, i});
    if (best.first == INT32_MAX) break;
    row[best.second] += row[best.second + 1];
    row.erase(row.begin() + ptrdiff_t(best.second) + 1);
  }
  std::vector<int32_t> out;
  for (const std::string& symbol : row) {
    if (ids.contains(symbol)) {
      out.push_back(ids[symbol]);
      continue;
    }
    for (char c : symbol)
      if (ids.contains({c})) out.push_back(ids[{c}]);
  }
  return out;
}

void check_ids(const Model& model, const std::vector<spm::Stage>& stages, const std::string& text, bool whole) {
  spm::RankVocabulary vocabulary{{model.pieces.begin(), model.pieces.end()},
                                 {model.merges.begin(), model.merges.end()}, true, whole, false, {}};
  auto words = [&] { return std::make_unique<spm::Words>(kinds(), stages, spm::best_isa()); };
  const auto encoder = spm::rank_encoder(vocabulary, words(), 7, spm::best_isa(), 1 << 16);
  std::vector<int32_t> expected;
  uint32_t begin = 0;
  for (uint32_t end : ends(*words(), text)) {
    for (int32_t id : merged(model, std::string_view(text).substr(begin, end - begin), whole)) expected.push_back(id);
    begin = end;
  }
  const std::vector<char> alone(text.begin(), text.end());
  spm::Encoder::Lease scratch(*encoder);
  for (int turn = 0; turn < 3; turn++) {  // merged, remembered, and with places
    spm::Ids ids;
    std::vector<spm::Span> spans;
    if (turn < 2)
      encoder->encode({alone.data(), alone.size()}, false, ids, *scratch);
    else
      encoder->encode_exactly({alone.data(), alone.size()}, ids, &spans, *scratch);
    if (std::vector<int32_t>(ids.data(), ids.data() + ids.size()) != expected) differ("the ids", text);
    if (turn == 2 && spans.size() != expected.size()) differ("the number of places", text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::vector<spm::Stage> made = stages(input);
  const Model model = model_of(input);
  const bool whole = input.flag();
  for (int i = 0; i < 4 && (i == 0 || !input.empty()); i++) {
    const std::string text = text_of(input);
    check_words(made, text);
    if (!text.empty()) check_ids(model, made, text, whole);
  }
  return 0;
}
