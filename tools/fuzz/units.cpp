// Text -> ids below the dialect: blocks, long units before and after the search is worth it, and cuts, on
// every instruction set, against the definition.

#include "../../spm/native/cut_encoder.hpp"
#include "answers.hpp"

namespace {

using fuzz::Alone, fuzz::expect_same, fuzz::Input, fuzz::Model, fuzz::outcome, fuzz::Outcome;

class Encoder {
 public:
  Encoder(const Model& model, spm::Isa isa)
      : model_(model), encoder_(spm::score_encoder(fuzz::vocabulary(model), 2, isa, fuzz::kNoCache)) {}

  void check(std::string_view text, bool prefix) {
    Outcome expected, no_prefix;
    if (!text.empty()) fuzz::encode_text(fuzz::normal(text, 0, prefix, false), model_, expected);
    fuzz::encode_text(fuzz::normal(text, 0, false, false), model_, no_prefix);
    for (size_t merged_long : {size_t(0), size_t(1) << 40}) {
      spm::Encoder::Lease scratch(*encoder_);
      (*scratch).work.merged_long = merged_long;
      expect_same(expected, encoded(text, prefix, *scratch), model_, "the encoder's ids of " + fuzz::shown(text));
      Outcome exactly = outcome([&](spm::Ids& ids) { encoder_->encode_exactly(text, ids, nullptr, *scratch); });
      expect_same(no_prefix, exactly, model_, "encode_exactly of " + fuzz::shown(text));
      if (!no_prefix.failed()) check_cuts(text, no_prefix, *scratch);
    }
  }

  // A text that goes beyond the block of a scan, against the way without blocks.
  void check_long(std::string text, size_t size) {
    while (!text.empty() && text.size() < size) text += text;
    Alone alone(text);
    spm::Encoder::Lease scratch(*encoder_);
    Outcome exactly =
        outcome([&](spm::Ids& ids) { encoder_->encode_exactly(alone.view(), ids, nullptr, *scratch); });
    expect_same(exactly, encoded(alone.view(), false, *scratch), model_, "a long text");
  }

 private:
  Outcome encoded(std::string_view text, bool prefix, spm::Encoder::Scratch& scratch) const {
    return outcome([&](spm::Ids& ids) { encoder_->encode(text, prefix, ids, scratch); });
  }

  void check_cuts(std::string_view text, const Outcome& expected, spm::Encoder::Scratch& scratch) const {
    std::set<size_t> cuts;
    for (size_t at = 0; at < text.size(); at += fuzz::announced_size(uint8_t(text[at]))) {
      cuts.insert(encoder_->next_cut(text, at));
      cuts.insert(encoder_->last_cut(text, at));
    }
    for (size_t cut : cuts) {
      Alone before(text.substr(0, cut)), after(text.substr(cut));
      Outcome left = encoded(before.view(), false, scratch), right = encoded(after.view(), false, scratch);
      left.ids.insert(left.ids.end(), right.ids.begin(), right.ids.end());
      left.has_unused |= right.has_unused;
      expect_same(expected, left, model_, "both sides of byte " + std::to_string(cut));
    }
  }

  const Model& model_;
  std::unique_ptr<const spm::Encoder> encoder_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Model model = fuzz::hostile_model(input);
  const uint8_t choice = input.byte();
  if (!spm::supports(spm::Isa(choice & 3))) return 0;
  Encoder encoder(model, spm::Isa(choice & 3));
  for (int i = 0; i < 8 && (i == 0 || !input.empty()); i++) {
    const Alone text(fuzz::hostile_text(input));
    if (!fuzz::is_valid(text.view())) continue;
    encoder.check(text.view(), choice & 4);
    if (choice & 8) encoder.check_long(std::string(text.view()), 2 * spm::Cuts::kBlock + choice);
  }
  return 0;
}
