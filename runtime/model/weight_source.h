#pragma once
// Where the rows of a model's tensors come from: a checkpoint's files, or random numbers of the same shapes. Names are
// Hugging Face's, see runtime/checkpoint/checkpoint.h.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/check.h"
#include "kernels/dtype.h"
#include "kernels/status.h"
#include "kernels/weight_format.h"

namespace herd::model {

// Bytes of one row that read_stored_rows() copies of columns [col_begin, col_end): the whole blocks that cover them.
[[nodiscard]] inline std::int64_t stored_row_bytes(WeightFormat format, std::int64_t col_begin, std::int64_t col_end) {
  if (col_begin == col_end) return 0;
  const std::int64_t elements = block_elements(format);
  return ((col_end + elements - 1) / elements - col_begin / elements) * block_bytes(format);
}

// Resource; read_rows is thread-safe.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Expands rows [row_begin, row_end) × columns [col_begin, col_end) of a tensor to float, row-major, tightly packed in
  // `out`. Every encoding expands exactly (quantised: with the format's own fp32 roundings). Columns need not be aligned
  // to quantisation blocks.
  [[nodiscard]] virtual Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end,
                                         std::int64_t col_begin, std::int64_t col_end, float* out) const = 0;

  // How the tensor's elements lie in the source, row after row; none where they have to be expanded.
  [[nodiscard]] virtual std::optional<WeightFormat> stored_format(std::string_view /*name*/) const { return std::nullopt; }
  // read_rows without the expansion, of a tensor that has a stored format: the source's own bytes, stored_row_bytes() of each
  // row, tightly packed in `out`. Columns of a format in blocks are multiples of 32; those of formats with super-blocks may
  // begin or end inside a block of 256, which is copied whole: the first block of a row in `out` is col_begin / 256, the last
  // one ceil(col_end / 256) - 1.
  [[nodiscard]] virtual Status read_stored_rows(std::string_view /*name*/, std::int64_t /*row_begin*/, std::int64_t /*row_end*/,
                                                std::int64_t /*col_begin*/, std::int64_t /*col_end*/, void* /*out*/) const {
    HERD_UNREACHABLE("a tensor without a stored format is expanded");
  }
};

// True when any of the n floats is NaN or infinite.
[[nodiscard]] bool has_non_finite(const float* values, std::size_t n);

// The same of n stored blocks, which are n elements of plain numbers. An element of a block is finite where the block's
// scale, and the minimum of a format that has one, are.
[[nodiscard]] bool has_non_finite(WeightFormat format, const void* values, std::size_t n);

}  // namespace herd::model
