// Many threads and one dialect: their first long units at the same time, more threads than scratches are
// kept, batches, parts of one text, and failures in the middle of it all. Made to be run under
// ThreadSanitizer; the answers are those that one thread gets.

#include <thread>

#include "../../spm/native/batch.hpp"
#include "answers.hpp"

namespace {

using fuzz::Alone, fuzz::expect_same, fuzz::Input, fuzz::Model, fuzz::outcome, fuzz::Outcome;

constexpr size_t kThreads = 3;
constexpr spm::EncodeOptions kOptions{true, false};

struct View {
  std::string text;
  size_t size() const { return text.size(); }
  spm::Text read(std::string&) const { return {text, false}; }
};

// Long enough for the search, which begins after 16384 characters, and for parts of 64 KB.
std::string grown(const std::string& text, size_t size) {
  std::string out;
  while (!text.empty() && out.size() < size) out += text;
  return out;
}

// In which of several texts a byte was missing first is a matter of luck.
void expect_same_or_both_failed(const Outcome& expected, const Outcome& found, const Model& model,
                                const char* what) {
  if (expected.failed() && found.failed()) return;
  expect_same(expected, found, model, what);
}

void check_one_by_one(const spm::Dialect& dialect, const std::vector<View>& texts,
                      const std::vector<Outcome>& expected, const Model& model) {
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; t++)
    threads.emplace_back([&, t] {
      for (size_t k = 0; k < texts.size(); k++) {
        size_t i = (k + t) % texts.size();
        Outcome found = outcome([&](spm::Ids& ids) { dialect.encode({texts[i].text, false}, kOptions, ids); });
        expect_same(expected[i], found, model, "a text in a thread");
      }
    });
  for (std::thread& thread : threads) thread.join();
}

void check_batch(const spm::Dialect& dialect, const std::vector<View>& texts, const std::vector<Outcome>& expected,
                 const Model& model) {
  Outcome all;
  for (const Outcome& one : expected) {
    all.ids.insert(all.ids.end(), one.ids.begin(), one.ids.end());
    all.has_unused |= one.has_unused;
    all.missing_byte = std::max(all.missing_byte, one.missing_byte);
  }
  std::vector<int64_t> offsets(texts.size() + 1);
  Outcome found =
      outcome([&](spm::Ids& ids) { spm::Batch(dialect, texts, kOptions, kThreads).encode(ids, offsets.data()); });
  expect_same_or_both_failed(all, found, model, "a batch on threads");
}

void check_parts(const spm::Dialect& dialect, const spm::Dialect& alone, const std::string& text,
                 const Model& model) {
  Outcome expected = outcome([&](spm::Ids& ids) { alone.encode({text, false}, kOptions, ids); });
  Outcome found = outcome([&](spm::Ids& ids) {
    dialect.encode_in_parallel({text, false}, kOptions, kThreads, ids);
  });
  expect_same_or_both_failed(expected, found, model, "a text in parts");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Model model = fuzz::hostile_model(input);
  const uint8_t choice = input.byte();
  auto dialect = [&](size_t memory) {
    return spm::Dialect(spm::score_encoder(fuzz::vocabulary(model), 5, spm::best_isa(), memory), model.rules,
                        model.specials[false], model.specials[true], {});
  };
  const spm::Dialect shared = dialect(choice & 1 ? fuzz::kNoCache : 16 << 20), alone = dialect(fuzz::kNoCache);
  std::vector<View> texts;
  do texts.push_back({grown(fuzz::hostile_text(input), choice & 2 ? 1 << 13 : 100)});
  while (!input.empty() && texts.size() < 6);
  std::vector<Outcome> expected;
  for (const View& text : texts)
    expected.push_back(outcome([&](spm::Ids& ids) { alone.encode({text.text, false}, kOptions, ids); }));
  check_one_by_one(shared, texts, expected, model);
  check_batch(shared, texts, expected, model);
  if (choice & 4) check_parts(shared, alone, grown(texts[0].text, 150'000), model);
  return 0;
}
