#pragma once
// Rows of floats to blocks; q8_0, q4_0 and q5_0 byte for byte as the Python package `gguf` and ggml's reference make them: one fp32
// rounding per operation, quants of q8_0 rounded half away from zero. q4_k, q5_k, q6_k: quantize_super_blocks.h.

#include <cstddef>
#include <cstdint>

#include "kernels/weight_format.h"

namespace herd::model {

// `format`: blocks, but for q4_1 and q5_1. `cols` is a multiple of block_elements(format); row_bytes(format, cols) bytes of `out` are
// written, of any alignment.
// Two kinds of block are settled here, alike in every float mode: one whose scale is below 2^-124 (as f16 it is 0) stands for
// zeros, one with a NaN or an infinity has a scale that is NaN. A scale beyond f16 is an infinity: has_non_finite() finds both.
void quantize_row(WeightFormat format, const float* row, std::int64_t cols, std::byte* out);

}  // namespace herd::model
