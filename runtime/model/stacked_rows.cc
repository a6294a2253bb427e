#include "runtime/model/stacked_rows.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace herd::model {
namespace {

DType common_type(const WeightSource& source, std::span<const Segment> segments, DType wanted) {
  const bool stored_so = wanted != DType::kF32 && std::all_of(segments.begin(), segments.end(), [&](const Segment& segment) {
                           return source.stored_format(segment.name) == format_of(wanted);
                         });
  return stored_so ? wanted : DType::kF32;
}

}  // namespace

std::vector<SegmentPart> parts_of(std::span<const Segment> segments, std::int64_t row, std::int64_t rows) {
  std::vector<SegmentPart> parts;
  std::int64_t origin = 0;
  for (const Segment& segment : segments) {
    const std::int64_t size = segment.row_end - segment.row_begin;
    const std::int64_t begin = std::max(row, origin);
    const std::int64_t end = std::min(row + rows, origin + size);
    if (begin < end) parts.push_back({&segment, segment.row_begin + begin - origin, end - begin});
    origin += size;
  }
  return parts;
}

StackedRows::StackedRows(const WeightSource& source, std::span<const Segment> segments, std::int64_t col_begin,
                         const PackedMatrix& matrix, std::function<void(std::int64_t)> on_read)
    : source_(source),
      segments_(segments),
      col_begin_(col_begin),
      k_(matrix.k),
      type_(common_type(source, segments, matrix.dtype)),
      on_read_(std::move(on_read)),
      found_(std::make_unique<std::atomic<bool>[]>(segments.size())) {}

Status StackedRows::read(std::int64_t row, std::int64_t rows, int thread, void* out) {
  for (const SegmentPart& part : parts_of(segments_, row, rows)) {
    if (Status status = read_part(part, out); !status.ok()) return status;
    const auto elements = static_cast<std::size_t>(part.rows * k_);
    if (has_non_finite(format_of(type_), out, elements)) found_[static_cast<std::size_t>(part.segment - segments_.data())] = true;
    out = static_cast<std::byte*>(out) + elements * dtype_bytes(type_);
  }
  untold_ += rows;
  if (thread == 0) on_read_(take_untold());
  return {};
}

Status StackedRows::read_part(const SegmentPart& part, void* out) const {
  const std::int64_t end = part.first + part.rows;
  if (type_ != DType::kF32)
    return source_.read_stored_rows(part.segment->name, part.first, end, col_begin_, col_begin_ + k_, out);
  return source_.read_rows(part.segment->name, part.first, end, col_begin_, col_begin_ + k_, static_cast<float*>(out));
}

std::vector<std::string> StackedRows::non_finite() const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < segments_.size(); ++i)
    if (found_[i]) names.push_back(segments_[i].name);
  return names;
}

}  // namespace herd::model
