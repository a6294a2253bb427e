#include "runtime/checkpoint/stored_tensor.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "kernels/check.h"
#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/checkpoint/gguf_tensor_names.h"

namespace herd::model {
namespace {

constexpr std::int64_t kBatchBytes = 256 << 10;  // what is read at a time stays in the cache until it is expanded

// The columns of a row that are read: whole blocks, the whole row when most of it is wanted.
struct ColumnWindow {
  std::int64_t first = 0;   // column
  std::int64_t offset = 0;  // bytes from the begin of a row
  std::int64_t bytes = 0;
};

ColumnWindow window_of(WeightFormat format, std::int64_t stride, std::int64_t col_begin, std::int64_t col_end) {
  ColumnWindow window;
  window.first = col_begin / block_elements(format) * block_elements(format);
  window.offset = row_bytes(format, window.first);
  window.bytes = stored_row_bytes(format, col_begin, col_end);
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

void check_inside(const TensorInfo& info, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                  std::int64_t col_end) {
  HERD_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= info.rows, "rows lie inside the tensor");
  HERD_CHECK(0 <= col_begin && col_begin <= col_end && col_end <= info.cols, "columns lie inside the tensor");
}

// Gives `take` the bytes of the window of every row, in Hugging Face's order. Interleaved rows are read a head at a time: the
// stored rows between the first and the last one wanted lie in one piece.
template <class Take>
Status fetch_rows(const StoredTensor& tensor, std::int64_t head_dim, std::int64_t row_begin, std::int64_t row_end,
                  const ColumnWindow& window, Take take) {
  const std::int64_t stride = row_bytes(*tensor.encoding, tensor.info.cols);
  const std::int64_t rows_at_once =
      tensor.interleaved ? head_dim : std::clamp<std::int64_t>(kBatchBytes / window.bytes, 1, row_end - row_begin);
  std::vector<std::byte> batch(static_cast<std::size_t>(rows_at_once * window.bytes));
  for (std::int64_t row = row_begin; row < row_end;) {
    const std::int64_t next = std::min(row_end, (tensor.interleaved ? row - row % head_dim : row) + rows_at_once);
    std::int64_t first = row, end = next;  // stored rows
    if (tensor.interleaved) {              // of the two halves of a head in turn
      first = end = interleaved_index(row, head_dim);
      for (std::int64_t each = row; each < next; ++each) {
        first = std::min(first, interleaved_index(each, head_dim));
        end = std::max(end, interleaved_index(each, head_dim) + 1);
      }
    }
    const std::int64_t fetched = end - first;
    const std::uint64_t at = tensor.begin + static_cast<std::uint64_t>(first * stride + window.offset);
    if (window.bytes == stride) {
      Status status = tensor.bytes->read(at, std::span(batch).first(static_cast<std::size_t>(fetched * stride)));
      if (!status.ok()) return status;
    } else {
      for (std::int64_t i = 0; i < fetched; ++i) {
        const auto into = std::span(batch).subspan(static_cast<std::size_t>(i * window.bytes),
                                                   static_cast<std::size_t>(window.bytes));
        Status status = tensor.bytes->read(at + static_cast<std::uint64_t>(i * stride), into);
        if (!status.ok()) return status;
      }
    }
    for (; row < next; ++row) {
      const std::int64_t stored = tensor.interleaved ? interleaved_index(row, head_dim) : row;
      take(batch.data() + (stored - first) * window.bytes);
    }
  }
  return {};
}

Status check_heads(const StoredTensor& tensor, std::int64_t head_dim) {
  const std::int64_t permuted = tensor.shape.size() == 1 ? tensor.info.cols : tensor.info.rows;
  if (tensor.interleaved && permuted % head_dim != 0) return bad_input(tensor.where() + "is not made of whole heads");
  return {};
}

}  // namespace

std::string StoredTensor::where() const {
  return info.file + ": " + info.name + (info.source_name == info.name ? "" : " (" + info.source_name + ")") + ": ";
}

Status StoredTensor::not_readable() const {
  const char* type = info.encoding.starts_with("type ") ? "" : "type ";  // one without a name
  return bad_input(where() + type + info.encoding + " is not supported yet");
}

Status StoredTensor::read_rows(int head_dim, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                               std::int64_t col_end, float* out) const {
  if (!encoding) return not_readable();
  check_inside(info, row_begin, row_end, col_begin, col_end);
  if (row_begin == row_end || col_begin == col_end) return {};
  if (Status status = check_heads(*this, head_dim); !status.ok()) return status;
  if (interleaved && shape.size() == 1) return read_interleaved_vector(*this, head_dim, col_begin, col_end, out);

  const std::int64_t stride = row_bytes(*encoding, info.cols);
  const bool whole = col_begin == 0 && col_end == info.cols;
  if (whole && *encoding == WeightFormat::kF32 && !interleaved) {  // the bytes are the floats
    return bytes->read(begin + static_cast<std::uint64_t>(row_begin * stride),
                       raw(out, (row_end - row_begin) * info.cols));
  }
  const ColumnWindow window = window_of(*encoding, stride, col_begin, col_end);
  return fetch_rows(*this, head_dim, row_begin, row_end, window, [&](const std::byte* columns) {
    expand_row(*encoding, columns, col_begin - window.first, col_end - window.first, out);
    out += col_end - col_begin;
  });
}

std::optional<WeightFormat> StoredTensor::stored_format() const {
  return interleaved && shape.size() == 1 ? std::nullopt : encoding;
}

Status StoredTensor::read_stored_rows(int head_dim, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                      std::int64_t col_end, std::byte* out) const {
  HERD_CHECK(stored_format().has_value(), "the elements lie in the file as they are asked for");
  check_inside(info, row_begin, row_end, col_begin, col_end);
  HERD_CHECK(!is_quantized(*encoding) || (col_begin % 32 == 0 && col_end % 32 == 0), "columns are whole blocks of 32");
  if (row_begin == row_end || col_begin == col_end) return {};
  if (Status status = check_heads(*this, head_dim); !status.ok()) return status;

  const std::int64_t stride = row_bytes(*encoding, info.cols);
  const auto width = static_cast<std::size_t>(stored_row_bytes(*encoding, col_begin, col_end));
  if (!interleaved && width == static_cast<std::size_t>(stride)) {
    const auto count = static_cast<std::size_t>(row_end - row_begin) * width;
    return bytes->read(begin + static_cast<std::uint64_t>(row_begin * stride), std::span(out, count));
  }
  const ColumnWindow window = window_of(*encoding, stride, col_begin, col_end);
  const std::int64_t skipped = col_begin / block_elements(*encoding) * block_bytes(*encoding) - window.offset;
  return fetch_rows(*this, head_dim, row_begin, row_end, window, [&](const std::byte* columns) {
    std::memcpy(out, columns + skipped, width);
    out += width;
  });
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
