// Text -> ids: every way that a dialect has, on every instruction set, against the definition.

#include "../../spm/native/batch.hpp"
#include "answers.hpp"

namespace {

using fuzz::Alone, fuzz::expect_same, fuzz::Input, fuzz::Model, fuzz::outcome, fuzz::Outcome;

Outcome with_ends(Outcome outcome, const spm::EncodeOptions& options, const Model& model) {
  if (options.add_special && model.rules.bos >= 0) outcome.ids.insert(outcome.ids.begin(), model.rules.bos);
  if (options.add_special && model.rules.eos >= 0) outcome.ids.push_back(model.rules.eos);
  return outcome;
}

// ---- one text, every way

class Dialect {
 public:
  Dialect(const Model& model, spm::Isa isa)
      : model_(model),
        dialect_(spm::score_encoder(fuzz::vocabulary(model), 1, isa, fuzz::kNoCache), model.rules,
                 model.specials[false], model.specials[true], {}) {}

  const spm::Dialect& operator*() const { return dialect_; }

  void check(std::string_view text, spm::EncodeOptions options) const {
    const Outcome plain = fuzz::encode(text, options.parse_special, true, model_);
    const Outcome expected = with_ends(plain, options, model_);
    const std::string of = " of " + fuzz::shown(text);
    for (bool valid : {false, fuzz::is_valid(text)}) {
      auto encode = [&](spm::Ids& ids) { dialect_.encode({text, valid}, options, ids); };
      expect_same(expected, outcome(encode), model_, "encode" + of);
      expect_same(expected, outcome(encode), model_, "encode again" + of);  // with what is remembered
    }
    auto in_parallel = [&](spm::Ids& ids) { dialect_.encode_in_parallel({text, false}, options, 1, ids); };
    expect_same(expected, outcome(in_parallel), model_, "encode_in_parallel" + of);
    if (expected.failed()) return;
    check_count(text, options, expected);
    check_spans(text, options, plain);
    if (fuzz::is_valid(text)) check_stream(text, options, plain);
  }

 private:
  void check_count(std::string_view text, spm::EncodeOptions options, const Outcome& expected) const {
    spm::Dialect::Count count;
    Outcome asked = outcome([&](spm::Ids&) { count = dialect_.count({text, false}, options); });
    if (asked.failed()) return expect_same(expected, asked, model_, "count");
    fuzz::expect(count.n == expected.ids.size(), "count of " + fuzz::shown(text));
  }

  void check_spans(std::string_view text, spm::EncodeOptions options, const Outcome& expected) const {
    std::vector<spm::Span> spans;
    Outcome found = outcome([&](spm::Ids& ids) { dialect_.locate({text, false}, options, SIZE_MAX, ids, spans); });
    expect_same(expected, found, model_, "locate");
    if (found.failed()) return;
    fuzz::expect(spans.size() == expected.ids.size(), "locate: as many spans as ids");
    for (size_t i = 0; i < spans.size(); i++)
      fuzz::expect(spans[i].begin == expected.begins[i] && spans[i].end == expected.ends[i],
                   "locate: span " + std::to_string(i) + " of " + fuzz::shown(text));
  }

  // As StreamEncoder does it (spm/text/stream.py), a character at a time.
  void check_stream(std::string_view text, spm::EncodeOptions options, const Outcome& expected) const {
    Outcome found;
    std::string held;
    spm::EncodeOptions part{false, options.parse_special};
    auto encode_held = [&](size_t size) {
      Alone alone(std::string_view(held).substr(0, size));
      Outcome some = outcome([&](spm::Ids& ids) { dialect_.encode({alone.view(), false}, part, ids); });
      bool joins = !some.ids.empty() && !found.ids.empty() && some.ids[0] == found.ids.back() &&
                   some.ids[0] == model_.unknown_id;
      found.ids.insert(found.ids.end(), some.ids.begin() + joins, some.ids.end());
      found.has_unused |= some.has_unused;
      fuzz::expect(some.missing_byte < 0, "a part of a stream lacks a byte that the whole does not");
    };
    for (const std::string& c : fuzz::characters_of(text)) {
      held += c;
      Alone alone(held);
      auto [size, after_special] = dialect_.settled(alone.view(), options.parse_special);
      if (!size) continue;
      encode_held(size);
      held.erase(0, size);
      part.begins = after_special;
    }
    encode_held(held.size());
    expect_same(expected, found, model_, "a stream of " + fuzz::shown(text));
  }

  const Model& model_;
  spm::Dialect dialect_;
};

// ---- many texts

struct View {
  Alone text;
  size_t size() const { return text.view().size(); }
  spm::Text read(std::string&) const { return {text.view(), false}; }
};

void check_batch(const Dialect& dialect, const std::vector<View>& texts, spm::EncodeOptions options,
                 const Model& model) {
  std::vector<int64_t> offsets(texts.size() + 1);
  Outcome expected;
  for (const View& text : texts) {
    Outcome one = with_ends(fuzz::encode(text.text.view(), options.parse_special, true, model), options, model);
    if (expected.missing_byte < 0) expected.missing_byte = one.missing_byte;
    expected.has_unused |= one.has_unused;
    expected.ids.insert(expected.ids.end(), one.ids.begin(), one.ids.end());
  }
  Outcome found =
      outcome([&](spm::Ids& ids) { spm::Batch(*dialect, texts, options, 1).encode(ids, offsets.data()); });
  expect_same(expected, found, model, "a batch");
  if (!found.failed()) fuzz::expect(size_t(offsets.back()) == found.ids.size(), "a batch: offsets");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Model model = fuzz::hostile_model(input);
  const uint8_t choice = input.byte();
  if (!spm::supports(spm::Isa(choice & 3))) return 0;
  const spm::EncodeOptions options{(choice & 4) != 0, (choice & 8) != 0 && !model.sentencepiece};
  const Dialect dialect(model, spm::Isa(choice & 3));
  std::vector<View> texts;
  do texts.push_back({Alone(fuzz::hostile_text(input))});
  while (!input.empty() && texts.size() < 8);
  for (const View& text : texts) dialect.check(text.text.view(), options);
  check_batch(dialect, texts, options, model);
  return 0;
}
