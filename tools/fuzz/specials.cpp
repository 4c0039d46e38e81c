// Special pieces: a text cut in one reading, against one search for each special through all that is
// left; and what is settled before the text has ended.

#include "../../spm/native/specials.hpp"
#include "reference.hpp"

namespace {

using fuzz::Alone, fuzz::Input;
using spm::Fragment, spm::Special;

std::string letters(Input& input, size_t n) {
  static constexpr char kLetters[] = "ab \n<|a>\xE2";
  std::string text;
  for (; n; n--) text += kLetters[input.below(sizeof kLetters)];  // the last is NUL
  return text;
}

std::vector<Special> hostile_specials(Input& input) {
  std::vector<Special> specials;
  std::set<std::string> seen;
  for (size_t n = input.below(17), id = 0; id < n; id++) {
    uint8_t bits = input.byte();
    std::string piece = letters(input, 1 + bits % 11);
    if (seen.insert(piece).second) specials.push_back({piece, int32_t(id), bits > 200, bits % 8 == 0});
  }
  std::stable_sort(specials.begin(), specials.end(),
                   [](auto& a, auto& b) { return a.piece.size() > b.piece.size(); });
  return specials;
}

std::vector<Fragment> partition(const spm::Specials& specials, std::string_view text) {
  std::vector<Fragment> found;
  specials.partition(text, found);
  return found;
}

// As the numbers begin, end and id; plain text that follows plain text is one with it if `joined`.
std::vector<int32_t> numbers(const std::vector<Fragment>& fragments, bool joined) {
  std::vector<int32_t> numbers;
  for (const Fragment& f : fragments) {
    if (joined && f.id < 0 && !numbers.empty() && numbers.back() < 0) numbers[numbers.size() - 2] = int32_t(f.end);
    else numbers.insert(numbers.end(), {int32_t(f.begin), int32_t(f.end), f.id});
  }
  return numbers;
}

void check_settled(const spm::Specials& specials, std::string_view text, size_t read) {
  const Alone so_far(text.substr(0, read));
  const size_t n = specials.settled(so_far.view());
  fuzz::expect(n <= read, "more is settled than was read");
  const Alone first(text.substr(0, n)), rest(text.substr(n));
  std::vector<Fragment> both = partition(specials, first.view());
  for (const Fragment& f : partition(specials, rest.view())) both.push_back({f.begin + n, f.end + n, f.id});
  fuzz::expect_equal(numbers(partition(specials, text), true), numbers(both, true),
                     "settled after " + std::to_string(read) + " bytes of " + fuzz::shown(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::vector<Special> in_order = hostile_specials(input);
  const spm::Specials specials(in_order);
  const size_t n = input.byte();
  const Alone text(input.flag() ? letters(input, n) : input.rest());
  fuzz::expect_equal(numbers(fuzz::partition(text.view(), in_order), false),
                     numbers(partition(specials, text.view()), false), "partition of " + fuzz::shown(text.view()));
  const size_t step = 1 + text.view().size() / 50;
  for (size_t read = 0; read <= text.view().size(); read += step) check_settled(specials, text.view(), read);
  return 0;
}
