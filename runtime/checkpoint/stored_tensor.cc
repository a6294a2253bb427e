#include "runtime/checkpoint/stored_tensor.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "kernels/check.h"

namespace herd::model {
namespace {

constexpr std::int64_t kBatchBytes = 256 << 10;  // what is read at a time stays in the cache until it is expanded

// Half-split row h·D + i is interleaved row h·D + 2i, row h·D + D/2 + i is row h·D + 2i + 1, for i < D/2.
std::int64_t interleaved_index(std::int64_t row, std::int64_t head_dim) {
  const std::int64_t in_head = row % head_dim;
  const std::int64_t half = head_dim / 2;
  return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

// The columns of a row that are read: whole blocks, the whole row when most of it is wanted.
struct ColumnWindow {
  std::int64_t first = 0;  // column
  std::int64_t offset = 0;  // bytes from the begin of a row
  std::int64_t bytes = 0;
};

ColumnWindow window_of(RowEncoding encoding, std::int64_t stride, std::int64_t col_begin, std::int64_t col_end) {
  const std::int64_t elements = block_elements(encoding);
  ColumnWindow window;
  window.first = col_begin / elements * elements;
  window.offset = row_bytes(encoding, window.first);
  window.bytes = row_bytes(encoding, (col_end + elements - 1) / elements * elements) - window.offset;
  if (window.bytes * 2 > stride) window = {0, 0, stride};
  return window;
}

std::span<std::byte> raw(float* values, std::int64_t count) {
  return std::as_writable_bytes(std::span(values, static_cast<std::size_t>(count)));
}

// A vector in interleaved order is as short as one row of a matrix.
Status read_interleaved_vector(const StoredTensor& tensor, std::int64_t head_dim, std::int64_t begin, std::int64_t end,
                               float* out) {
  std::vector<std::byte> stored(static_cast<std::size_t>(row_bytes(*tensor.encoding, tensor.info.cols)));
  if (Status status = tensor.bytes->read(tensor.begin, stored); !status.ok()) return status;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int64_t at = interleaved_index(i, head_dim);
    expand_row(*tensor.encoding, stored.data(), at, at + 1, out++);
  }
  return {};
}

}  // namespace

std::string StoredTensor::where() const {
  return info.file + ": " + info.name + (info.source_name == info.name ? "" : " (" + info.source_name + ")") + ": ";
}

Status StoredTensor::not_readable() const {
  return bad_input(where() + "type " + info.encoding + " is not supported yet");
}

Status StoredTensor::read_rows(int head_dim, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                               std::int64_t col_end, float* out) const {
  if (!encoding) return not_readable();
  HERD_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= info.rows, "rows lie inside the tensor");
  HERD_CHECK(0 <= col_begin && col_begin <= col_end && col_end <= info.cols, "columns lie inside the tensor");
  if (row_begin == row_end || col_begin == col_end) return {};
  const std::int64_t permuted = shape.size() == 1 ? info.cols : info.rows;
  if (interleaved && permuted % head_dim != 0) return bad_input(where() + "is not made of whole heads");
  if (interleaved && shape.size() == 1) return read_interleaved_vector(*this, head_dim, col_begin, col_end, out);

  const std::int64_t stride = row_bytes(*encoding, info.cols);
  const bool whole = col_begin == 0 && col_end == info.cols;
  if (whole && *encoding == RowEncoding::kFloat32 && !interleaved) {  // the bytes are the floats
    return bytes->read(begin + static_cast<std::uint64_t>(row_begin * stride),
                       raw(out, (row_end - row_begin) * info.cols));
  }
  const ColumnWindow window = window_of(*encoding, stride, col_begin, col_end);
  const std::int64_t rows_at_once = interleaved ? head_dim : std::max<std::int64_t>(1, kBatchBytes / window.bytes);
  std::vector<std::byte> batch(static_cast<std::size_t>(std::min(rows_at_once, info.rows) * window.bytes));
  for (std::int64_t row = row_begin; row < row_end;) {
    const std::int64_t next = std::min(row_end, (interleaved ? row - row % head_dim : row) + rows_at_once);
    std::int64_t first = row, end = next;  // stored rows
    if (interleaved) {                     // of the two halves of a head in turn
      first = end = interleaved_index(row, head_dim);
      for (std::int64_t each = row; each < next; ++each) {
        first = std::min(first, interleaved_index(each, head_dim));
        end = std::max(end, interleaved_index(each, head_dim) + 1);
      }
    }
    const std::int64_t fetched = end - first;
    const std::uint64_t at = begin + static_cast<std::uint64_t>(first * stride + window.offset);
    if (window.bytes == stride) {
      Status status = bytes->read(at, std::span(batch).first(static_cast<std::size_t>(fetched * stride)));
      if (!status.ok()) return status;
    } else {
      for (std::int64_t i = 0; i < fetched; ++i) {
        const auto into = std::span(batch).subspan(static_cast<std::size_t>(i * window.bytes),
                                                   static_cast<std::size_t>(window.bytes));
        if (Status status = bytes->read(at + static_cast<std::uint64_t>(i * stride), into); !status.ok()) return status;
      }
    }
    for (; row < next; ++row) {
      const std::int64_t stored = interleaved ? interleaved_index(row, head_dim) : row;
      expand_row(*encoding, batch.data() + (stored - first) * window.bytes, col_begin - window.first,
                 col_end - window.first, out);
      out += col_end - col_begin;
    }
  }
  return {};
}

std::optional<DType> StoredTensor::stored_type() const {
  if (interleaved) return std::nullopt;
  if (encoding == RowEncoding::kBFloat16) return DType::kBF16;
  if (encoding == RowEncoding::kFloat16) return DType::kF16;
  return std::nullopt;
}

Status StoredTensor::read_stored_rows(std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                      std::int64_t col_end, std::byte* out) const {
  HERD_CHECK(stored_type().has_value(), "the elements lie in the file as they are asked for");
  HERD_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= info.rows, "rows lie inside the tensor");
  HERD_CHECK(0 <= col_begin && col_begin <= col_end && col_end <= info.cols, "columns lie inside the tensor");
  const std::int64_t stride = row_bytes(*encoding, info.cols);
  const auto width = static_cast<std::size_t>(row_bytes(*encoding, col_end - col_begin));
  const std::uint64_t first = begin + static_cast<std::uint64_t>(row_begin * stride + row_bytes(*encoding, col_begin));
  const auto rows = static_cast<std::size_t>(row_end - row_begin);
  if (col_begin == 0 && col_end == info.cols) return bytes->read(first, std::span(out, rows * width));
  for (std::size_t row = 0; row < rows; ++row) {
    Status status = bytes->read(first + row * static_cast<std::uint64_t>(stride), std::span(out + row * width, width));
    if (!status.ok()) return status;
  }
  return {};
}

Expected<bool> same_values(const StoredTensor& a, const StoredTensor& b) {
  if (a.shape != b.shape || a.interleaved != b.interleaved) return false;
  if (a.encoding == b.encoding && a.info.encoding == b.info.encoding) {
    if (a.info.bytes != b.info.bytes) return false;
    std::vector<std::byte> ours(kBatchBytes);
    std::vector<std::byte> theirs(kBatchBytes);
    for (std::uint64_t at = 0; at < a.info.bytes; at += kBatchBytes) {
      const std::size_t count = std::min<std::uint64_t>(kBatchBytes, a.info.bytes - at);
      Status status = a.bytes->read(a.begin + at, std::span(ours).first(count));
      if (status.ok()) status = b.bytes->read(b.begin + at, std::span(theirs).first(count));
      if (!status.ok()) return fail(std::move(status));
      if (std::memcmp(ours.data(), theirs.data(), count) != 0) return false;
    }
    return true;
  }
  if (!a.encoding || !b.encoding) return false;
  StoredTensor first = a;  // both lie in one order of heads, and the rows are compared as they lie
  StoredTensor second = b;
  first.interleaved = second.interleaved = false;
  const auto count = static_cast<std::size_t>(a.info.cols);
  std::vector<float> ours(count);
  std::vector<float> theirs(count);
  for (std::int64_t row = 0; row < a.info.rows; ++row) {
    Status status = first.read_rows(1, row, row + 1, 0, a.info.cols, ours.data());
    if (status.ok()) status = second.read_rows(1, row, row + 1, 0, b.info.cols, theirs.data());
    if (!status.ok()) return fail(std::move(status));
    if (std::memcmp(ours.data(), theirs.data(), count * sizeof(float)) != 0) return false;
  }
  return true;
}

}  // namespace herd::model
