// sentencepiece's normaliser with a charsmap of any bytes, or a sound one made of the input: the way in
// stretches against the way prefix by prefix (spm/text/normalize.py).

#include "../../spm/native/normalizer.hpp"
#include "reference.hpp"

namespace {

using fuzz::Alone, fuzz::Input;

// ---- a charsmap

std::string u32(uint32_t number) {
  return {char(number), char(number >> 8), char(number >> 16), char(number >> 24)};
}

// Every node has a block of 256 units of its own: the child of node n for a byte is unit 256 n + byte,
// and the value of a key is unit 256 n. Node 1 is the root, unit 0 leads there.
std::string charsmap_of(const std::map<std::string, std::string>& rules) {
  std::map<std::string, uint32_t> nodes{{"", 1}};
  for (auto& [key, to] : rules)
    for (size_t n = 1; n <= key.size(); n++) nodes.try_emplace(key.substr(0, n), nodes.size() + 1);
  std::vector<uint32_t> units;
  for (uint32_t at = 0; at < 256 * (nodes.size() + 1); at++) units.push_back((at & 0xFF) ^ 1);  // nobody's child
  std::string replacements, blob;
  units[0] = 256 << 10;
  for (auto& [prefix, node] : nodes) {
    if (prefix.empty()) continue;
    uint32_t label = uint8_t(prefix.back()), at = 256 * nodes[prefix.substr(0, prefix.size() - 1)] + label;
    bool is_key = rules.contains(prefix);
    units[at] = (at ^ 256 * node) << 10 | uint32_t(is_key) << 8 | label;
    if (!is_key) continue;
    units[256 * node] = 1u << 31 | uint32_t(replacements.size());
    replacements += rules.at(prefix) + '\0';
  }
  for (uint32_t unit : units) blob += u32(unit);
  return u32(uint32_t(blob.size())) + blob + replacements;
}

std::string hostile_charsmap(Input& input) {
  uint8_t kind = input.byte();
  if (kind < 32) return input.bytes(size_t(input.byte()) << 2);
  std::map<std::string, std::string> rules;
  for (size_t n = kind & 7; n; n--) {
    uint8_t sizes = input.byte();
    std::string key = input.characters(1 + (sizes & 3)), to = input.characters(sizes >> 2 & 7);
    for (size_t times = sizes >= 250 ? 6 : 0; times; times--) to += to;  // 64 times as much
    to.erase(std::remove(to.begin(), to.end(), '\0'), to.end());
    if (key.find('\0') == key.npos) rules[key] = to;
  }
  std::string blob = rules.empty() ? "" : charsmap_of(rules);
  for (size_t n = kind >= 224 ? 4 : 0; n && !blob.empty(); n--)
    blob[(input.byte() << 8 | input.byte()) % blob.size()] ^= char(input.byte());
  return blob;
}

// ---- the way of the specification

struct Answer {
  std::string text;
  std::vector<size_t> origin;
  size_t growth_at = 0, growth = 0;  // where it was refused, and the size that it had
  bool operator==(const Answer&) const = default;
};

class Reference {
 public:
  Reference(const spm::NormalizerRules& rules, const std::set<std::string>& pieces, std::string_view blob)
      : rules_(rules), pieces_(pieces), charsmap_(blob) {}

  Answer normalize(std::string_view text) const {
    Answer out;
    size_t pos = 0;
    bool collapse = rules_.remove_extra_whitespaces, after_space = collapse;
    for (; collapse && pos < text.size(); pos += prefix(text.substr(pos)).second)
      if (prefix(text.substr(pos)).first != " ") break;
    if (pos < text.size()) {
      if (rules_.add_dummy_prefix && !rules_.treat_whitespace_as_suffix) write(" ", pos, out);
      while (pos < text.size()) {
        auto [shown, size] = prefix(text.substr(pos));
        while (after_space && shown.starts_with(' ')) shown.erase(0, 1);
        write(shown, pos, out);
        if (collapse && !shown.empty()) after_space = shown.ends_with(' ');
        pos += size;
        if (size_t grown = specified_size(out.text); grown > 100 * (pos + 1)) return {"", {}, pos, grown};
      }
      while (collapse && drop_space(out)) pos = out.origin.back(), out.origin.pop_back();
      if (rules_.add_dummy_prefix && rules_.treat_whitespace_as_suffix) write(" ", pos, out);
    }
    out.origin.push_back(pos);
    return out;
  }

 private:
  std::pair<std::string, size_t> prefix(std::string_view text) const {
    std::string longest;
    for (const std::string& piece : pieces_)
      if (text.starts_with(piece) && piece.size() > longest.size()) longest = piece;
    if (!longest.empty()) return {longest, longest.size()};
    if (auto found = charsmap_.longest_prefix(text); found.size)
      return {std::string(found.replacement), found.size};
    std::string_view c = text.substr(0, fuzz::announced_size(uint8_t(text[0])));
    if (fuzz::is_well_formed(c)) return {std::string(c), c.size()};
    return {"\xEF\xBF\xBD", 1};
  }

  void write(std::string_view shown, size_t pos, Answer& out) const {
    for (char c : shown) {
      std::string_view written = c == ' ' ? std::string_view(rules_.space) : std::string_view(&c, 1);
      out.text += written;
      out.origin.insert(out.origin.end(), written.size(), pos);
    }
  }

  // The specification writes ▁ at once, so there U+0020 counts three times.
  size_t specified_size(const std::string& text) const {
    size_t spaces = size_t(std::count(text.begin(), text.end(), ' '));
    return text.size() + (rules_.escape_whitespaces ? 2 * spaces : 0);
  }

  // Leaves the place of the dropped space behind.
  bool drop_space(Answer& out) const {
    size_t size = out.text.ends_with(rules_.space) ? rules_.space.size() : 0;
    if (!size && rules_.escape_whitespaces && out.text.ends_with(fuzz::kSpaceMark)) size = 3;
    out.text.resize(out.text.size() - size);
    if (size) out.origin.resize(out.origin.size() - size + 1);
    return size;
  }

  const spm::NormalizerRules& rules_;
  const std::set<std::string>& pieces_;
  spm::Charsmap charsmap_;
};

Answer normalized(const spm::Normalizer& normalizer, std::string_view text, bool with_origin) {
  Answer found;
  try {
    normalizer.normalize(text, found.text, with_origin ? &found.origin : nullptr);
  } catch (const spm::Growth& growth) {
    return {"", {}, growth.pos, growth.size};
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t flags = input.byte();
  const bool escape = flags & 8;  // without it spaces are written as they are
  const spm::NormalizerRules rules{(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0, escape,
                                   escape && flags & 16 ? fuzz::kSpaceMark : " "};
  const Alone blob(hostile_charsmap(input));
  std::set<std::string> pieces;
  for (size_t n = input.below(7); n; n--) pieces.insert(input.characters(1 + input.below(5)));
  const spm::Normalizer normalizer(rules, {pieces.begin(), pieces.end()}, blob.view());
  const Reference reference(rules, pieces, blob.view());
  const size_t n = input.byte();
  const Alone text(input.flag() ? input.characters(n) : input.rest());
  const Answer expected = reference.normalize(text.view()), found = normalized(normalizer, text.view(), true);
  const std::string of = " of " + fuzz::shown(text.view());
  fuzz::expect_equal(std::string_view(expected.text), std::string_view(found.text), "the normal form" + of);
  fuzz::expect(expected == found, "the origin or the growth" + of);
  fuzz::expect(found.growth || found.origin.size() == found.text.size() + 1, "a place for each byte" + of);
  fuzz::expect(normalized(normalizer, text.view(), false).text == expected.text, "without places" + of);
  return 0;
}
