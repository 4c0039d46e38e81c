// The operations of ops/__init__.py on one processor: kernels, threads, and memory for what passes between
// them.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <mutex>
#include <span>

#include "checks.hpp"
#include "kernels.hpp"
#include "kv_store.hpp"
#include "matrix.hpp"
#include "pool.hpp"
#include "rows.hpp"

namespace spm::llama {

struct Segment {
  KVStore* store;
  size_t start, T;
};

// A matrix, and what is added to its products, or nullptr.
struct Weights {
  const Matrix* matrix;
  const Rows* bias;
};

class Engine {
 public:
  static constexpr size_t kMostThreads = 4096;

  Engine(const Kernels& kernels, size_t threads)
      : kernels(kernels),
        pool_(checked(threads)),
        scratch_(threads),
        recycler_(std::make_shared<Recycler>()) {}

  const Kernels& kernels;
  size_t threads() const { return pool_.threads(); }
  Rows rows(size_t T, size_t n) { return Rows(*recycler_, T, n); }

  KVStore kv_store(Kept kept, size_t n_layers, size_t n_kv_heads, size_t head_dim) {
    return KVStore(kernels.lanes, kept, n_layers, n_kv_heads, head_dim);
  }

  // Rows first_row, first_row + 1, ... of the file to their panels: whole panels, or up to the last row.
  void pack(Matrix& matrix, size_t first_row, std::span<const uint8_t> source) {
    const size_t first = first_row / kernels.lanes, rows = source.size() / matrix.row_bytes;
    require(!matrix.is_mapped() && first_row % kernels.lanes == 0 && source.size() % matrix.row_bytes == 0 &&
                first_row <= matrix.rows && rows <= matrix.rows - first_row &&
                (rows % kernels.lanes == 0 || rows == matrix.rows - first_row),
            "rows to pack");
    const size_t panels = (source.size() + matrix.panel_bytes() - 1) / matrix.panel_bytes();
    in_parts(panels, 1, [&](size_t from, size_t to, size_t) {
      for (size_t i = from; i < to; i++) matrix.pack(first + i, source.data() + i * matrix.panel_bytes());
    });
  }

  // All rows, out of an open file from byte `offset` on. False if the file ends before they do, or cannot be
  // read.
  bool pack_file(Matrix& matrix, int file, uint64_t offset) {
    require(!matrix.is_mapped(), "rows to pack");
    std::atomic<bool> whole = true;
    in_parts(matrix.panels(), 1, [&](size_t from, size_t to, size_t thread) {
      const size_t panel = matrix.panel_bytes(), at_once = std::min(to - from, kReadBytes / panel + 1);
      uint8_t* rows = scratch(thread, at_once * panel);
      for (size_t i = from; i < to && whole; i += at_once) {
        const size_t end = std::min(to, i + at_once), last = end - 1;
        const size_t bytes = (last - i) * panel + matrix.rows_of(last) * matrix.row_bytes;
        whole = whole && read_all(file, rows, bytes, offset + i * panel);
        for (size_t j = i; j < end && whole; j++) matrix.pack(j, rows + (j - i) * panel);
      }
    });
    return whole;
  }

  Rows embed(const Matrix& matrix, std::span<const int64_t> ids) {
    pool_.survive_fork();  // every pass begins here
    for (int64_t id : ids) require(id >= 0 && size_t(id) < matrix.rows, "an id");
    Rows y = rows(ids.size(), matrix.cols);
    in_parts(y.T, 4, [&](size_t from, size_t to, size_t thread) {
      uint8_t* space = scratch(thread, matrix.panel_bytes());
      for (size_t t = from; t < to; t++)
        kernels.unpack(matrix.type, matrix.panel(ids[t] / kernels.lanes, 1, space), ids[t] % kernels.lanes,
                       matrix.cols, y.row(t));
    });
    return y;
  }

  Rows take(const Rows& x, std::span<const int64_t> which) {
    Rows y = rows(which.size(), x.n);
    for (size_t t = 0; t < y.T; t++) {
      require(which[t] >= 0 && size_t(which[t]) < x.T, "a row");
      std::copy_n(x.row(which[t]), x.n, y.row(t));
    }
    return y;
  }

  // The products of the same rows with several matrices, of which each may have a bias.
  std::vector<Rows> linears(Rows& x, std::span<const Weights> weights) {
    std::vector<Rows> products;
    std::vector<size_t> ends;  // of each matrix's panels, were all matrices one
    require(!weights.empty(), "no weights");
    for (const auto& [w, bias] : weights) {
      require(x.n == w->cols && (!bias || (bias->T == 1 && bias->n == w->rows)), "a product's shapes");
      if (!w->floating() && !x.rounded) x.rounded = round(x);
      products.push_back(rows(x.T, w->rows));
      ends.push_back(w->panels() + (ends.empty() ? 0 : ends.back()));
    }
    in_parts(ends.back(), panels_per_part(*weights[0].matrix), [&](size_t from, size_t to, size_t thread) {
      for (size_t i = 0, begin = 0; i < weights.size(); begin = ends[i++])
        if (from < ends[i] && to > begin)
          multiply(x, weights[i], std::max(from, begin) - begin, std::min(to, ends[i]) - begin, products[i],
                   thread);
    });
    return products;
  }

  Rows linear(Rows& x, const Matrix& w, const Rows* bias) {
    const Weights weights = {&w, bias};
    return std::move(linears(x, {&weights, 1})[0]);
  }

  // x as products with quantised weights see it: rounded to int8, and back.
  Rows rounded(const Rows& x) {
    const RoundedRows found = round(x);
    return by_row(x, x.n, [&](size_t t, float* y) {
      for (size_t i = t * x.n; i < (t + 1) * x.n; i++)
        *y++ = found.rounded.d[i / kRoundedGroup] * found.rounded.q[i];
    });
  }

  Rows add(const Rows& a, const Rows& b) {
    require(a.T == b.T && a.n == b.n, "a sum's shapes");
    return by_row(a, a.n, [&](size_t t, float* y) { kernels.add(a.row(t), b.row(t), a.n, y); });
  }

  Rows rms_norm(const Rows& x, const Rows& weight, float eps) {
    require(weight.T == 1 && weight.n == x.n, "a norm's shapes");
    return by_row(x, x.n,
                  [&](size_t t, float* y) { kernels.rms_norm(x.row(t), weight.row(0), eps, x.n, y); });
  }

  Rows swiglu(const Rows& gate, const Rows& up) {
    require(gate.T == up.T && gate.n == up.n, "a gate's shapes");
    return by_row(gate, gate.n,
                  [&](size_t t, float* y) { kernels.swiglu(gate.row(t), up.row(t), gate.n, y); });
  }

  // angles (T, head_dim): a cosine and a sine for each pair.
  Rows rope(const Rows& x, const Rows& angles) {
    require(angles.T == x.T && angles.n && angles.n % 2 == 0 && x.n % angles.n == 0, "angles' shapes");
    return by_row(x, x.n, [&](size_t t, float* y) {
      kernels.rope(x.row(t), angles.row(t), x.n / angles.n, angles.n, y);
    });
  }

  Rows attention(const Rows& q, const Rows& k, const Rows& v, size_t layer,
                 const std::vector<Segment>& segments) {
    require(!segments.empty(), "a segment");
    const size_t d = segments[0].store->head_dim, K = segments[0].store->n_kv_heads, group = q.n / (K * d);
    size_t rows_in_all = 0;
    bool one_row_each = true;
    for (const Segment& s : segments) {
      require(layer < s.store->layers() && s.store->head_dim == d && s.store->n_kv_heads == K &&
                  s.T <= s.store->capacity() && s.start <= s.store->capacity() - s.T,
              "a segment's store");
      rows_in_all += s.T;
      one_row_each &= s.T <= 1;
    }
    require(
        q.T == rows_in_all && k.T == q.T && v.T == q.T && k.n == K * d && v.n == k.n && q.n == group * K * d,
        "attention's shapes");
    const auto keep = [&](const Segment& s, size_t head, size_t t, size_t row) {
      kernels.keep(s.store->head(layer, head), s.start + t, k.row(row) + head * d, v.row(row) + head * d);
    };
    if (!one_row_each)
      for_heads(segments, K,
                [&](const Segment& s, size_t head, size_t t, size_t row, size_t) { keep(s, head, t, row); });
    Rows y = rows(q.T, q.n);
    for_heads(segments, K, [&](const Segment& s, size_t head, size_t t, size_t row, size_t thread) {
      if (one_row_each) keep(s, head, t, row);  // nobody else needs what it keeps
      const size_t n = s.start + t + 1, at = head * group * d;
      float* scores =
          reinterpret_cast<float*>(scratch(thread, 8 * rounded_up(n, kMostLanes) * sizeof(float)));
      kernels.attend(s.store->head(layer, head), n, q.row(row) + at, group, y.row(row) + at, scores);
    });
    return y;
  }

 private:
  static constexpr size_t kMappedPanels = 2;
  static constexpr size_t kPartBytes = 64 << 10;  // of weights: a part worth taking
  static constexpr size_t kReadBytes = 2 << 20;   // of a file at a time: shorter reads cost the system more
  static constexpr size_t kRowsToShare = 8;       // fewer are done here and now
  static constexpr size_t kMostSmallParts = 1 << 15;

  static size_t checked(size_t threads) {
    require(threads >= 1 && threads <= kMostThreads, "so many threads");
    return threads;
  }

  // How n is cut into parts of a multiple of `unit`: first one for each thread, that are half of all, then
  // small ones, so that nobody waits long for the last. 100 in twos for 2 threads: 24 24, then 8 8 8 8 8 8 4.
  struct Cuts {
    size_t n, threads, large, small;

    static Cuts of(size_t n, size_t unit, size_t threads) {
      const size_t large = n / (2 * threads) / unit * unit, rest = n - large * threads;
      const size_t least = std::max(rest / (4 * threads), rest / kMostSmallParts) + 1;
      return {n, threads, large, rounded_up(least, unit)};
    }
    size_t first_small() const { return large ? threads : 0; }
    size_t parts() const { return first_small() + (n - large * threads + small - 1) / small; }
    size_t begin(size_t part) const {
      if (part < first_small()) return part * large;
      return std::min(n, large * threads + (part - first_small()) * small);
    }
  };

  // job(from, to, thread) over 0 .. n. What a job throws is thrown here, once all is over: memory may run out
  // in any of them.
  template <class Job>
  void in_parts(size_t n, size_t unit, const Job& job) {
    const Cuts cuts = Cuts::of(n, unit, threads());
    std::mutex failing;
    std::exception_ptr failure;
    pool_.run(cuts.parts(), [&](size_t part, size_t thread) {
      try {
        job(cuts.begin(part), cuts.begin(part + 1), thread);
      } catch (...) {
        std::lock_guard lock(failing);
        failure = std::current_exception();
      }
    });
    if (failure) std::rethrow_exception(failure);
  }

  // An even number, so that panels are unpacked in pairs.
  size_t panels_per_part(const Matrix& w) const { return rounded_up(kPartBytes / w.panel_bytes() + 1, 2); }

  // row(t) for each t < T: few of them here and now.
  template <class Row>
  void for_rows(size_t T, const Row& row) {
    const auto some = [&](size_t from, size_t to, size_t) {
      for (size_t t = from; t < to; t++) row(t);
    };
    if (T < kRowsToShare)
      some(0, T, 0);
    else
      in_parts(T, 1, some);
  }

  // Rows (T, n) of which row(t, y) writes each.
  template <class Row>
  Rows by_row(const Rows& like, size_t n, const Row& row) {
    Rows y = rows(like.T, n);
    for_rows(y.T, [&](size_t t) { row(t, y.row(t)); });
    return y;
  }

  // job(segment, head, t, row, thread) for every row of every head; a part is up to 16 rows of a head.
  template <class Job>
  void for_heads(const std::vector<Segment>& segments, size_t heads, const Job& job);

  RoundedRows round(const Rows& x);

  // Panels from .. to of a product.
  void multiply(const Rows& x, const Weights& weights, size_t from, size_t to, Rows& y, size_t thread) {
    const Matrix& w = *weights.matrix;
    const size_t of_kernel = rounded_up(kernels.scratch_bytes(w.cols), 64);
    const size_t most = w.is_mapped() ? kMappedPanels : to - from;
    uint8_t* space = scratch(thread, of_kernel + (w.is_mapped() ? most * w.panel_bytes() : 0));
    for (size_t i = from; i < to; i += most) {
      const size_t n = std::min(most, to - i);
      kernels.multiply(w.type, w.panel(i, n, space + of_kernel), n, w.cols, x.floats(),
                       x.rounded ? x.rounded->rounded : Rounded{}, x.T, y.row(0) + i * kernels.lanes,
                       y.stride, space);
    }
    if (weights.bias) add_bias(y, *weights.bias, from * kernels.lanes, std::min(to * kernels.lanes, y.n));
  }

  // False if the file ends before so many bytes are read, or fails.
  static bool read_all(int file, uint8_t* to, size_t bytes, uint64_t offset) {
    while (bytes) {
      const ssize_t found = pread(file, to, bytes, off_t(offset));
      if (found < 0 && errno == EINTR) continue;
      if (found <= 0) return false;
      to += found, bytes -= size_t(found), offset += uint64_t(found);
    }
    return true;
  }

  static void add_bias(Rows& y, const Rows& bias, size_t from, size_t to) {
    for (size_t t = 0; t < y.T; t++)
      for (size_t i = from; i < to; i++) y.row(t)[i] += bias.row(0)[i];
  }

  // A thread's own, aligned to 64.
  uint8_t* scratch(size_t thread, size_t bytes) {
    Scratch& own = scratch_[thread];
    if (own.size < bytes) own = {bytes, allocate(bytes)};
    return own.memory.get();
  }

  struct alignas(64) Scratch {
    size_t size = 0;
    Memory memory;
  };

  Pool pool_;
  std::vector<Scratch> scratch_;
  std::shared_ptr<Recycler> recycler_;
};

inline RoundedRows Engine::round(const Rows& x) {
  require(x.n % kRoundedGroup == 0, "rows that are no multiple of 32");
  const size_t groups = x.T * (x.n / kRoundedGroup);
  auto memory = recycler_->get(x.T * x.n + 7 * groups * sizeof(float));
  auto d = reinterpret_cast<float*>(memory.get() + x.T * x.n);
  auto sum32 = reinterpret_cast<int32_t*>(d + groups), sum16 = sum32 + groups;
  auto d_sum32 = reinterpret_cast<float*>(sum16 + 2 * groups), d_sum16 = d_sum32 + groups;
  const Rounded to = {reinterpret_cast<int8_t*>(memory.get()), d, sum32, sum16, d_sum32, d_sum16};
  for_rows(x.T, [&](size_t t) { kernels.round(x.row(t), x.n, to.row(t, x.n)); });
  return {std::move(memory), to};
}

template <class Job>
void Engine::for_heads(const std::vector<Segment>& segments, size_t heads, const Job& job) {
  constexpr size_t size = 16;
  struct Part {
    const Segment* segment;
    size_t head, from, to, row;
  };
  std::vector<Part> parts;
  size_t row = 0;
  for (const Segment& s : segments) {
    for (size_t head = 0; head < heads; head++)
      for (size_t from = 0; from < s.T; from += size)
        parts.push_back({&s, head, from, std::min(s.T, from + size), row + from});
    row += s.T;
  }
  in_parts(parts.size(), 1, [&](size_t from, size_t to, size_t thread) {
    for (size_t i = from; i < to; i++)
      for (size_t t = parts[i].from; t < parts[i].to; t++)
        job(*parts[i].segment, parts[i].head, t, parts[i].row + t - parts[i].from, thread);
  });
}

}  // namespace spm::llama
