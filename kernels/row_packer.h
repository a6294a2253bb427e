#pragma once
// RowPacker: weights packed by all threads of a device. Each thread reads the rows that it packs, a few at a time, so that they
// are still in its cache. Panels are parted among the threads as a product of few rows reads them.

#include <cstdint>

#include "kernels/status.h"
#include "kernels/tensor_view.h"

namespace herd {

// The rows of a matrix that is being packed. Several threads read at once.
class RowReader {
 public:
  virtual ~RowReader() = default;
  // Of the elements that read() writes: kF32, or the matrix's own format.
  [[nodiscard]] virtual WeightFormat format() const = 0;
  // Rows [row, row + rows) × w.k elements, tightly packed, to `out`; of blocks stored_row_bytes(w) a row (packed_blocks.h).
  // `thread` 0 is the one that called pack().
  [[nodiscard]] virtual Status read(std::int64_t row, std::int64_t rows, int thread, void* out) = 0;
};

class RowPacker {
 public:
  virtual ~RowPacker() = default;
  // All of w, as Ops::pack_rows or pack_blocks would pack the same values. A reader's error ends it; of several, the lowest
  // thread's is given.
  [[nodiscard]] virtual Status pack(const PackedMatrix& w, RowReader& reader) = 0;
};

}  // namespace herd
