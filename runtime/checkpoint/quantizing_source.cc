#include "runtime/checkpoint/quantizing_source.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/checkpoint/quantize_rows.h"

namespace herd::model {
namespace {

constexpr std::int64_t kBlock = 32;
constexpr std::int64_t kBatchElements = 64 << 10;  // floats that are read at a time stay in the cache

// Of a matrix of the model, by its Hugging Face name; 0 of a vector.
std::int64_t matrix_columns(const LlamaConfig& config, std::string_view name) {
  if (!name.ends_with(".weight") || name.find("norm") != std::string_view::npos) return 0;
  if (name.ends_with(".o_proj.weight")) return config.query_size();
  if (name.ends_with(".down_proj.weight")) return config.intermediate_size;
  return config.hidden_size;
}

}  // namespace

QuantizingSource::QuantizingSource(std::shared_ptr<const WeightSource> source, LlamaConfig config, WeightFormat wanted)
    : source_(std::move(source)), config_(std::move(config)), wanted_(wanted) {
  HERD_CHECK(wanted == WeightFormat::kQ8_0 || wanted == WeightFormat::kQ4_0, "q8_0 and q4_0 are made here");
}

std::optional<WeightFormat> QuantizingSource::made_here(std::string_view name) const {
  const std::int64_t cols = matrix_columns(config_, name);
  if (cols == 0 || cols % kBlock != 0) return std::nullopt;
  if (const auto stored = source_->stored_format(name); stored && is_quantized(*stored)) return std::nullopt;
  const bool whole_vocabulary = name == "model.embed_tokens.weight" || name == "lm_head.weight";
  return whole_vocabulary ? WeightFormat::kQ8_0 : wanted_;
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
  const std::int64_t begin = col_begin / kBlock * kBlock;  // whole blocks
  const std::int64_t end = (col_end + kBlock - 1) / kBlock * kBlock;
  std::vector<std::byte> blocks(static_cast<std::size_t>(row_bytes(*format, end - begin)));
  return each_row(name, row_begin, row_end, begin, end, [&](const float* row) {
    quantize_row(*format, row, end - begin, blocks.data());
    expand_row(*format, blocks.data(), col_begin - begin, col_end - begin, out);
    out += col_end - col_begin;
  });
}

Status QuantizingSource::read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end,
                                          std::int64_t col_begin, std::int64_t col_end, void* out) const {
  const auto format = made_here(name);
  if (!format) return source_->read_stored_rows(name, row_begin, row_end, col_begin, col_end, out);
  HERD_CHECK(col_begin % kBlock == 0 && col_end % kBlock == 0, "columns are whole blocks of 32");
  auto* blocks = static_cast<std::byte*>(out);
  return each_row(name, row_begin, row_end, col_begin, col_end, [&](const float* row) {
    quantize_row(*format, row, col_end - col_begin, blocks);
    blocks += row_bytes(*format, col_end - col_begin);
  });
}

}  // namespace herd::model
