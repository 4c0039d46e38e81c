// Vocabularies and texts that nobody would train or write, made of a fuzzer's bytes: pieces over a
// small alphabet, so that they overlap, tie, and split in improper ways; malformed ones; pieces that
// are found whole; bytes without a piece.
#pragma once

#include "reference.hpp"

namespace fuzz {

enum Role { kPlain, kAlways, kIfAsked, kNever };  // user-defined; control; unused

// One character or a few, and now and then the same many times over.
inline std::string hostile_piece(Input& input) {
  uint8_t shape = input.byte();
  std::string text = input.characters(1 + (shape & 7)), out = text;
  for (size_t n = shape >> 3 == 31 ? input.byte() : 0; n; n--) out += text;
  return out;
}

// Texts are short, or a few characters many times over: long units are where the search begins. The
// reference is slow, so they never have many more than two hundred characters.
inline std::string hostile_text(Input& input) {
  size_t n = input.byte() & 63, times = input.byte();
  std::string text = input.characters(n), out;
  times = times < 192 || !n ? 1 : std::min(times - 190, 200 / n);
  for (times = std::max<size_t>(times, 1); times; times--) out += text;
  return out + input.characters(n & 3);
}

// In sentencepiece's dialect the core gets only pieces that a valid text can contain, and in both only
// ▁ for a space (spm/text/fast.py, spm/native/bind_making.cpp).
inline bool may_be_merged(const std::string& piece, bool sentencepiece) {
  return piece.find(' ') == piece.npos && (!sentencepiece || is_valid(piece));
}

inline void set_role(Role role, const std::string& piece, int32_t id, uint8_t bits, Model& model) {
  if (model.sentencepiece) {
    if (role == kAlways && may_be_merged(piece, true)) model.user_defined[piece] = id;
    if (role == kNever) model.unused.insert(id);
    return;
  }
  spm::Special special{piece, id, (bits & 1) != 0, (bits & 2) != 0};
  if (role == kAlways) model.specials[false].push_back(special);
  if (role == kAlways || role == kIfAsked) model.specials[true].push_back(special);
}

// Byte b has the id 1000 + b; in llama.cpp's dialect some, or all, may be missing.
inline void spell_bytes(Input& input, Model& model) {
  uint8_t missing = input.byte();
  bool by_unknown = model.sentencepiece && missing & 1;
  for (int b = 0; b < 256; b++) {
    bool lacks = by_unknown || (!model.sentencepiece && missing & 0x80 && (missing & 1 << b % 7));
    model.byte_ids[b] = lacks ? -1 : 1000 + b;
  }
  if (by_unknown) model.unknown_id = 999;
}

inline Model hostile_model(Input& input) {
  Model model;
  uint8_t flags = input.byte();
  model.sentencepiece = flags & 1;
  model.rules = {(flags & 2) != 0, model.sentencepiece, flags & 4 ? 997 : -1, flags & 8 ? 998 : -1};
  bool has_roles = flags & 16;
  spell_bytes(input, model);
  std::set<std::string> seen;
  for (size_t n = input.below(41), id = 0; id < n; id++) {
    uint8_t bits = input.byte();
    std::string piece = hostile_piece(input);
    if (!seen.insert(piece).second) continue;
    uint32_t rank = bits & 7;
    if (may_be_merged(piece, model.sentencepiece)) model.pieces[piece] = {rank, int32_t(id)};
    if (has_roles && bits >> 3 & 1) set_role(Role(bits >> 4 & 3), piece, int32_t(id), bits >> 6, model);
  }
  for (auto& specials : model.specials)
    std::stable_sort(specials.begin(), specials.end(),
                     [](auto& a, auto& b) { return a.piece.size() > b.piece.size(); });
  return model;
}

// ---- as the core takes it: the best rank first (make_encoder in spm/native/bind_making.cpp)

inline std::vector<spm::Mergeable> mergeable(const Model& model) {
  std::vector<spm::Mergeable> pieces;
  for (auto& [text, known] : model.pieces) pieces.push_back({spm::to_space_form(text), known.rank, known.id});
  std::sort(pieces.begin(), pieces.end(),
            [](auto& a, auto& b) { return std::pair(a.rank, a.id) < std::pair(b.rank, b.id); });
  return pieces;
}

inline spm::Vocabulary vocabulary(const Model& model) {
  spm::Vocabulary made{.pieces = mergeable(model),
                       .user_defined = {},
                       .unused = {},
                       .byte_ids = {},
                       .unknown_id = model.unknown_id};
  for (auto& [piece, id] : model.user_defined) made.user_defined.emplace_back(spm::to_space_form(piece), id);
  made.unused.assign(model.unused.begin(), model.unused.end());
  std::copy_n(model.byte_ids, 256, made.byte_ids);
  return made;
}

}  // namespace fuzz
