#include "runtime/checkpoint/quantizing_source.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/tensor_view.h"
#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/checkpoint/quantization_mixture.h"
#include "runtime/checkpoint/quantize_rows.h"

namespace herd::model {
namespace {

constexpr std::int64_t kBatchElements = 64 << 10;  // floats that are read at a time stay in the cache

// The columns of the blocks that [begin, end) lies in.
std::pair<std::int64_t, std::int64_t> whole_blocks(WeightFormat format, std::int64_t begin, std::int64_t end) {
  const std::int64_t elements = block_elements(format);
  return {begin / elements * elements, (end + elements - 1) / elements * elements};
}

}  // namespace

QuantizingSource::QuantizingSource(std::shared_ptr<const WeightSource> source, LlamaConfig config, WeightFormat wanted)
    : source_(std::move(source)), config_(std::move(config)), wanted_(wanted) {
  HERD_CHECK(is_quantized_to(wanted), "not every format is made of numbers");
}

std::optional<WeightFormat> QuantizingSource::made_here(std::string_view name) const {
  if (const auto stored = source_->stored_format(name); stored && is_quantized(*stored)) return std::nullopt;
  const WeightFormat format = mixture_format(config_, name, wanted_);
  return is_quantized(format) ? std::optional(format) : std::nullopt;
}

std::optional<WeightFormat> QuantizingSource::stored_format(std::string_view name) const {
  const auto format = made_here(name);
  return format ? format : source_->stored_format(name);
}

Status QuantizingSource::each_row(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                  std::int64_t col_end, const std::function<void(const float*)>& take) const {
  const std::int64_t cols = col_end - col_begin;
  if (cols == 0) return {};
  const std::int64_t step = std::min(row_end - row_begin, std::max<std::int64_t>(1, kBatchElements / cols));
  std::vector<float> batch(static_cast<std::size_t>(step * cols));
  for (std::int64_t row = row_begin; row < row_end; row += step) {
    const std::int64_t rows = std::min(step, row_end - row);
    Status status = source_->read_rows(name, row, row + rows, col_begin, col_end, batch.data());
    if (!status.ok()) return status;
    for (std::int64_t i = 0; i < rows; ++i) take(batch.data() + i * cols);
  }
  return {};
}

Status QuantizingSource::read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                                   std::int64_t col_end, float* out) const {
  const auto format = made_here(name);
  if (!format) return source_->read_rows(name, row_begin, row_end, col_begin, col_end, out);
  const auto [begin, end] = whole_blocks(*format, col_begin, col_end);
  std::vector<std::byte> blocks(static_cast<std::size_t>(row_bytes(*format, end - begin)));
  return each_row(name, row_begin, row_end, begin, end, [&, first = begin, cols = end - begin](const float* row) {
    quantize_row(*format, row, cols, blocks.data());
    expand_row(*format, blocks.data(), col_begin - first, col_end - first, out);
    out += col_end - col_begin;
  });
}

Status QuantizingSource::read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end,
                                          std::int64_t col_begin, std::int64_t col_end, void* out) const {
  const auto format = made_here(name);
  if (!format) return source_->read_stored_rows(name, row_begin, row_end, col_begin, col_end, out);
  HERD_CHECK(col_begin % kChunkK == 0 && col_end % kChunkK == 0, "columns are whole blocks of 32");
  if (col_begin == col_end) return {};
  const auto [begin, end] = whole_blocks(*format, col_begin, col_end);
  auto* blocks = static_cast<std::byte*>(out);
  return each_row(name, row_begin, row_end, begin, end, [&, cols = end - begin](const float* row) {
    quantize_row(*format, row, cols, blocks);
    blocks += row_bytes(*format, cols);
  });
}

}  // namespace herd::model
