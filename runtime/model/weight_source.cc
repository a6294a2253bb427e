#include "runtime/model/weight_source.h"

#include <cstring>
#include <type_traits>

namespace herd::model {
namespace {

template <std::size_t kBytes>
using Fixed = std::integral_constant<std::size_t, kBytes>;

// Whether an exponent of n numbers, `stride` bytes apart, is all ones. `exponent`: its bits; `one`: the lowest of them. Bits may
// hold two numbers side by side. No branch in the loop, of which compilers make vectors where the stride is a Fixed one.
template <class Bits, class Stride>
bool any_exponent_full(const void* numbers, std::size_t n, Stride stride, std::uint32_t exponent, std::uint32_t one) {
  const auto* at = static_cast<const std::byte*>(numbers);
  std::uint32_t sums = 0;
  for (std::size_t i = 0; i < n; ++i, at += stride) {
    Bits bits;
    std::memcpy(&bits, at, sizeof bits);
    sums |= (bits & exponent) + one;  // an exponent of all ones carries into the sign's place
  }
  return (sums & (exponent + one)) != 0;
}

template <WeightFormat kFormat>
bool any_scale_full(const void* blocks, std::size_t n) {
  const auto* const first = static_cast<const std::byte*>(blocks) + scale_offset(kFormat);
  return any_exponent_full<std::uint16_t>(first, n, Fixed<block_bytes(kFormat)>{}, 0x7c00, 0x0400);
}

}  // namespace

bool has_non_finite(const float* values, std::size_t n) {
  return any_exponent_full<std::uint32_t>(values, n, Fixed<4>{}, 0x7f800000, 0x00800000);
}

bool has_non_finite(WeightFormat format, const void* values, std::size_t n) {
  switch (format) {
    case WeightFormat::kF32:
      return has_non_finite(static_cast<const float*>(values), n);
    case WeightFormat::kBF16:
      return any_exponent_full<std::uint16_t>(values, n, Fixed<2>{}, 0x7f80, 0x0080);
    case WeightFormat::kF16:
      return any_exponent_full<std::uint16_t>(values, n, Fixed<2>{}, 0x7c00, 0x0400);
    case WeightFormat::kQ8_0:
      return any_scale_full<WeightFormat::kQ8_0>(values, n);
    case WeightFormat::kQ4_0:
      return any_scale_full<WeightFormat::kQ4_0>(values, n);
    case WeightFormat::kQ5_0:
      return any_scale_full<WeightFormat::kQ5_0>(values, n);
    case WeightFormat::kQ6_K:
      return any_scale_full<WeightFormat::kQ6_K>(values, n);
    case WeightFormat::kQ4_1:
    case WeightFormat::kQ5_1:
    case WeightFormat::kQ4_K:
    case WeightFormat::kQ5_K:  // scale and minimum side by side; vectors of pairs are slower than one pair after the other
      return any_exponent_full<std::uint32_t>(values, n, static_cast<std::size_t>(block_bytes(format)), 0x7c007c00, 0x04000400);
  }
  return false;
}

}  // namespace herd::model
