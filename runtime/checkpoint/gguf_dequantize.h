#pragma once
// Expansion of stored rows to float, exactly as ggml and the Python package `gguf` define it: one fp32 rounding per
// operation, no fused multiply-add. Layouts: the comment on each encoding. Little-endian, no alignment assumed.

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dtype.h"

namespace herd::model {

enum class RowEncoding : std::uint8_t {
  kFloat32,
  kBFloat16,
  kFloat16,
  kQ8_0,  // 32 elements, 34 bytes: f16 d, i8 q[32];         x = d·q
  kQ4_0,  // 32 elements, 18 bytes: f16 d, u8 q[16];         x = d·(nibble − 8); low nibbles are elements 0..15
  kQ4_1,  // 32 elements, 20 bytes: f16 d, f16 m, u8 q[16];  x = d·nibble + m
};

[[nodiscard]] const char* encoding_name(RowEncoding encoding);  // "float32", "q8_0", …
[[nodiscard]] int block_elements(RowEncoding encoding);         // 1 for the plain ones
[[nodiscard]] int block_bytes(RowEncoding encoding);

// Bytes of a row of `cols` elements; cols is a multiple of block_elements().
[[nodiscard]] std::int64_t row_bytes(RowEncoding encoding, std::int64_t cols);

// Expands columns [col_begin, col_end) of one stored row. Columns need not lie on block borders.
void expand_row(RowEncoding encoding, const std::byte* row, std::int64_t col_begin, std::int64_t col_end, float* out);

// Round to nearest even, NaN kept; values.size() elements of out are written.
void round_to_bf16(std::span<const float> values, BFloat16* out);

}  // namespace herd::model
