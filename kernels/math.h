#pragma once
// herd's own transcendental functions (rule 2 of docs/numerics.md): the same bits on every machine, because each is one
// fixed sequence of fp32 (fp64) add, subtract, multiply, divide, fused multiply-add and integer operations. Scalar,
// branch-light: a SIMD backend transcribes them line by line, `?:` becoming a blend. No libm.
//
// Assumes round to nearest even and -ffp-contract=off. The results do not depend on FTZ or DAZ: subnormal results
// are +0 by construction, subnormal arguments count as zeros. Errors below were measured against 80-bit libm:
//
//   exp_f32     all x; <= 1 ulp; +0 below log(2^-126), +inf above log(FLT_MAX)    exhaustive over [-88, 89]
//   log_f32     all x; <= 1 ulp; zeros and subnormals give -inf, negatives NaN     exhaustive
//   log1p_f32   all u; <= 1 ulp for u < 0, else 2; -1 gives -inf, below NaN        exhaustive over (-1, 2^26)
//   exp_f64     |x| <= 700; relative error < 4e-16
//   log_f64     positive normal x; relative error < 4e-16
//   sin_f64, cos_f64   |x| <= 2^20; absolute error < 4e-16
//
// exp_f32 is at most 1 for x <= 0; neighbours may be out of order by one ulp.
//
// The fp32 polynomials are minimax fits (Remez, relative error weighted by the function, coefficients rounded to
// fp32 one by one from the lowest, the rest refitted after each). The fp64 ones are Taylor series: a table is
// built once, so terms are cheaper than an argument about them.

#include <cstdint>

#include "kernels/inline.h"

namespace herd {

HERD_INLINE float fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
HERD_INLINE double fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
HERD_INLINE std::uint32_t bits_of(float value) { return __builtin_bit_cast(std::uint32_t, value); }
HERD_INLINE float float_of(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

namespace math {
inline constexpr float kInf = __builtin_inff();
inline constexpr float kNan = __builtin_nanf("");
inline constexpr float kLog2E = 0x1.715476p+0F;
inline constexpr float kLn2Hi = 0x1.62e430p-1F;    // ln 2 to 24 bits
inline constexpr float kLn2Lo = -0x1.05c610p-29F;  // the rest
// 1.5 · 2^23: adding it rounds |x| < 2^22 to an integer, left in the low mantissa bits.
inline constexpr float kRoundMagic = 0x1.8p23F;
inline constexpr float kExpMin = -0x1.5d589ep+6F;  // -87.33654, the lowest x whose exp is normal
inline constexpr float kExpMax = 0x1.62e42ep+6F;   //  88.72283, the highest x whose exp is finite
// exp(r) = 1 + r + r² · (E0 + E1 r + … + E4 r⁴) on |r| <= ln2 / 2; fit error 2^-28.2
inline constexpr float kExp0 = 0x1.fffffcp-2F;
inline constexpr float kExp1 = 0x1.55548cp-3F;
inline constexpr float kExp2 = 0x1.555858p-5F;
inline constexpr float kExp3 = 0x1.123ddep-7F;
inline constexpr float kExp4 = 0x1.6ac724p-10F;
// log(1 + f) = f + f² · (-1/2 + f · (L0 + L1 f + … + L8 f⁸)) on [√½ - 1, √2 - 1]; fit error 2^-28.3
inline constexpr float kLog0 = 0x1.555548p-2F;
inline constexpr float kLog1 = -0x1.000070p-2F;
inline constexpr float kLog2 = 0x1.99a542p-3F;
inline constexpr float kLog3 = -0x1.552f04p-3F;
inline constexpr float kLog4 = 0x1.230302p-3F;
inline constexpr float kLog5 = -0x1.010710p-3F;
inline constexpr float kLog6 = 0x1.f00e42p-4F;
inline constexpr float kLog7 = -0x1.bf4ee6p-4F;
inline constexpr float kLog8 = 0x1.b5ce9ap-5F;
inline constexpr std::uint32_t kSqrtHalfBits = 0x3f3504f3U;  // √½: the mantissa range is [√½, √2)

// k · ln 2 + log(1 + f) with k a whole number, f in [√½ - 1, √2 - 1].
HERD_INLINE float log_reduced(float k, float f) {
  float q = kLog8;
  q = fma_f32(q, f, kLog7);
  q = fma_f32(q, f, kLog6);
  q = fma_f32(q, f, kLog5);
  q = fma_f32(q, f, kLog4);
  q = fma_f32(q, f, kLog3);
  q = fma_f32(q, f, kLog2);
  q = fma_f32(q, f, kLog1);
  q = fma_f32(q, f, kLog0);
  q = fma_f32(q, f, -0.5F);
  const float tail = fma_f32(k, kLn2Lo, (f * f) * q);
  return fma_f32(k, kLn2Hi, f + tail);
}
}  // namespace math

// x = n ln2 + r with n = rne(x / ln2); the power of two goes straight into the exponent bits, which neither
// overflow nor underflow between kExpMin (there the polynomial is >= 1) and kExpMax.
HERD_INLINE float exp_f32(float x) {
  const float t = fma_f32(x, math::kLog2E, math::kRoundMagic);
  const float n = t - math::kRoundMagic;
  float r = fma_f32(n, -math::kLn2Hi, x);
  r = fma_f32(n, -math::kLn2Lo, r);
  float q = math::kExp4;
  q = fma_f32(q, r, math::kExp3);
  q = fma_f32(q, r, math::kExp2);
  q = fma_f32(q, r, math::kExp1);
  q = fma_f32(q, r, math::kExp0);
  q = fma_f32(q, r, 1.0F);
  q = fma_f32(q, r, 1.0F);
  float y = float_of(bits_of(q) + (bits_of(t) << 23));
  y = x < math::kExpMin ? 0.0F : y;
  y = x > math::kExpMax ? math::kInf : y;
  return x != x ? x : y;
}

// x = 2^k (1 + f); f is exact.
HERD_INLINE float log_f32(float x) {
  const std::uint32_t bits = bits_of(x);
  const std::int32_t k = static_cast<std::int32_t>(bits - math::kSqrtHalfBits) >> 23;
  const float m = float_of(bits - (static_cast<std::uint32_t>(k) << 23));
  float y = math::log_reduced(static_cast<float>(k), m - 1.0F);
  y = x == math::kInf ? x : y;
  y = x < 0x1p-126F ? -math::kInf : y;
  y = x <= -0x1p-126F ? math::kNan : y;
  return x != x ? x : y;
}

// 1 + u = 2^k (1 + f) with k from the rounded sum, but f = u · 2^-k + (2^-k - 1) from u itself, rounded once: no
// digit of u is lost (u = -2^-33 gives -2^-33). For -1 < u <= 2^24, the range a draw needs being [-1 + 2^-24,
// -2^-33], 2^-k - 1 is exact.
HERD_INLINE float log1p_small_f32(float u) {
  const std::uint32_t bits = bits_of(1.0F + u);
  const std::int32_t k = static_cast<std::int32_t>(bits - math::kSqrtHalfBits) >> 23;
  const float scale = float_of(static_cast<std::uint32_t>(127 - k) << 23);  // 2^-k
  return math::log_reduced(static_cast<float>(k), fma_f32(u, scale, scale - 1.0F));
}

HERD_INLINE float log1p_f32(float u) {
  float y = log1p_small_f32(u);
  y = u > 0x1p24F ? log_f32(u) : y;
  y = u == -1.0F ? -math::kInf : y;
  y = u < -1.0F ? math::kNan : y;
  return u != u ? u : y;
}

// z · sigmoid(z). Large negative z: exp overflows to +inf and the quotient is -0; -inf gives NaN.
HERD_INLINE float silu_f32(float z) { return z / (1.0F + exp_f32(-z)); }

// ---- fp64, for tables (RoPE). Never on a step; not meant for SIMD. ----

namespace math {
inline constexpr double kLog2Ed = 0x1.71547652b82fep+0;
inline constexpr double kLn2HiD = 0x1.62e42fefa39efp-1;
inline constexpr double kLn2LoD = 0x1.abc9e3b39803fp-56;
inline constexpr double kRoundMagicD = 0x1.8p52;
inline constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
inline constexpr double kHalfPi1 = 0x1.921fb54442d18p+0;  // pi / 2 in three parts of 53 bits
inline constexpr double kHalfPi2 = 0x1.1a62633145c07p-54;
inline constexpr double kHalfPi3 = -0x1.f1976b7ed8fbcp-110;

// Taylor to r^17 / 17!: the next term is below 1e-19 on |r| <= pi / 4 (+ rounding of the quadrant).
HERD_INLINE double sin_reduced(double r) {
  const double z = r * r;
  double p = 1.0 / 355687428096000.0;  // 17!
  p = fma_f64(p, z, -1.0 / 1307674368000.0);
  p = fma_f64(p, z, 1.0 / 6227020800.0);
  p = fma_f64(p, z, -1.0 / 39916800.0);
  p = fma_f64(p, z, 1.0 / 362880.0);
  p = fma_f64(p, z, -1.0 / 5040.0);
  p = fma_f64(p, z, 1.0 / 120.0);
  p = fma_f64(p, z, -1.0 / 6.0);
  return fma_f64(z * r, p, r);
}

// Taylor to r^18 / 18!.
HERD_INLINE double cos_reduced(double r) {
  const double z = r * r;
  double p = -1.0 / 6402373705728000.0;  // 18!
  p = fma_f64(p, z, 1.0 / 20922789888000.0);
  p = fma_f64(p, z, -1.0 / 87178291200.0);
  p = fma_f64(p, z, 1.0 / 479001600.0);
  p = fma_f64(p, z, -1.0 / 3628800.0);
  p = fma_f64(p, z, 1.0 / 40320.0);
  p = fma_f64(p, z, -1.0 / 720.0);
  p = fma_f64(p, z, 1.0 / 24.0);
  p = fma_f64(p, z, -0.5);
  return fma_f64(z, p, 1.0);
}

// sin(x + quarter_turns · pi / 2)
HERD_INLINE double sin_turned(double x, std::uint64_t quarter_turns) {
  const double t = fma_f64(x, kTwoOverPi, kRoundMagicD);
  const double n = t - kRoundMagicD;
  double r = fma_f64(n, -kHalfPi1, x);  // Cody-Waite: each part rounds once, relative to what is left
  r = fma_f64(n, -kHalfPi2, r);
  r = fma_f64(n, -kHalfPi3, r);
  const std::uint64_t quadrant = __builtin_bit_cast(std::uint64_t, t) + quarter_turns;
  const double y = (quadrant & 1) != 0 ? cos_reduced(r) : sin_reduced(r);
  return (quadrant & 2) != 0 ? -y : y;
}
}  // namespace math

// |x| <= 2^20.
HERD_INLINE double sin_f64(double x) { return math::sin_turned(x, 0); }
HERD_INLINE double cos_f64(double x) { return math::sin_turned(x, 1); }

// |x| <= 700. Taylor to r^13 / 13!: the next term is below 5e-18 on |r| <= ln2 / 2.
HERD_INLINE double exp_f64(double x) {
  const double t = fma_f64(x, math::kLog2Ed, math::kRoundMagicD);
  const double n = t - math::kRoundMagicD;
  double r = fma_f64(n, -math::kLn2HiD, x);
  r = fma_f64(n, -math::kLn2LoD, r);
  double p = 1.0 / 6227020800.0;  // 13!
  p = fma_f64(p, r, 1.0 / 479001600.0);
  p = fma_f64(p, r, 1.0 / 39916800.0);
  p = fma_f64(p, r, 1.0 / 3628800.0);
  p = fma_f64(p, r, 1.0 / 362880.0);
  p = fma_f64(p, r, 1.0 / 40320.0);
  p = fma_f64(p, r, 1.0 / 5040.0);
  p = fma_f64(p, r, 1.0 / 720.0);
  p = fma_f64(p, r, 1.0 / 120.0);
  p = fma_f64(p, r, 1.0 / 24.0);
  p = fma_f64(p, r, 1.0 / 6.0);
  p = fma_f64(p, r, 0.5);
  p = fma_f64(p, r, 1.0);
  p = fma_f64(p, r, 1.0);
  return __builtin_bit_cast(double,
                            __builtin_bit_cast(std::uint64_t, p) + (__builtin_bit_cast(std::uint64_t, t) << 52));
}

// Positive normal x = 2^k (1 + f), s = f / (2 + f): log(1 + f) = 2 s + s R, R = 2 (s²/3 + s⁴/5 + …), written
// f - s (f - R) as in fdlibm. |s| <= 0.172: the first term left out is below 1e-18.
HERD_INLINE double log_f64(double x) {
  const auto bits = __builtin_bit_cast(std::uint64_t, x);
  const std::int64_t k = static_cast<std::int64_t>(bits - 0x3fe6a09e667f3bcdULL) >> 52;  // √½
  const double f = __builtin_bit_cast(double, bits - (static_cast<std::uint64_t>(k) << 52)) - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  double p = 2.0 / 23.0;
  p = fma_f64(p, z, 2.0 / 21.0);
  p = fma_f64(p, z, 2.0 / 19.0);
  p = fma_f64(p, z, 2.0 / 17.0);
  p = fma_f64(p, z, 2.0 / 15.0);
  p = fma_f64(p, z, 2.0 / 13.0);
  p = fma_f64(p, z, 2.0 / 11.0);
  p = fma_f64(p, z, 2.0 / 9.0);
  p = fma_f64(p, z, 2.0 / 7.0);
  p = fma_f64(p, z, 2.0 / 5.0);
  p = fma_f64(p, z, 2.0 / 3.0);
  const auto kd = static_cast<double>(k);
  const double tail = fma_f64(kd, math::kLn2LoD, -(s * (f - z * p)));
  return fma_f64(kd, math::kLn2HiD, f + tail);
}

}  // namespace herd
