#pragma once
// Number formats of tensors in memory, and the exact scalar conversions between them.

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"

namespace herd {

enum class DType : std::uint8_t { kF32, kBF16, kF16 };

HERD_INLINE constexpr std::size_t dtype_bytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }
HERD_INLINE constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kBF16:
      return "bfloat16";
    case DType::kF16:
      return "float16";
  }
  return "?";
}

struct BFloat16 {
  std::uint16_t bits = 0;
  bool operator==(const BFloat16&) const = default;
};

HERD_INLINE constexpr float to_float(BFloat16 value) {
  return __builtin_bit_cast(float, std::uint32_t{value.bits} << 16);
}

// Round to nearest even; a NaN stays a quiet NaN with its sign and upper payload.
HERD_INLINE constexpr BFloat16 to_bf16(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((bits >> 16) | 0x0040u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// IEEE binary16 to binary32, exact, subnormals kept (integer arithmetic: independent of DAZ).
HERD_INLINE constexpr float f16_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16;
  std::uint32_t exponent = (half >> 10) & 0x1fu;
  std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0x1f) return __builtin_bit_cast(float, sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    if (mantissa == 0) return __builtin_bit_cast(float, sign);
    exponent = 1;
    while ((mantissa & 0x400u) == 0) {
      mantissa <<= 1;
      exponent--;  // may wrap below zero; only the sum with 112 is used
    }
    mantissa &= 0x3ffu;
  }
  return __builtin_bit_cast(float, sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

// binary32 to binary16, round to nearest even, subnormals kept, overflow to infinity (as VCVTPS2PH).
HERD_INLINE constexpr std::uint16_t to_f16_bits(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65520 and above round to inf
  if (magnitude < 0x33000000u) return sign;                                         // below 2^-25
  const std::uint32_t exponent = magnitude >> 23;
  const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  // The value is mantissa · 2^(exponent - 150). A normal half keeps 11 bits, a subnormal one counts units of 2^-24.
  const std::uint32_t shift = exponent >= 113 ? 13 : 126 - exponent;
  std::uint32_t kept = mantissa >> shift;
  const std::uint32_t rest = mantissa & ((1u << shift) - 1);
  const std::uint32_t half = 1u << (shift - 1);
  kept += (rest > half || (rest == half && (kept & 1u) != 0)) ? 1 : 0;
  // The implicit bit of a normal half is 0x400: adding it to (exponent - 113) << 10 carries as it should.
  return static_cast<std::uint16_t>(sign | (exponent >= 113 ? ((exponent - 113) << 10) + kept : kept));
}

}  // namespace herd
