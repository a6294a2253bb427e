#pragma once
// StackedRows: the rows of tensors that are stacked in one matrix, as threads ask for them while the matrix is packed.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/row_packer.h"
#include "runtime/model/weight_source.h"
#include "runtime/model/weights_digest.h"

namespace herd::model {

// Rows [row_begin, row_end) of one source tensor, stacked with others in one matrix.
struct Segment {
  std::string name;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  const LeafCut* cut = nullptr;  // null: whole on every rank
  WeightFormat format = WeightFormat::kF32;  // of the matrix it becomes part of
};

// Rows [first, first + rows) of a segment's tensor.
struct SegmentPart {
  const Segment* segment = nullptr;
  std::int64_t first = 0;
  std::int64_t rows = 0;
};
// What rows [row, row + rows) of the stack are made of, from above.
[[nodiscard]] std::vector<SegmentPart> parts_of(std::span<const Segment> segments, std::int64_t row, std::int64_t rows);

// Columns [col_begin, col_begin + k) of every segment, in the matrix's format where the source holds every segment so, else as
// floats. What is referred to outlives it.
class StackedRows final : public RowReader {
 public:
  // `on_read` is told how many more rows are read, on the calling thread (0) alone: those of all threads since the last time.
  StackedRows(const WeightSource& source, std::span<const Segment> segments, std::int64_t col_begin,
              const PackedMatrix& matrix, std::function<void(std::int64_t)> on_read);

  [[nodiscard]] WeightFormat format() const override { return format_; }
  [[nodiscard]] Status read(std::int64_t row, std::int64_t rows, int thread, void* out) override;

  // Names of segments in which a NaN or infinity was read, from above. When no thread reads any more.
  [[nodiscard]] std::vector<std::string> non_finite() const;
  // Rows read that on_read was not told of yet.
  [[nodiscard]] std::int64_t take_untold() { return untold_.exchange(0); }

 private:
  [[nodiscard]] Status read_part(const SegmentPart& part, void* out) const;

  const WeightSource& source_;
  const std::span<const Segment> segments_;
  const std::int64_t col_begin_;
  const std::int64_t k_;
  const WeightFormat format_;
  const std::int64_t row_bytes_;
  const std::function<void(std::int64_t)> on_read_;
  const std::unique_ptr<std::atomic<bool>[]> found_;  // of each segment: something that is not finite
  std::atomic<std::int64_t> untold_{0};
};

}  // namespace herd::model
