// Unigram by itself, for who wants to check its lemmas.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bind.hpp"
#include "unigram.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Numbers = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::string_view view(nb::bytes data) { return {data.c_str(), data.size()}; }

nb::list to_list(const spm::Ids& ids) {
  nb::list list;
  for (size_t i = 0; i < ids.size(); i++) list.append(ids.data()[i]);
  return list;
}

template <class Sums>
spm::Unigram<Sums>* make(nb::list pieces, Scores scores, Numbers ids, float unknown_score, int32_t unknown_id,
                         Numbers byte_ids) {
  spm::UnigramVocabulary vocabulary{{}, unknown_score, unknown_id, {}};
  std::copy_n(byte_ids.data(), 256, vocabulary.byte_ids);
  for (size_t i = 0; i < pieces.size(); i++)
    vocabulary.pieces.push_back(
        {spm::to_space_form(view(nb::borrow<nb::bytes>(pieces[i]))), scores(i), ids(i)});
  return new spm::Unigram<Sums>(std::move(vocabulary));
}

// The ids of a unit if they are the same whatever stands before it, or None.
template <class Sums>
nb::object settle(const spm::Unigram<Sums>& unigram, nb::bytes unit) {
  spm::Ids ids;
  spm::UnigramWork work;
  if (!unigram.settle(view(unit), ids, work)) return nb::none();
  return to_list(ids);
}

// The ids of a text behind a sum, where each stands, and the sum behind the text.
template <class Sums>
nb::tuple decide(const spm::Unigram<Sums>& unigram, nb::bytes text, typename Sums::Sum sum) {
  spm::Ids ids;
  std::vector<spm::Span> spans;
  spm::UnigramWork work;
  unigram.decide(view(text), sum, ids, &spans, work);
  nb::list places;
  for (const spm::Span& span : spans) places.append(nb::make_tuple(span.begin, span.end));
  return nb::make_tuple(to_list(ids), places, sum);
}

// The sum behind settled ids, or None where that is not certain.
template <class Sums>
nb::object follow(const spm::Unigram<Sums>& unigram, Numbers ids, typename Sums::Sum sum) {
  if (!unigram.follow(ids.data(), ids.size(), sum)) return nb::none();
  return nb::cast(sum);
}

template <class Sums>
void bind(nb::module_& m, const char* name) {
  nb::class_<spm::Unigram<Sums>>(m, name)
      .def(nb::new_(&make<Sums>), "pieces"_a, "scores"_a, "ids"_a, "unknown_score"_a, "unknown_id"_a,
           "byte_ids"_a)
      .def("settle", &settle<Sums>, "unit"_a)
      .def("decide", &decide<Sums>, "text"_a, "sum"_a)
      .def("follow", &follow<Sums>, "ids"_a, "sum"_a);
}

}  // namespace

void bind_unigram(nb::module_& m) {
  bind<spm::FloatSums>(m, "UnigramSentencePiece");
  bind<spm::DoubleSums>(m, "UnigramLlamaCpp");
}
