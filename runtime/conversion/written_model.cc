#include "runtime/conversion/written_model.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "runtime/checkpoint/gguf_tensor_names.h"
#include "runtime/checkpoint/quantize_rows.h"
#include "runtime/joined_thread.h"

namespace herd::model {
namespace {

constexpr std::int64_t kPieceElements = 128 << 10;  // what is read at a time stays in the cache until it is written

// Rows of one tensor that are read and written in one go: whole heads where they change places.
struct Piece {
  const PlannedTensor* tensor = nullptr;
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
};

std::vector<Piece> pieces_of(const ConversionPlan& plan, std::int64_t head_dim) {
  std::vector<Piece> pieces;
  for (const PlannedTensor& tensor : plan.tensors) {
    const TensorInfo& source = tensor.source;
    const bool by_heads = tensor.interleaved && source.rows > 1;
    const std::int64_t unit = by_heads ? head_dim : 1;
    const std::int64_t rows = std::max<std::int64_t>(1, kPieceElements / (source.cols * unit)) * unit;
    for (std::int64_t row = 0; row < source.rows; row += rows)
      pieces.push_back({&tensor, row, std::min(row + rows, source.rows)});
  }
  return pieces;
}

template <class T, class Encode>
void encode_all(std::span<const float> values, std::byte* out, Encode encode) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T bits = encode(values[i]);
    std::memcpy(out + i * sizeof bits, &bits, sizeof bits);
  }
}

// One row, or several of plain numbers.
void encode(WeightFormat format, std::span<const float> values, std::byte* out) {
  switch (format) {
    case WeightFormat::kF32:
      std::memcpy(out, values.data(), values.size_bytes());
      return;
    case WeightFormat::kBF16:
      return encode_all<std::uint16_t>(values, out, [](float value) { return to_bf16(value).bits; });
    case WeightFormat::kF16:
      return encode_all<std::uint16_t>(values, out, [](float value) { return to_f16_bits(value); });
    default:
      return quantize_row(format, values.data(), static_cast<std::int64_t>(values.size()), out);
  }
}

// One thread's work, with the memory that it uses again for every piece.
class PieceWriter {
 public:
  PieceWriter(const Checkpoint& source, files::NewFile& file) : source_(source), head_dim_(source.config().head_dim), file_(file) {}

  Status write(const Piece& piece) {
    const PlannedTensor& tensor = *piece.tensor;
    const std::int64_t stride = row_bytes(tensor.format, tensor.source.cols);
    rows_.resize(static_cast<std::size_t>((piece.row_end - piece.row_begin) * stride));
    if (Status status = read(piece); !status.ok()) return status;
    const auto blocks = rows_.size() / static_cast<std::size_t>(block_bytes(tensor.format));
    if (has_non_finite(tensor.format, rows_.data(), blocks)) return not_finite(piece);
    if (tensor.interleaved && tensor.source.rows > 1) interleave(piece, static_cast<std::size_t>(stride));
    return file_.write(tensor.begin + static_cast<std::uint64_t>(piece.row_begin * stride), rows_);
  }

 private:
  // The rows in their new encoding, in Hugging Face's order.
  Status read(const Piece& piece) {
    const TensorInfo& info = piece.tensor->source;
    const WeightFormat format = piece.tensor->format;
    const bool scatters = piece.tensor->interleaved && info.rows == 1;  // a vector whose entries change places
    if (!scatters && source_.stored_format(info.name) == format)
      return source_.read_stored_rows(info.name, piece.row_begin, piece.row_end, 0, info.cols, rows_.data());
    values_.resize(static_cast<std::size_t>((piece.row_end - piece.row_begin) * info.cols));
    Status status = source_.read_rows(info.name, piece.row_begin, piece.row_end, 0, info.cols, values_.data());
    if (!status.ok()) return status;
    if (scatters) interleave_entries();
    if (is_quantized(format)) encode_by_rows(format, info.cols);
    else encode(format, values_, rows_.data());
    return {};
  }

  void encode_by_rows(WeightFormat format, std::int64_t cols) {
    std::byte* out = rows_.data();
    for (std::size_t at = 0; at < values_.size(); at += static_cast<std::size_t>(cols), out += row_bytes(format, cols))
      encode(format, std::span(values_).subspan(at, static_cast<std::size_t>(cols)), out);
  }

  void interleave(const Piece& piece, std::size_t stride) {
    moved_.resize(rows_.size());
    for (std::int64_t row = piece.row_begin; row < piece.row_end; ++row) {
      const auto to = static_cast<std::size_t>(interleaved_index(row, head_dim_) - piece.row_begin);
      std::memcpy(moved_.data() + to * stride, rows_.data() + static_cast<std::size_t>(row - piece.row_begin) * stride, stride);
    }
    rows_.swap(moved_);
  }

  void interleave_entries() {
    const std::vector<float> values = values_;
    for (std::size_t i = 0; i < values.size(); ++i)
      values_[static_cast<std::size_t>(interleaved_index(static_cast<std::int64_t>(i), head_dim_))] = values[i];
  }

  [[nodiscard]] Status not_finite(const Piece& piece) const {
    const TensorInfo& info = piece.tensor->source;
    return bad_input(info.file + ": " + info.source_name + ": rows [" + std::to_string(piece.row_begin) + ", " +
                     std::to_string(piece.row_end) + ") hold a value that is not finite, or too large for " +
                     format_name(piece.tensor->format));
  }

  const Checkpoint& source_;
  const std::int64_t head_dim_;
  files::NewFile& file_;
  std::vector<float> values_;
  std::vector<std::byte> rows_;
  std::vector<std::byte> moved_;
};

// Pieces that several threads take one after the other, until one fails.
class Queue {
 public:
  Queue(std::vector<Piece> pieces, const ConversionPlan& plan, const ConversionProgress& progress)
      : pieces_(std::move(pieces)), plan_(plan), progress_(progress) {}

  void work(const Checkpoint& source, files::NewFile& file) {
    try {
      take_pieces(source, file);
    } catch (...) {
      failed_ = true;  // the others need not finish
      throw;
    }
  }

  [[nodiscard]] const Status& status() const { return status_; }

 private:
  void take_pieces(const Checkpoint& source, files::NewFile& file) {
    PieceWriter writer(source, file);
    for (std::size_t i = next_++; i < pieces_.size() && !failed_; i = next_++) {
      Status status = writer.write(pieces_[i]);
      const std::scoped_lock lock(mutex_);
      if (!status.ok()) return keep(std::move(status));
      const Piece& piece = pieces_[i];
      done_ += static_cast<std::uint64_t>((piece.row_end - piece.row_begin) * row_bytes(piece.tensor->format, piece.tensor->source.cols));
      if (progress_) progress_(done_, plan_.file_bytes);
    }
  }

  void keep(Status status) {
    failed_ = true;
    if (status_.ok()) status_ = std::move(status);
  }

  const std::vector<Piece> pieces_;
  const ConversionPlan& plan_;
  const ConversionProgress& progress_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // of the below
  std::uint64_t done_ = 0;
  Status status_;
};

}  // namespace

Status write_model(const ConversionPlan& plan, const Checkpoint& source, int threads, const ConversionProgress& progress,
                   files::NewFile& file) {
  HERD_CHECK(threads >= 1, "somebody has to work");
  if (Status status = file.write(0, plan.head); !status.ok()) return status;
  if (Status status = file.write(plan.rope_divisors_begin, std::as_bytes(std::span(plan.rope_divisors))); !status.ok()) return status;
  Queue queue(pieces_of(plan, source.config().head_dim), plan, progress);
  std::deque<JoinedThread> others;
  while (others.size() + 1 < static_cast<std::size_t>(threads) &&
         others.emplace_back().start([&] { queue.work(source, file); })) {
  }
  queue.work(source, file);
  for (JoinedThread& other : others) other.join();
  if (queue.status().ok() && progress) progress(plan.file_bytes, plan.file_bytes);
  return queue.status();
}

}  // namespace herd::model
