// Whether two whole pieces may meet, and the search that is built on it, against the merge itself.

#include "../../spm/native/spines.hpp"
#include "hostile.hpp"

namespace {

using fuzz::Input, fuzz::Model, fuzz::Row;
using spm::Symbol;

struct Piece {
  Symbol symbol;
  std::string text;  // with ▁
};

// Every piece, and every character of the text, which may be a symbol without a piece, or none.
std::vector<Piece> symbols_of(const Model& model, const spm::Symbols& symbols, const std::string& text) {
  std::vector<Piece> found;
  for (const spm::Mergeable& piece : fuzz::mergeable(model))
    found.push_back({Symbol(found.size()), fuzz::normal(piece.text, 0, false, false).text});
  std::set<std::string> seen;
  for (const std::string& c : fuzz::characters_of(text))
    if (!model.pieces.contains(c) && seen.insert(c).second)
      found.push_back({symbols.of_character(spm::read_character(c.data(), c.data() + c.size()).code), c});
  return found;
}

std::vector<std::string> merged(const Model& model, Row row) {
  fuzz::merge(row, model.pieces);
  std::vector<std::string> texts;
  for (auto& symbol : row) texts.push_back(symbol.text);
  return texts;
}

// Whether the last character lacks bytes, which whatever follows would give it.
bool is_clipped(const std::string& text) {
  const std::string last = fuzz::characters_of(text).back();
  return last.size() < fuzz::announced_size(uint8_t(last[0]));
}

void check_pairs(const Model& model, const std::vector<Piece>& all, spm::Spines& spines) {
  std::vector<Piece> whole;
  for (const Piece& piece : all) {
    bool is_whole = merged(model, fuzz::plain_row(piece.text)).size() == 1;
    bool is_short = fuzz::characters_of(piece.text).size() <= 128;  // longer ones are never taken for whole
    fuzz::expect(spines.is_whole(piece.symbol) == (is_whole && is_short),
                 "is_whole of " + fuzz::shown(piece.text));
    if (is_whole && is_short) whole.push_back(piece);
  }
  for (const Piece& left : whole)
    for (const Piece& right : whole) {
      if (is_clipped(left.text)) continue;  // it stands only at the end of a text
      bool may_meet = merged(model, fuzz::plain_row(left.text + right.text)) == std::vector{left.text, right.text};
      fuzz::expect(spines.may_meet(left.symbol, right.symbol) == may_meet,
                   "may_meet of " + fuzz::shown(left.text) + " and " + fuzz::shown(right.text));
    }
}

// ---- rows of a text

std::vector<spm::Node> row_of(const spm::Symbols& symbols, std::string_view text) {
  std::vector<spm::Node> row;
  for (size_t at = 0; at < text.size();) {
    spm::Character c = spm::read_character(text.data() + at, text.data() + text.size());
    row.push_back({symbols.of_character(c.code), uint32_t(at), c.code});
    at += c.size;
  }
  return row;
}

std::vector<std::string> texts_of(const std::vector<spm::Node>& row, std::string_view text) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < row.size(); i++) {
    size_t end = i + 1 < row.size() ? row[i + 1].begin : text.size();
    texts.emplace_back(text.substr(row[i].begin, end - row[i].begin));
  }
  return texts;
}

void check_merges(const Model& model, const spm::Symbols& symbols, spm::Search& search, spm::Spines& spines,
                  std::string_view text) {
  const std::vector<std::string> expected = merged(model, fuzz::plain_row(text));
  const std::vector<spm::Node> characters = row_of(symbols, text);
  const spm::Merger merger(symbols);
  std::vector<spm::Node> row = characters;
  merger.merge_long(row);
  fuzz::expect(texts_of(row, text) == expected, "merge_long of " + fuzz::shown(text));
  row = characters;
  bool found = search.merge(row, spines);
  fuzz::expect(texts_of(row, text) == (found ? expected : texts_of(characters, text)),
               "the search in " + fuzz::shown(text));
  row = characters;
  if (row.size() > spm::ShortRow::kMost) return;
  row.resize(merger.merge_short(row.data(), row.size()));
  fuzz::expect(texts_of(row, text) == expected, "merge_short of " + fuzz::shown(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Model model = fuzz::hostile_model(input);
  const std::vector<spm::Mergeable> pieces = fuzz::mergeable(model);
  const spm::Symbols symbols(pieces, 3);
  spm::Spines spines(pieces, symbols);
  spm::PieceTrie trie(pieces.size(), 4);
  for (size_t i = 0; i < pieces.size(); i++) trie.insert(pieces[i].text, uint32_t(i));
  trie.finish();
  spm::Search search(trie);
  for (int i = 0; i < 4 && (i == 0 || !input.empty()); i++) {
    const std::string text = fuzz::normal(fuzz::hostile_text(input), 0, false, false).text;
    if (i == 0) check_pairs(model, symbols_of(model, symbols, text), spines);
    if (!text.empty()) check_merges(model, symbols, search, spines, text);
  }
  return 0;
}
