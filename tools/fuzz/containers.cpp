// The long lists of the two file formats, of any bytes: whatever is found lies inside, a walk in parts
// is the walk of the whole, and what is written plainly is read as it was written.

#include "../../spm/native/containers.hpp"
#include "input.hpp"

namespace {

using fuzz::Alone, fuzz::Input;

void expect_inside(std::string_view whole, std::string_view part) {
  if (part.empty()) return;                   // it may be nowhere
  const std::less_equal<const char*> before;  // pointers into different memory have no other order
  fuzz::expect(before(whole.data(), part.data()) && before(part.data() + part.size(), whole.data() + whole.size()),
               "a string lies outside of the data");
}

// ---- GGUF

uint64_t size_at(std::string_view data, uint64_t pos) {
  uint64_t size = 0;
  for (int i = 7; i >= 0; i--) size = size << 8 | uint8_t(data[size_t(pos) + size_t(i)]);
  return size;
}

void check_strings(std::string_view data, uint64_t pos, uint64_t count, uint64_t first) {
  auto whole = spm::scan_strings(data, pos, 0, count);
  auto part = spm::scan_strings(data, pos, 0, std::min(first, count));
  if (part && part->done == std::min(first, count)) part = spm::scan_strings(data, part->end, part->done, count);
  fuzz::expect(whole.has_value() == part.has_value(), "a walk in two parts is another");
  fuzz::expect(!whole || (whole->done == part->done && whole->end == part->end),
               "a walk in two parts ends elsewhere");
  auto strings = spm::read_strings(data, pos, count);
  fuzz::expect(strings.has_value() == (whole && whole->done == count && whole->end <= data.size()), "read or not");
  if (!strings) return;
  fuzz::expect(strings->size() == count, "as many strings as asked for");
  for (std::string_view text : *strings) {
    expect_inside(data, text);
    fuzz::expect(size_at(data, pos) == text.size() && data.data() + pos + 8 == text.data(),
                 "a string stands elsewhere");
    pos += 8 + text.size();
  }
}

// ---- sentencepiece

void check_any_model(std::string_view data) {
  auto found = spm::read_model_pieces(data);
  if (!found) return;
  const size_t n = found->texts.size();
  fuzz::expect(found->scores.size() == 4 * n && found->types.size() == n, "a score and a type for each piece");
  for (std::string_view text : found->texts) expect_inside(data, text);
  for (char type : found->types) fuzz::expect(type >= 1 && type <= 6, "a type that there is not");
  auto others = spm::read_model_pieces(found->others);
  fuzz::expect(others && others->texts.empty() && others->others == found->others,
               "the other fields are a message");
}

std::string varint(uint64_t number) {
  std::string out;
  for (; number > 0x7F; number >>= 7) out += char(0x80 | (number & 0x7F));
  return out + char(number);
}

std::string sized(unsigned field, const std::string& data) {
  return varint(field << 3 | 2) + varint(data.size()) + data;
}

void check_plain_model(Input& input) {
  std::string model, scores, types, others;
  std::vector<std::string> texts;
  while (!input.empty() && texts.size() < 100) {
    uint8_t shape = input.byte();
    std::string other = shape & 1 ? sized(2 + input.byte(), input.bytes(shape >> 1)) : "";
    others += other;
    model += other;
    texts.push_back(input.characters(shape >> 3));
    std::string score = {char(input.byte()), char(input.byte()), char(input.byte()), 0x3F};
    types += char(1 + shape % 6);
    scores += score;
    model += sized(1, sized(1, texts.back()) + varint(2 << 3 | 5) + score + varint(3 << 3) + types.back());
  }
  const Alone data(model);
  auto found = spm::read_model_pieces(data.view());
  fuzz::expect(found && found->others == others && found->scores == scores && found->types == types,
               "a plain model");
  for (size_t i = 0; i < texts.size(); i++)
    fuzz::expect_equal(std::string_view(texts[i]), found->texts[i], "a piece");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t kind = input.byte(), pos = input.byte(), first = input.byte();
  uint64_t count = input.byte();
  if (kind & 4) count = count << 56 | count;
  if (kind & 8) {
    check_plain_model(input);
    return 0;
  }
  const Alone rest(input.rest());
  check_strings(rest.view(), kind & 2 ? pos : 0, count, first);
  check_any_model(rest.view());
  return 0;
}
