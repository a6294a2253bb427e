#pragma once
// Expansion of stored rows to float, exactly as ggml and the Python package `gguf` define it: one fp32 rounding per
// operation, no fused multiply-add. Layouts: kernels/weight_format.h. Little-endian, no alignment assumed.

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dtype.h"
#include "kernels/weight_format.h"

namespace herd::model {

// Expands columns [col_begin, col_end) of one stored row. Columns need not lie on block borders.
void expand_row(WeightFormat format, const std::byte* row, std::int64_t col_begin, std::int64_t col_end, float* out);

}  // namespace herd::model
