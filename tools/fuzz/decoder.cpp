// Ids -> text: any vocabulary and any ids, at once and id by id, against the specification's way
// (spm/text/dialect_llama_cpp.py, dialect_sentencepiece.py) written with strings.

#include "../../spm/native/decoder.hpp"
#include "reference.hpp"

namespace {

using fuzz::Input;
using spm::TokenType;

struct Entry {
  std::string piece;
  TokenType type;
  uint8_t byte;
};

struct Model {
  spm::DecodingRules rules;
  std::vector<Entry> entries;
};

Entry hostile_entry(Input& input) {
  uint8_t bits = input.byte();
  auto type = TokenType(1 + bits % 6);
  if (type == TokenType::kByte) {  // these are always spelled so: spm/vocab sees to it
    char piece[7];
    uint8_t byte = input.byte();
    std::snprintf(piece, sizeof piece, "<0x%02X>", byte);
    return {piece, type, byte};
  }
  std::string text = input.characters(bits / 6 % 8), piece = text;
  for (size_t n = bits > 240 ? input.byte() : 0; n; n--) piece += text;
  return {piece, type, 0};
}

Model hostile_model(Input& input) {
  uint8_t flags = input.byte();
  Model model{
      {.sentencepiece = (flags & 1) != 0, .strip_space = (flags & 2) != 0, .strip_spaces = (flags & 4) != 0}, {}};
  if (!model.rules.strip_space || !model.rules.sentencepiece) model.rules.strip_spaces = false;
  for (size_t n = 1 + input.below(40); n; n--) model.entries.push_back(hostile_entry(input));
  if (!model.rules.sentencepiece && flags & 8) model.rules.bos_id = int32_t(input.below(model.entries.size()));
  if (!model.rules.sentencepiece && flags & 16) model.rules.eos_id = int32_t(input.below(model.entries.size()));
  if (model.rules.sentencepiece) model.rules.unknown = "?" + input.characters(input.below(20));
  return model;
}

std::string with_spaces(std::string text) {
  for (size_t at; (at = text.find(fuzz::kSpaceMark)) != text.npos;) text.replace(at, 3, " ");
  return text;
}

// ---- the specification's way

class LlamaCpp {
 public:
  LlamaCpp(const Model& model, bool skip_special)
      : model_(model), skip_(skip_special), strip_(model.rules.strip_space) {}

  std::string push(int32_t id) {
    bool at_start = std::exchange(at_start_, false);
    if (at_start && skip_ && id == model_.rules.bos_id) return strip_ = false, "";
    std::string text = text_of(model_.entries[size_t(id)]), before;
    if (strip_ && text.starts_with(' ')) text.erase(0, 1);
    strip_ = false;
    before.swap(held_);
    if (skip_ && id == model_.rules.eos_id) return held_ = text, before;
    return before + text;
  }
  std::string flush() { return ""; }

 private:
  std::string text_of(const Entry& entry) const {
    bool silent = entry.type == TokenType::kControl || entry.type == TokenType::kUnknown;
    if ((skip_ && silent) || entry.type == TokenType::kUnused) return "";
    if (entry.type == TokenType::kByte) return std::string(1, char(entry.byte));
    return entry.type == TokenType::kNormal ? with_spaces(entry.piece) : entry.piece;
  }

  const Model& model_;
  bool skip_, strip_, at_start_ = true;
  std::string held_;
};

class SentencePiece {
 public:
  SentencePiece(const Model& model, bool skip_special)
      : model_(model), skip_(skip_special), strip_(model.rules.strip_space) {}

  std::string push(int32_t id) {
    const Entry& entry = model_.entries[size_t(id)];
    if (entry.type == TokenType::kByte) {
      raw_ += char(entry.byte);
      return shown(decided());
    }
    std::string before = flush();
    return before + text_of(entry);
  }

  std::string flush() {
    std::string replaced;
    for (size_t n = raw_.size(); n; n--) replaced += "\xEF\xBF\xBD";
    raw_.clear();
    return shown(replaced);
  }

 private:
  std::string shown(const std::string& bytes) {
    strip_ = strip_ && bytes.empty();
    return bytes;
  }

  // Takes off what can no longer become another character.
  std::string decided() {
    std::string out;
    while (!raw_.empty() && !fuzz::may_go_on(raw_)) {
      size_t size = fuzz::announced_size(uint8_t(raw_[0]));
      bool whole = fuzz::is_well_formed(std::string_view(raw_).substr(0, size));
      out += whole ? raw_.substr(0, size) : "\xEF\xBF\xBD";
      raw_.erase(0, whole ? size : 1);
    }
    return out;
  }

  std::string text_of(const Entry& entry) {
    if (entry.type == TokenType::kControl && skip_) return "";
    bool literal = entry.type == TokenType::kControl || entry.type == TokenType::kUnknown;
    std::string piece = entry.type == TokenType::kUnknown ? model_.rules.unknown : entry.piece;
    if (literal) return strip_ = strip_ && piece.empty(), piece;
    bool lost = strip_ && piece.starts_with(fuzz::kSpaceMark);
    if (lost) piece.erase(0, 3);
    strip_ = strip_ && piece.empty() && (!lost || model_.rules.strip_spaces);
    return with_spaces(piece);
  }

  const Model& model_;
  bool skip_, strip_;
  std::string raw_;
};

template <class Specification>
std::string specified(const Model& model, const std::vector<int32_t>& ids, bool skip_special) {
  Specification decoder(model, skip_special);
  std::string text;
  for (int32_t id : ids) text += decoder.push(id);
  return text + decoder.flush();
}

// ---- the core's ways

void check(const spm::Decoder& decoder, const std::vector<int32_t>& ids, bool skip_special,
           std::string_view expected) {
  spm::DecodedText whole, pushed;
  fuzz::expect(decoder.decode(ids, skip_special, whole), "these are ids");
  fuzz::expect_equal(expected, whole.view(), "the text of " + fuzz::shown(ids));
  spm::Decoder::State state = decoder.begin(skip_special);
  for (const int32_t& id : ids) fuzz::expect(decoder.push({&id, 1}, state, pushed), "this is an id");
  decoder.flush(state, pushed);
  fuzz::expect_equal(expected, pushed.view(), "id by id, the text of " + fuzz::shown(ids));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Model model = hostile_model(input);
  spm::Decoder decoder(model.rules, model.entries.size());
  for (const Entry& entry : model.entries) decoder.add(entry.piece, entry.type);
  const bool skip_special = input.flag();
  std::vector<int32_t> ids;
  while (!input.empty()) ids.push_back(int32_t(input.below(model.entries.size())));
  while (size > 64 && ids.size() > 1 && ids.size() < 600)
    ids.insert(ids.end(), ids.begin(), ids.begin() + ptrdiff_t(ids.size()));
  check(decoder, ids, skip_special,
        model.rules.sentencepiece ? specified<SentencePiece>(model, ids, skip_special)
                                  : specified<LlamaCpp>(model, ids, skip_special));
  spm::DecodedText text;
  for (int32_t wrong : {-1, int32_t(model.entries.size()), INT32_MIN, INT32_MAX}) {
    ids.push_back(wrong);
    fuzz::expect(!decoder.decode(ids, skip_special, text), "an id that is none was decoded");
  }
  return 0;
}
