// What the core answers, beside what the reference does.
#pragma once

#include "hostile.hpp"

namespace fuzz {

constexpr size_t kNoCache = 1;  // bytes: the smallest table that there is

// Ids, or what they failed of, as the reference has it.
template <class Call>
Outcome outcome(Call call) {
  Outcome out;
  spm::Ids ids;
  try {
    call(ids);
    out.ids.assign(ids.data(), ids.data() + ids.size());
  } catch (const spm::NoPieceForByte& error) {
    out.missing_byte = error.byte;
  } catch (const spm::NeedsSpecification&) {
    out.has_unused = true;
  }
  return out;
}

// The core may ask for the specification wherever there are UNUSED pieces at all.
inline void expect_same(const Outcome& expected, const Outcome& actual, const Model& model,
                        const std::string& what) {
  if (actual.has_unused) return expect(!model.unused.empty(), what + ": no piece is UNUSED");
  expect(!expected.has_unused, what + ": an UNUSED piece came out");
  expect(expected.missing_byte == actual.missing_byte,
         what + ": expected byte " + std::to_string(expected.missing_byte) + " to be missing, found " +
             std::to_string(actual.missing_byte));
  if (!expected.failed()) expect_equal(expected.ids, actual.ids, what);
}

}  // namespace fuzz
