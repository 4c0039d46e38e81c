// Encoding straight from the definition, in quadratic time and worse: what the core is held against.
//
// Nothing here comes from the core but the types that it is called with. A text is a row of strings, a
// vocabulary is a map from a string to its rank and id, and the best bigram is looked for again and
// again in the whole row.
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "../../spm/native/cut_encoder.hpp"
#include "../../spm/native/dialect.hpp"
#include "input.hpp"

namespace fuzz {

inline const std::string kSpaceMark = "\xE2\x96\x81";  // ▁

struct Known {
  uint32_t rank;
  int32_t id;
};

// One vocabulary in one dialect. Texts of pieces are as in a file: with ▁.
struct Model {
  bool sentencepiece = false;
  std::map<std::string, Known> pieces;  // that a merge may result in
  std::map<std::string, int32_t> user_defined;
  std::set<int32_t> unused;
  int32_t byte_ids[256];
  int32_t unknown_id = -1;
  spm::DialectRules rules{};
  std::vector<spm::Special> specials[2];  // read always, read with parse_special
};

struct Token {
  int32_t id;
  size_t begin, end;
};

// What encoding comes to: tokens, or why there are none.
struct Outcome {
  std::vector<int32_t> ids;
  std::vector<size_t> begins, ends;
  int missing_byte = -1;
  bool has_unused = false;

  bool failed() const { return missing_byte >= 0 || has_unused; }
  void add(Token token) {
    ids.push_back(token.id);
    begins.push_back(token.begin);
    ends.push_back(token.end);
  }
};

// ---- characters

// By the lead byte alone, as both oracles split a text.
inline size_t announced_size(uint8_t lead) { return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

inline std::vector<std::string> characters_of(std::string_view text) {
  std::vector<std::string> row;
  for (size_t at = 0; at < text.size(); at += row.back().size())
    row.emplace_back(text.substr(at, announced_size(uint8_t(text[at]))));
  return row;
}

// The Unicode Standard, table 3-7.
inline bool is_well_formed(std::string_view c) {
  auto byte = [&](size_t i) { return uint8_t(c[i]); };
  for (size_t i = 1; i < c.size(); i++)
    if (byte(i) < 0x80 || byte(i) > 0xBF) return false;
  if (c.empty() || c.size() != announced_size(byte(0))) return false;
  if (c.size() == 1) return byte(0) < 0x80;
  if (c.size() == 2) return byte(0) >= 0xC2;
  if (c.size() == 3) return !(byte(0) == 0xE0 && byte(1) < 0xA0) && !(byte(0) == 0xED && byte(1) > 0x9F);
  return byte(0) <= 0xF4 && !(byte(0) == 0xF0 && byte(1) < 0x90) && !(byte(0) == 0xF4 && byte(1) > 0x8F);
}

inline bool is_valid(std::string_view text) {
  for (const std::string& c : characters_of(text))
    if (!is_well_formed(c)) return false;
  return true;
}

// Whether a text only lacks bytes to be one well-formed character: some byte at the edge of a range completes it.
inline bool may_go_on(const std::string& text) {
  if (text.size() >= announced_size(uint8_t(text[0]))) return false;
  for (int next : {0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF}) {
    std::string longer = text + char(next);
    if (is_well_formed(longer) || may_go_on(longer)) return true;
  }
  return false;
}

// ---- the merge

struct Symbol {
  std::string text;
  bool frozen = false;
};
using Row = std::vector<Symbol>;

inline void merge(Row& row, const std::map<std::string, Known>& pieces) {
  for (;;) {
    size_t best = row.size();
    uint32_t rank = 0;
    for (size_t i = 0; i + 1 < row.size(); i++) {
      if (row[i].frozen || row[i + 1].frozen) continue;
      auto found = pieces.find(row[i].text + row[i + 1].text);
      if (found == pieces.end() || (best < row.size() && found->second.rank >= rank)) continue;
      best = i, rank = found->second.rank;
    }
    if (best == row.size()) return;
    row[best].text += row[best + 1].text;
    row.erase(row.begin() + ptrdiff_t(best) + 1);
  }
}

inline Row plain_row(std::string_view text) {
  Row row;
  for (std::string& c : characters_of(text)) row.push_back({std::move(c)});
  return row;
}

// The longest user-defined piece at every place, from left to right, freezes.
inline Row row_of(std::string_view text, const Model& model) {
  Row row;
  while (!text.empty()) {
    Symbol symbol{std::string(text.substr(0, announced_size(uint8_t(text[0]))))};
    for (auto& [piece, id] : model.user_defined)
      if (text.starts_with(piece) && (!symbol.frozen || piece.size() > symbol.text.size())) symbol = {piece, true};
    text.remove_prefix(symbol.text.size());
    row.push_back(symbol);
  }
  return row;
}

// ---- a text that merges

// With the byte of the given text that each byte came from, and one entry more for the end.
struct Normal {
  std::string text;
  std::vector<size_t> origin;

  void add(std::string_view shown, size_t at) {
    text += shown;
    origin.insert(origin.end(), shown.size(), at);
  }
};

inline Normal normal(std::string_view text, size_t begin, bool prefix, bool replaces_malformed) {
  Normal out;
  if (prefix && !text.empty()) out.add(kSpaceMark, begin);
  for (size_t at = 0; at < text.size();) {
    std::string_view c = text.substr(at, announced_size(uint8_t(text[at])));
    if (!is_well_formed(c)) {
      out.add(replaces_malformed ? "\xEF\xBF\xBD" : c.substr(0, 1), begin + at);
      at++;
      continue;
    }
    for (size_t i = 0; i < (c == " " ? 0 : c.size()); i++) out.add(c.substr(i, 1), begin + at + i);
    if (c == " ") out.add(kSpaceMark, begin + at);
    at += c.size();
  }
  out.origin.push_back(begin + text.size());
  return out;
}

// Of a symbol that is spelled by several ids the last owns all of it; the others are empty before it.
inline void spell(const Symbol& symbol, size_t begin, size_t end, const Model& model, Outcome& out) {
  auto known = model.pieces.find(symbol.text);
  if (symbol.frozen) return out.add({model.user_defined.at(symbol.text), begin, end});
  if (known != model.pieces.end()) {
    out.has_unused |= model.unused.contains(known->second.id);
    return out.add({known->second.id, begin, end});
  }
  if (model.unknown_id >= 0) return out.add({model.unknown_id, begin, end});
  for (size_t i = 0; i < symbol.text.size() && out.missing_byte < 0; i++) {
    int32_t id = model.byte_ids[uint8_t(symbol.text[i])];
    if (id < 0) out.missing_byte = uint8_t(symbol.text[i]);
    bool last = i + 1 == symbol.text.size();
    out.add({id, begin, last ? end : begin});
  }
}

inline void encode_text(const Normal& text, const Model& model, Outcome& out) {
  Row row = row_of(text.text, model);
  merge(row, model.pieces);
  size_t at = 0;
  for (const Symbol& symbol : row) {
    size_t end = at + symbol.text.size();
    spell(symbol, text.origin[at], text.origin[end], model, out);
    if (out.missing_byte >= 0) return;
    at = end;
  }
}

// ---- special pieces

inline bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// llama.cpp's way (tokenizer_st_partition): one special after the other, through all that is left.
inline std::vector<spm::Fragment> partition(std::string_view text, const std::vector<spm::Special>& specials) {
  std::vector<spm::Fragment> fragments;
  if (!text.empty()) fragments.push_back({0, text.size(), -1});
  for (const spm::Special& special : specials) {
    std::vector<spm::Fragment> next;
    for (spm::Fragment f : fragments) {
      while (f.id < 0) {
        size_t at = text.substr(0, f.end).find(special.piece, f.begin), end = at + special.piece.size();
        if (at == text.npos) break;
        size_t left = at, right = end;
        while (special.lstrip && left > f.begin && is_white(text[left - 1])) left--;
        while (special.rstrip && right < f.end && is_white(text[right])) right++;
        if (f.begin < left) next.push_back({f.begin, left, -1});
        next.push_back({at, end, special.id});
        f.begin = right;
      }
      if (f.id >= 0 || f.begin < f.end) next.push_back(f);
    }
    fragments = std::move(next);
  }
  return fragments;
}

// ---- all of it, without BOS and EOS

inline Outcome joined_unknown(const Outcome& all, const Model& model) {
  Outcome out;
  out.missing_byte = all.missing_byte;
  out.has_unused = all.has_unused;
  for (size_t i = 0; i < all.ids.size(); i++) {
    bool joins = model.unknown_id >= 0 && i > 0 && all.ids[i] == model.unknown_id && all.ids[i - 1] == all.ids[i];
    if (joins) out.ends.back() = all.ends[i];
    else out.add({all.ids[i], all.begins[i], all.ends[i]});
  }
  return out;
}

inline Outcome encode(std::string_view text, bool parse_special, bool begins, const Model& model) {
  Outcome out;
  std::vector<spm::Fragment> fragments = partition(text, model.specials[parse_special]);
  bool prefix = begins && model.rules.prefix;
  for (const spm::Fragment& f : fragments) {
    if (f.id >= 0) out.add({f.id, f.begin, f.end});
    else
      encode_text(normal(text.substr(f.begin, f.end - f.begin), f.begin, prefix, model.sentencepiece), model, out);
    if (out.missing_byte >= 0) break;
    prefix = f.id >= 0 && model.rules.prefix;
  }
  return joined_unknown(out, model);
}

}  // namespace fuzz
