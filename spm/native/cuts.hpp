// Cuts found for many borders at once, from the two bytes beside each.
//
// A border between bytes x|y is a cut if before[x] & after[y] is not zero. The eight bits stand for
// eight rectangles: sets X and Y of characters of which no x in X joins any y in Y. A vocabulary's cuts
// are not eight rectangles, so the eight that weigh most are chosen; the cuts that they miss cost a
// longer unit, and `Joins` finds them where a unit comes out too long to be looked up.
//
//     joins  t|h  h|e  e|r          X = {h, e, r}, Y = {t, h}:   h|t  h|h  e|t  e|h  r|t  r|h  are cuts
//     text   t h e t h e r e        the_the_re  is cut where X meets Y:  the|there  (r|e is another's)
//
// All characters beyond ASCII are one member of these sets, kOther: it is cut from a character only if
// none of them joins it, and never from itself. Its lead bytes stand for it on the right of a border, its
// last byte on the left. The byte 0x81 may end a typed ▁, which joins as a space does: no cut after it.
//
// How much a border weighs is read off the vocabulary, too: pieces of good rank are frequent, so a
// character that often ends them often stands before a border, one that begins them behind it.
#pragma once

#include <array>
#include <vector>

#include "joins.hpp"

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define SPM_X86 1
#include <immintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#define SPM_NEON 1
#include <arm_neon.h>
#endif

namespace spm {

// Instruction sets for which the scan is written, the best one first.
enum class Isa { avx512, avx2, neon, portable };

inline bool supports(Isa isa) {
#if SPM_X86
  if (isa == Isa::avx512)
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2");
  if (isa == Isa::avx2) return __builtin_cpu_supports("avx2");
#endif
#if SPM_NEON
  if (isa == Isa::neon) return true;
#endif
  return isa == Isa::portable;
}

inline Isa best_isa() {
  for (Isa isa : {Isa::avx512, Isa::avx2, Isa::neon})
    if (supports(isa)) return isa;
  return Isa::portable;
}

// The numbers from 0 to 63.
inline constexpr auto kPlaces = [] {
  std::array<uint8_t, 64> places{};
  for (size_t i = 0; i < 64; i++) places[i] = uint8_t(i);
  return places;
}();

class Cuts {
 public:
  static constexpr size_t kBlock = 4096;        // bytes that are scanned at once
  static constexpr size_t kRoom = kBlock + 64;  // positions that a scan may write

  Cuts(const std::vector<Mergeable>& pieces, const Joins& joins, Isa isa) : find64_(find64_of(isa)) {
    Grid cut = cuts_of(joins);
    choose(cut, weights_of(pieces, cut));
    for (size_t i = 0; i < 128; i++) {
      chained_before_[i] = before_[i] ^ (i < 16 ? 0 : before_[i - 16]);
      chained_after_[i] = after_[i] ^ (i < 16 ? 0 : after_[i - 16]);
    }
  }

  // Writes, in order, each k < n for which there is a cut before p[k]; p[-1] must be readable and
  // n at most kBlock. Returns the end of what was written.
  uint32_t* find(const uint8_t* p, size_t n, uint32_t* out) const {
    size_t whole = n & ~size_t(63);
    for (size_t k = 0; k < whole; k += 64) out = (this->*find64_)(p + k, ~uint64_t(0), uint32_t(k), out);
    if (whole == n) return out;
    uint8_t rest[1 + 64] = {};  // what follows the text is not read
    std::memcpy(rest, p + whole - 1, n - whole + 1);
    return (this->*find64_)(rest + 1, (uint64_t(1) << (n - whole)) - 1, uint32_t(whole), out);
  }

 private:
  static constexpr int kOther = 128, kKinds = 129;
  using Grid = std::array<std::array<bool, kKinds>, kKinds>;
  using Set = std::array<bool, kKinds>;
  using Weights = std::array<std::array<float, kKinds>, kKinds>;

  static Grid cuts_of(const Joins& joins) {
    Grid cut;
    for (Set& row : cut) row.fill(true);
    cut[kOther][kOther] = false;
    joins.visit_all([&](Code x, Code y) {
      cut[std::min<Code>(x, kOther)][std::min<Code>(y, kOther)] = false;
      if (y == kSpace) cut[std::min<Code>(x, kOther)][kOther] = false;  // it may be a typed ▁
    });
    return cut;
  }

  static Weights weights_of(const std::vector<Mergeable>& pieces, const Grid& cut) {
    std::array<float, kKinds> ends{}, begins{};
    for (const Mergeable& piece : pieces) {
      float weight = 1 / (100 + float(piece.rank));
      uint8_t first = uint8_t(piece.text.front()), last = uint8_t(piece.text.back());
      begins[first < 128 ? first : kOther] += weight;
      ends[last < 128 ? last : kOther] += weight;
    }
    Weights weights{};
    for (int x = 0; x < kKinds; x++)
      for (int y = 0; y < kKinds; y++) weights[x][y] = cut[x][y] ? ends[x] * begins[y] + 1e-9f : 0;
    return weights;
  }

  // Eight times the rectangle that gains most over those before it.
  void choose(const Grid& cut, Weights left) {
    for (int bit = 0; bit < 8; bit++) {
      Rectangle best;
      for (int seed : heaviest_columns(left)) {
        Rectangle grown = grow(cut, left, seed);
        if (grown.weight > best.weight) best = grown;
      }
      for (int x = 0; x < kKinds; x++)
        for (int y = 0; y < kKinds; y++)
          if (best.x[x] && best.y[y]) left[x][y] = 0;
      for (int byte = 0; byte < 256; byte++) {
        bool never_left = byte == 0x81, never_right = byte >= 0x80 && byte < 0xC0;
        int kind = std::min(byte, kOther);
        before_[byte] |= uint8_t((best.x[kind] && !never_left) << bit);
        after_[byte] |= uint8_t((best.y[kind] && !never_right) << bit);
      }
    }
  }

  struct Rectangle {
    Set x{}, y{};
    float weight = 0;
  };

  static std::array<int, 2> heaviest_columns(const Weights& left) {
    std::array<std::pair<float, int>, kKinds> columns{};
    for (int y = 0; y < kKinds; y++) columns[y].second = y;
    for (int x = 0; x < kKinds; x++)
      for (int y = 0; y < kKinds; y++) columns[y].first -= left[x][y];
    std::partial_sort(columns.begin(), columns.begin() + 2, columns.end());
    return {columns[0].second, columns[1].second};
  }

  // Begins with one column and all rows that are cuts in it, and adds columns while that gains: a new
  // column brings the weight of its cuts, and costs the rows in which it has none. Columns that cost
  // nothing come along.
  static Rectangle grow(const Grid& cut, const Weights& left, int seed) {
    Rectangle grown;
    std::array<float, kKinds> row{};  // what each row weighs in the columns chosen
    grown.x.fill(true);
    for (int column = seed; column >= 0; column = best_column(cut, left, grown, row)) {
      for (int x = 0; x < kKinds; x++) grown.x[x] = grown.x[x] && cut[x][column];
      Set missing = columns_that_miss(cut, grown.x);
      for (int y = 0; y < kKinds; y++) {
        if (missing[y] || grown.y[y]) continue;
        grown.y[y] = true;
        for (int x = 0; x < kKinds; x++) row[x] += left[x][y];
      }
    }
    for (int x = 0; x < kKinds; x++) grown.weight += grown.x[x] ? row[x] : 0;
    return grown;
  }

  // The columns in which some of the rows `x` is no cut.
  static Set columns_that_miss(const Grid& cut, const Set& x) {
    Set missing{};
    for (int i = 0; i < kKinds; i++)
      for (int y = 0; y < kKinds && x[i]; y++) missing[y] |= !cut[i][y];
    return missing;
  }

  // The column that gains most, or -1 if none gains.
  static int best_column(const Grid& cut, const Weights& left, const Rectangle& grown,
                         const std::array<float, kKinds>& row) {
    std::array<float, kKinds> gain{};
    for (int x = 0; x < kKinds; x++) {
      if (!grown.x[x]) continue;
      for (int y = 0; y < kKinds; y++) gain[y] += left[x][y] - float(!cut[x][y]) * row[x];
    }
    for (int y = 0; y < kKinds; y++)
      if (grown.y[y]) gain[y] = 0;
    auto best = std::max_element(gain.begin(), gain.end());
    return *best > 0 ? int(best - gain.begin()) : -1;
  }

  // Finds the cuts before those of 64 bytes that `asked` marks, and writes their places plus `base`.
  using Find64 = uint32_t* (Cuts::*)(const uint8_t* p, uint64_t asked, uint32_t base, uint32_t* out) const;

  static Find64 find64_of(Isa isa) {
#if SPM_X86
    if (isa == Isa::avx512) return &Cuts::find64_avx512;
    if (isa == Isa::avx2) return &Cuts::find64_avx2;
#endif
#if SPM_NEON
    if (isa == Isa::neon) return &Cuts::find64_neon;
#endif
    return &Cuts::find64_portable;
  }

  static uint32_t* write_places(uint64_t cuts, uint32_t base, uint32_t* out) {
    for (; cuts; cuts &= cuts - 1) *out++ = base + uint32_t(std::countr_zero(cuts));
    return out;
  }

  uint32_t* find64_portable(const uint8_t* p, uint64_t asked, uint32_t base, uint32_t* out) const {
    uint64_t cuts = 0;
    uint8_t before = before_[*(p - 1)];
    for (size_t k = 0; k < 64; k++) {
      cuts |= uint64_t((before & after_[p[k]]) != 0) << k;
      before = before_[p[k]];
    }
    return write_places(cuts & asked, base, out);
  }

#if SPM_X86
  // A table of 128 bytes is two registers, and one instruction looks 64 bytes up.
  __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vbmi2"))) uint32_t* find64_avx512(
      const uint8_t* p, uint64_t asked, uint32_t base, uint32_t* out) const {
    const __m512i zero = _mm512_setzero_si512();
    __m512i x = _mm512_loadu_si512(p - 1), y = _mm512_loadu_si512(p);
    __m512i before =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(&before_[0]), x, _mm512_loadu_si512(&before_[64]));
    __m512i after =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(&after_[0]), y, _mm512_loadu_si512(&after_[64]));
    if (_mm512_movepi8_mask(_mm512_or_si512(x, y))) {  // not all are ASCII
      __mmask64 mark = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(char(0x81)));
      __mmask64 lead = _mm512_cmpge_epu8_mask(y, _mm512_set1_epi8(char(0xC0)));
      before = _mm512_mask_mov_epi8(before, _mm512_movepi8_mask(x), _mm512_set1_epi8(char(before_[0x80])));
      before = _mm512_mask_mov_epi8(before, mark, zero);
      after = _mm512_mask_mov_epi8(after, _mm512_movepi8_mask(y), zero);
      after = _mm512_mask_mov_epi8(after, lead, _mm512_set1_epi8(char(after_[0xFF])));
    }
    __mmask64 cuts = _mm512_mask_test_epi8_mask(asked, before, after);
    __m512i packed = _mm512_maskz_compress_epi8(cuts, _mm512_loadu_si512(kPlaces.data()));
    int count = std::popcount(uint64_t(cuts));
    for (int i = 0; i < count; i += 16) {
      __m512i wide = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(packed));
      _mm512_storeu_si512(out + i, _mm512_add_epi32(wide, _mm512_set1_epi32(int(base))));
      packed = _mm512_shuffle_i64x2(packed, packed, 0x39);  // the next 16 bytes
    }
    return out + count;
  }

  // A table of 128 bytes is looked up 16 bytes at a time. The table is chained: each 16 xor those before.
  // An index that has gone below zero finds nothing, so that what remains is the right one alone.
  __attribute__((target("avx2"))) static __m256i look_up_avx2(const std::array<uint8_t, 128>& chained,
                                                              __m256i x) {
    __m256i found = _mm256_setzero_si256();
    for (int i = 0; i < 8; i++) {
      __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&chained[16 * i]));
      found = _mm256_xor_si256(found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(part), x));
      x = _mm256_sub_epi8(x, _mm256_set1_epi8(16));
    }
    return found;
  }

  __attribute__((target("avx2"))) uint32_t cuts32_avx2(const uint8_t* p) const {
    const __m256i low = _mm256_set1_epi8(0x7F);
    __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p - 1));
    __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    __m256i before = look_up_avx2(chained_before_, _mm256_and_si256(x, low));
    __m256i after = look_up_avx2(chained_after_, _mm256_and_si256(y, low));
    if (_mm256_movemask_epi8(_mm256_or_si256(x, y))) {  // not all are ASCII
      __m256i mark = _mm256_cmpeq_epi8(x, _mm256_set1_epi8(char(0x81)));
      __m256i lead = _mm256_cmpeq_epi8(_mm256_max_epu8(y, _mm256_set1_epi8(char(0xC0))), y);
      before = _mm256_blendv_epi8(before, _mm256_set1_epi8(char(before_[0x80])), x);
      before = _mm256_andnot_si256(mark, before);
      after = _mm256_blendv_epi8(after, _mm256_and_si256(lead, _mm256_set1_epi8(char(after_[0xFF]))), y);
    }
    __m256i none = _mm256_cmpeq_epi8(_mm256_and_si256(before, after), _mm256_setzero_si256());
    return ~uint32_t(_mm256_movemask_epi8(none));
  }

  __attribute__((target("avx2"))) uint32_t* find64_avx2(const uint8_t* p, uint64_t asked, uint32_t base,
                                                        uint32_t* out) const {
    uint64_t cuts = cuts32_avx2(p) | uint64_t(cuts32_avx2(p + 32)) << 32;
    return write_places(cuts & asked, base, out);
  }
#endif

#if SPM_NEON
  // Two registers of four times 16 bytes hold a table; an index beyond one finds zero there.
  static uint8x16_t look_up_neon(const std::array<uint8_t, 256>& table, uint8x16_t x) {
    uint8x16_t low = vqtbl4q_u8(vld1q_u8_x4(&table[0]), x);
    return vorrq_u8(low, vqtbl4q_u8(vld1q_u8_x4(&table[64]), vsubq_u8(x, vdupq_n_u8(64))));
  }

  uint32_t cuts16_neon(const uint8_t* p) const {
    uint8x16_t x = vld1q_u8(p - 1), y = vld1q_u8(p);
    uint8x16_t ends_other = vbicq_u8(vcgeq_u8(x, vdupq_n_u8(0x80)), vceqq_u8(x, vdupq_n_u8(0x81)));
    uint8x16_t leads_other = vcgeq_u8(y, vdupq_n_u8(0xC0));
    uint8x16_t before = vorrq_u8(look_up_neon(before_, x), vandq_u8(ends_other, vdupq_n_u8(before_[0x80])));
    uint8x16_t after = vorrq_u8(look_up_neon(after_, y), vandq_u8(leads_other, vdupq_n_u8(after_[0xFF])));
    const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
    uint8x16_t cut = vandq_u8(vtstq_u8(before, after), bits);
    return uint32_t(vaddv_u8(vget_low_u8(cut))) | uint32_t(vaddv_u8(vget_high_u8(cut))) << 8;
  }

  uint32_t* find64_neon(const uint8_t* p, uint64_t asked, uint32_t base, uint32_t* out) const {
    uint64_t cuts = 0;
    for (int part = 0; part < 4; part++) cuts |= uint64_t(cuts16_neon(p + 16 * part)) << 16 * part;
    return write_places(cuts & asked, base, out);
  }
#endif

  std::array<uint8_t, 256> before_{}, after_{};
  std::array<uint8_t, 128> chained_before_{}, chained_after_{};
  Find64 find64_;
};

}  // namespace spm
