// How an encoder is made of what Python says (spm/text/fast.py): one way for each kind of vocabulary, that
// is pieces with ranks, pairs with ranks, and pieces with scores. What is the same for all is `Common`.

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bound_encoder.hpp"
#include "cut_encoder.hpp"
#include "python_text.hpp"
#include "unigram_encoder.hpp"
#include "word_encoder.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using bound::Encoder;
using bound::view;

namespace {

using Numbers = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// ---- common

// A list of (piece, id, whether white space before it is swallowed, and behind it).
std::vector<spm::Special> read_specials(nb::handle items) {
  std::vector<spm::Special> specials;
  for (nb::handle item : nb::borrow<nb::list>(items)) {
    auto fields = nb::borrow<nb::tuple>(item);
    auto piece = view(nb::borrow<nb::bytes>(fields[0]));
    specials.push_back({std::string(piece), nb::cast<int32_t>(fields[1]), nb::cast<bool>(fields[2]),
                        nb::cast<bool>(fields[3])});
  }
  return specials;
}

// None, or (add_dummy_prefix, remove_extra_whitespaces, treat_whitespace_as_suffix, user-defined pieces,
// charsmap).
std::optional<spm::Normalizer> read_normalizer(nb::handle rules) {
  if (rules.is_none()) return std::nullopt;
  auto fields = nb::borrow<nb::tuple>(rules);
  std::vector<std::string> user_defined;
  for (nb::handle piece : nb::borrow<nb::list>(fields[3]))
    user_defined.emplace_back(view(nb::borrow<nb::bytes>(piece)));
  return spm::Normalizer(
      {nb::cast<bool>(fields[0]), nb::cast<bool>(fields[1]), nb::cast<bool>(fields[2]), true, " "},
      std::move(user_defined), view(nb::borrow<nb::bytes>(fields[4])));
}

// What every encoder is told, whatever merges.
struct Common {
  explicit Common(nb::dict told)
      : rules{.prefix = nb::cast<bool>(told["prefix"]),
              .replaces_malformed = nb::cast<bool>(told["replaces_malformed"]),
              .bos = nb::cast<int32_t>(told["bos"]),
              .eos = nb::cast<int32_t>(told["eos"]),
              .normalizes = nb::cast<bool>(told["normalizes"]),
              .respells = nb::cast<bool>(told["respells"])},
        specials(read_specials(told["specials"])),
        all_specials(read_specials(told["all_specials"])),
        normalizer(read_normalizer(told["normalizer"])),
        seed(nb::cast<uint64_t>(told["seed"])),
        isa(spm::Isa(nb::cast<int>(told["isa"]))),
        memory(nb::cast<size_t>(told["memory"])),
        messages{told["encode_error"], told["double_bos_warning"], nb::cast<std::string>(told["source"])},
        pick_threads(told["pick_threads"]),
        remake(told["remake"]) {}

  spm::DialectRules rules;
  std::vector<spm::Special> specials, all_specials;
  std::optional<spm::Normalizer> normalizer;
  uint64_t seed;
  spm::Isa isa;
  size_t memory;  // bytes that are kept from text to text
  bound::Messages messages;
  nb::object pick_threads, remake;
};

// An encoder of ids below `n_ids`; `make` makes what it encodes with, while other threads run.
template <class Make>
Encoder* made(Common common, size_t n_ids, Make make) {
  nb::gil_scoped_release without;
  return new Encoder{{make(common), common.rules, std::move(common.specials), std::move(common.all_specials),
                      std::move(common.normalizer)},
                     std::move(common.messages),
                     std::move(common.pick_threads),
                     std::move(common.remake),
                     std::vector<PyObject*>(n_ids)};
}

size_t ids_below(Numbers ids) {
  int32_t last = -1;
  for (size_t i = 0; i < ids.size(); i++) last = std::max(last, ids(i));
  return size_t(last + 1);
}

// ---- pieces with ranks: SPM

// The places of numbers, the smallest first.
std::vector<uint32_t> in_order(Numbers numbers) {
  std::vector<uint64_t> keys(numbers.size());
  for (size_t i = 0; i < keys.size(); i++) keys[i] = uint64_t(uint32_t(numbers(i))) << 32 | i;
  std::sort(keys.begin(), keys.end());
  return {keys.begin(), keys.end()};
}

Encoder* make_encoder(nb::list pieces, Numbers ranks, Numbers ids, nb::list user_defined, Numbers unused,
                      Numbers byte_ids, int32_t unknown_id, nb::dict common) {
  spm::Vocabulary vocabulary{.pieces = {},
                             .user_defined = {},
                             .unused = {unused.data(), unused.data() + unused.size()},
                             .byte_ids = {},
                             .unknown_id = unknown_id};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  vocabulary.pieces.reserve(pieces.size());
  for (size_t i : in_order(ranks)) {
    std::string_view piece = view(nb::borrow<nb::bytes>(pieces[i]));
    if (piece.empty() || piece.find(' ') != piece.npos) continue;  // no text has spaces when it merges
    vocabulary.pieces.push_back({spm::to_space_form(piece), spm::Rank(ranks(i)), ids(i)});
  }
  for (nb::handle item : user_defined) {
    auto pair = nb::borrow<nb::tuple>(item);
    vocabulary.user_defined.emplace_back(spm::to_space_form(view(nb::borrow<nb::bytes>(pair[0]))),
                                         nb::cast<int32_t>(pair[1]));
  }
  return made(Common(common), ids_below(ids), [&](const Common& told) {
    return spm::score_encoder(std::move(vocabulary), told.seed, told.isa, told.memory);
  });
}

// ---- pairs with ranks: BPE

std::vector<std::string_view> views(nb::tuple items) {
  std::vector<std::string_view> found;
  found.reserve(items.size());
  for (nb::handle item : items) found.push_back(view(nb::borrow<nb::bytes>(item)));
  return found;
}

// ("runs", set, least, most, led, at_end, from_right), or ("words", letters, before_letters, numbers,
// most_numbers, blank_numbers, others, behind_others, contractions, newlines, cases, sign_and_ascii).
spm::Stage read_stage(nb::tuple fields) {
  auto number = [&](size_t i) { return nb::cast<uint32_t>(fields[i]); };
  auto set = [&](size_t i) { return spm::Class(number(i)); };
  if (nb::cast<std::string>(fields[0]) == "runs")
    return {.is_words = false,
            .runs = {set(1), number(2), number(3), set(4), number(5) != 0, number(6) != 0}};
  return {.is_words = true,
          .words = {set(1), set(2), set(3), number(4), number(5) != 0, set(6), set(7),
                    spm::Contractions(number(8)), number(9) != 0, number(10) != 0, number(11) != 0}};
}

// None, or (where runs of code points begin, their classes, stages).
std::unique_ptr<spm::Words> read_words(nb::handle rules, spm::Isa isa) {
  if (rules.is_none()) return nullptr;
  auto fields = nb::borrow<nb::tuple>(rules);
  auto begins = nb::cast<Numbers>(fields[0]), classes = nb::cast<Numbers>(fields[1]);
  std::vector<spm::Classes::Run> runs;
  for (size_t i = 0; i < std::min(begins.size(), classes.size()); i++)
    runs.push_back({spm::Code(begins(i)), spm::Class(classes(i))});
  std::vector<spm::Stage> stages;
  for (nb::handle stage : nb::borrow<nb::tuple>(fields[2]))
    stages.push_back(read_stage(nb::borrow<nb::tuple>(stage)));
  return std::make_unique<spm::Words>(spm::Classes(runs), std::move(stages), isa);
}

// Where the words of a valid text end, in bytes.
std::vector<uint32_t> ends_of_words(const spm::Words& words, nb::bytes text) {
  std::vector<uint32_t> ends(view(text).size());
  ends.resize(size_t(words.find(view(text), ends.data()) - ends.data()));
  return ends;
}

Encoder* make_rank_encoder(nb::tuple pieces, nb::tuple merges, bool bytes, bool whole_words,
                           bool whole_newlines, Numbers byte_ids, nb::object words, nb::dict common) {
  spm::RankVocabulary vocabulary{views(pieces), views(merges), bytes, whole_words, whole_newlines, {}};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  Common shared(common);
  auto parted = read_words(words, shared.isa);
  return made(std::move(shared), vocabulary.pieces.size(), [&](const Common& told) {
    return spm::rank_encoder(vocabulary, std::move(parted), told.seed, told.isa, told.memory);
  });
}

// ---- pieces with scores: Unigram

// None if the pieces are of so many characters that their trie would be too large.
Encoder* make_unigram_encoder(nb::list pieces, Scores scores, Numbers ids, float unknown_score,
                              int32_t unknown_id, Numbers byte_ids, nb::dict common) {
  spm::UnigramVocabulary vocabulary{{}, unknown_score, unknown_id, {}};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  vocabulary.pieces.reserve(pieces.size());
  for (size_t i = 0; i < pieces.size(); i++)
    vocabulary.pieces.push_back(
        {spm::to_space_form(view(nb::borrow<nb::bytes>(pieces[i]))), scores(i), ids(i)});
  try {
    return made(Common(common), ids_below(ids), [&](const Common& told) {
      return spm::unigram_encoder<spm::FloatSums>(std::move(vocabulary), told.seed, told.isa, told.memory);
    });
  } catch (const spm::TrieTooLarge&) {
    return nullptr;
  }
}

}  // namespace

void bound::bind_making(nb::module_& m, nb::class_<Encoder>& encoder) {
  m.attr("ISAS") = nb::make_tuple("avx512", "avx2", "neon", "portable");
  m.def(
      "supports", [](int isa) { return spm::supports(spm::Isa(isa)); }, "isa"_a);
  nb::class_<spm::Words>(m, "Words")
      .def(nb::new_([](nb::object rules, int isa) { return read_words(rules, spm::Isa(isa)).release(); }),
           "rules"_a, "isa"_a)
      .def("ends", &ends_of_words, "text"_a)
      .def("may_cut", &spm::Words::may_cut, "left"_a, "right"_a);
  encoder
      .def(nb::new_(&make_encoder), "pieces"_a, "ranks"_a, "ids"_a, "user_defined"_a, "unused"_a,
           "byte_ids"_a, "unknown_id"_a, "common"_a)
      .def_static("ranked", &make_rank_encoder, "pieces"_a, "merges"_a, "bytes"_a, "whole_words"_a,
                  "whole_newlines"_a, "byte_ids"_a, "words"_a.none(), "common"_a,
                  nb::rv_policy::take_ownership)
      .def_static("unigram", &make_unigram_encoder, "pieces"_a, "scores"_a, "ids"_a, "unknown_score"_a,
                  "unknown_id"_a, "byte_ids"_a, "common"_a, nb::rv_policy::take_ownership);
}
