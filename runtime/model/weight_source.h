#pragma once
// Where the rows of a model's tensors come from: a checkpoint's files, or random numbers of the same shapes. Names are
// Hugging Face's, see runtime/checkpoint/checkpoint.h.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "kernels/check.h"
#include "kernels/dtype.h"
#include "kernels/status.h"

namespace herd::model {

// Resource; read_rows is thread-safe.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Expands rows [row_begin, row_end) × columns [col_begin, col_end) of a tensor to float, row-major, tightly packed in
  // `out`. Every encoding expands exactly (quantised: with the format's own fp32 roundings). Columns need not be aligned
  // to quantisation blocks.
  [[nodiscard]] virtual Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end,
                                         std::int64_t col_begin, std::int64_t col_end, float* out) const = 0;

  // kBF16 or kF16 where the tensor's elements lie in the source as such, row after row; none where they have to be expanded.
  [[nodiscard]] virtual std::optional<DType> stored_type(std::string_view) const { return std::nullopt; }
  // read_rows without the expansion, of a tensor that has a stored type.
  [[nodiscard]] virtual Status read_stored_rows(std::string_view, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                                                void*) const {
    HERD_UNREACHABLE("a tensor without a stored type is expanded");
  }
};

// True when any of the n floats is NaN or infinite.
[[nodiscard]] inline bool has_non_finite(const float* values, std::size_t n) {
  // An exponent of all ones, without a branch in the loop.
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, 4);
    found |= static_cast<std::uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
  }
  return found != 0;
}

// The same of n elements of `type`.
[[nodiscard]] inline bool has_non_finite(DType type, const void* values, std::size_t n) {
  if (type == DType::kF32) return has_non_finite(static_cast<const float*>(values), n);
  const auto* elements = static_cast<const std::uint16_t*>(values);
  const std::uint16_t exponent = type == DType::kBF16 ? 0x7f80 : 0x7c00;
  std::uint16_t found = 0;
  for (std::size_t i = 0; i < n; ++i)
    found = static_cast<std::uint16_t>(found | static_cast<std::uint16_t>((elements[i] & exponent) == exponent));
  return found != 0;
}

}  // namespace herd::model
