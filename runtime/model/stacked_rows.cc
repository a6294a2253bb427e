#include "runtime/model/stacked_rows.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "kernels/check.h"

namespace herd::model {
namespace {

WeightFormat common_format(const WeightSource& source, std::span<const Segment> segments, WeightFormat wanted) {
  const bool stored_so = std::all_of(segments.begin(), segments.end(),
                                     [&](const Segment& segment) { return source.stored_format(segment.name) == wanted; });
  HERD_CHECK(stored_so || !is_quantized(wanted), "blocks are taken as they are stored");
  return stored_so ? wanted : WeightFormat::kF32;
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
      format_(common_format(source, segments, matrix.format)),
      row_bytes_(stored_row_bytes(format_, col_begin, col_begin + matrix.k)),
      on_read_(std::move(on_read)),
      found_(std::make_unique<std::atomic<bool>[]>(segments.size())) {}

Status StackedRows::read(std::int64_t row, std::int64_t rows, int thread, void* out) {
  for (const SegmentPart& part : parts_of(segments_, row, rows)) {
    if (Status status = read_part(part, out); !status.ok()) return status;
    const auto bytes = static_cast<std::size_t>(part.rows * row_bytes_);
    if (has_non_finite(format_, out, bytes / static_cast<std::size_t>(block_bytes(format_))))
      found_[static_cast<std::size_t>(part.segment - segments_.data())] = true;
    out = static_cast<std::byte*>(out) + bytes;
  }
  untold_ += rows;
  if (thread == 0) on_read_(take_untold());
  return {};
}

Status StackedRows::read_part(const SegmentPart& part, void* out) const {
  const std::int64_t end = part.first + part.rows;
  if (source_.stored_format(part.segment->name) == format_)
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
