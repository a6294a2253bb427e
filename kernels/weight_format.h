#pragma once
// WeightFormat: how the elements of a weight matrix are encoded, in a file and in packed memory. Plain numbers, or blocks of
// consecutive elements of a row that share a scale, byte for byte ggml's (https://github.com/ggml-org/ggml, ggml-common.h).
// What each element of a block stands for:
//
//   q8_0   32 elements, 34 bytes: f16 d, i8 q[32]                   d·q
//   q4_0   32, 18: f16 d, u8 q[16]                                  d·(n − 8); byte j holds elements j (low nibble) and j + 16
//   q4_1   32, 20: f16 d, f16 m, u8 q[16]                           d·n + m
//   q5_0   32, 22: f16 d, u32 h, u8 q[16]                           d·(n − 16); bit j of h is the fifth bit of element j
//   q5_1   32, 24: f16 d, f16 m, u32 h, u8 q[16]                    d·n + m
//   q4_k   256, 144: f16 d, f16 dmin, u8 s[12], u8 q[128]           (d·sc[j / 32])·n − dmin·mc[j / 32]
//          byte 32·(j / 64) + j % 32 of q holds element j in its low nibble, j + 32 in the high one; sc and mc have 6 bits each:
//          of group g < 4 those of s[g] and s[g + 4], of g ≥ 4 low or high nibble of s[g + 4], the upper two bits of s[g − 4] or s[g]
//   q5_k   256, 176: f16 d, f16 dmin, u8 s[12], u8 h[32], u8 q[128]  as q4_k; bit j / 32 of h[j % 32] is the fifth bit of element j
//   q6_k   256, 210: u8 ql[128], u8 qh[64], i8 sc[16], f16 d        (d·sc[j / 16])·(n − 32)
//          of half h = j / 128, i = j % 32, part = j / 32 % 4: low nibble of n = nibble (part / 2) of ql[64h + 32(part % 2) + i],
//          upper two bits = bits 2·part of qh[32h + i]
//
// Numerics of a product (docs/numerics.md): rule 1 for plain numbers, rule 9 (int8 activations) for blocks.

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/inline.h"

namespace herd {

enum class WeightFormat : std::uint8_t { kF32, kBF16, kF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };
inline constexpr WeightFormat kAllFormats[] = {WeightFormat::kF32,  WeightFormat::kBF16, WeightFormat::kF16,
                                               WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_1,
                                               WeightFormat::kQ5_0, WeightFormat::kQ5_1, WeightFormat::kQ4_K,
                                               WeightFormat::kQ5_K, WeightFormat::kQ6_K};
inline constexpr WeightFormat kBlockFormats[] = {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kQ5_0,
                                                 WeightFormat::kQ5_1, WeightFormat::kQ4_K, WeightFormat::kQ5_K, WeightFormat::kQ6_K};

// Whether the elements are integers with a scale of their block; a product then takes x as int8 (rule 9).
HERD_INLINE constexpr bool is_quantized(WeightFormat format) { return format > WeightFormat::kF16; }

// Whether a block has 256 elements: its groups have scales of their own, whole numbers in units of d.
HERD_INLINE constexpr bool has_super_blocks(WeightFormat format) {
  return format == WeightFormat::kQ4_K || format == WeightFormat::kQ5_K || format == WeightFormat::kQ6_K;
}
// Whether a second f16 number, behind d, is added to the elements (m), or in units of it taken off (dmin).
HERD_INLINE constexpr bool has_minimum(WeightFormat format) {
  return format == WeightFormat::kQ4_1 || format == WeightFormat::kQ5_1 || format == WeightFormat::kQ4_K || format == WeightFormat::kQ5_K;
}

HERD_INLINE constexpr WeightFormat format_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return WeightFormat::kF32;
    case DType::kBF16:
      return WeightFormat::kBF16;
    case DType::kF16:
      return WeightFormat::kF16;
  }
  return WeightFormat::kF32;
}

// Of plain numbers; f32 for blocks, whose elements are computed as such.
HERD_INLINE constexpr DType plain_dtype(WeightFormat format) {
  switch (format) {
    case WeightFormat::kBF16:
      return DType::kBF16;
    case WeightFormat::kF16:
      return DType::kF16;
    default:
      return DType::kF32;
  }
}

// "float32", "bfloat16", "float16", "q8_0", … as users write it.
HERD_INLINE constexpr const char* format_name(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return "float32";
    case WeightFormat::kBF16:
      return "bfloat16";
    case WeightFormat::kF16:
      return "float16";
    case WeightFormat::kQ8_0:
      return "q8_0";
    case WeightFormat::kQ4_0:
      return "q4_0";
    case WeightFormat::kQ4_1:
      return "q4_1";
    case WeightFormat::kQ5_0:
      return "q5_0";
    case WeightFormat::kQ5_1:
      return "q5_1";
    case WeightFormat::kQ4_K:
      return "q4_k";
    case WeightFormat::kQ5_K:
      return "q5_k";
    case WeightFormat::kQ6_K:
      return "q6_k";
  }
  return "?";
}

// Elements that share a scale; 1 of plain numbers. A row is a whole number of them.
HERD_INLINE constexpr std::int64_t block_elements(WeightFormat format) {
  return has_super_blocks(format) ? 256 : is_quantized(format) ? 32 : 1;
}

// Bytes of one block in a file.
HERD_INLINE constexpr std::int64_t block_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
      return 4;
    case WeightFormat::kBF16:
    case WeightFormat::kF16:
      return 2;
    case WeightFormat::kQ8_0:
      return 34;
    case WeightFormat::kQ4_0:
      return 18;
    case WeightFormat::kQ4_1:
      return 20;
    case WeightFormat::kQ5_0:
      return 22;
    case WeightFormat::kQ5_1:
      return 24;
    case WeightFormat::kQ4_K:
      return 144;
    case WeightFormat::kQ5_K:
      return 176;
    case WeightFormat::kQ6_K:
      return 210;
  }
  return 0;
}

// Where a block's d lies in it.
HERD_INLINE constexpr std::int64_t scale_offset(WeightFormat format) { return format == WeightFormat::kQ6_K ? 208 : 0; }

// Bytes of `cols` elements of a row in a file; cols is a multiple of block_elements().
HERD_INLINE constexpr std::int64_t row_bytes(WeightFormat format, std::int64_t cols) {
  return cols / block_elements(format) * block_bytes(format);
}

}  // namespace herd
