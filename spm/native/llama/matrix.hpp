// Weights (O, I), as quantised as the file has them: packed to panels when they are loaded, or left where the
// file is mapped and packed panel by panel each time they are used.
#pragma once

#include <cstring>
#include <span>

#include "checks.hpp"
#include "kernels.hpp"
#include "memory.hpp"

namespace spm::llama {

class Matrix {
 public:
  // Room for panels; `pack` fills them.
  Matrix(const Kernels& kernels, Type type, size_t rows, size_t cols)
      : type(type),
        rows(rows),
        cols(cols),
        row_bytes(bytes_of_row(type, rows, cols)),
        kernels_(&kernels),
        packed_(allocate(times(panels(), panel_bytes()))) {}

  // Weights that stay in `mapped`, which are the file's own rows.
  Matrix(const Kernels& kernels, Type type, size_t rows, size_t cols, std::span<const uint8_t> mapped)
      : type(type),
        rows(rows),
        cols(cols),
        row_bytes(bytes_of_row(type, rows, cols)),
        kernels_(&kernels),
        mapped_(mapped.data()) {
    require(mapped.size() == times(rows, row_bytes), "bytes that are not a matrix's");
  }

  Type type;
  size_t rows, cols, row_bytes;

  bool floating() const { return type == Type::f32 || type == Type::f16 || type == Type::bf16; }
  size_t panels() const { return (rows - 1) / kernels_->lanes + 1; }
  size_t panel_bytes() const { return times(kernels_->lanes, row_bytes); }
  bool is_mapped() const { return mapped_; }

  // Packs panel i out of the file's rows, of which `source` holds the panel's own.
  void pack(size_t i, const uint8_t* source) {
    kernels_->pack(type, source, rows_of(i), row_bytes, packed_.get() + i * panel_bytes());
  }

  // Panels i, i + 1, ... as `multiply` reads them; n of them packed into `space` if the weights are mapped.
  const uint8_t* panel(size_t i, size_t n, uint8_t* space) const {
    if (!mapped_) return packed_.get() + i * panel_bytes();
    for (size_t j = 0; j < n; j++)
      kernels_->pack(type, mapped_ + (i + j) * panel_bytes(), rows_of(i + j), row_bytes,
                     space + j * panel_bytes());
    return space;
  }

  // How many rows panel i has, and the first of them.
  size_t rows_of(size_t panel) const {
    const size_t first = panel * kernels_->lanes;
    return rows - first < kernels_->lanes ? rows - first : kernels_->lanes;
  }

 private:
  static size_t bytes_of_row(Type type, size_t rows, size_t cols) {
    const Layout layout = layout_of(type);
    require(layout.values && rows && cols && cols % layout.values == 0, "a matrix's shape");
    return times(cols / layout.values, layout.bytes);
  }

  const Kernels* kernels_;
  Memory packed_;
  const uint8_t* mapped_ = nullptr;
};

}  // namespace spm::llama
