#include "kernels/math.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "kernels/dtype.h"

namespace herd {
namespace {

// Error of y against the true value in units of the last place of fp32 (of the smallest normal below it).
double ulps(float y, long double exact) {
  int exponent = 0;
  std::frexp(static_cast<double>(exact), &exponent);
  return static_cast<double>(std::fabs(static_cast<long double>(y) - exact) /
                             std::ldexp(1.0L, std::max(exponent, -125) - 24));
}

// Worst error over every `stride`-th fp32 in [low, high), given as bits of one sign.
template <class F, class Exact>
void expect_ulps(std::uint32_t low, std::uint32_t high, std::uint32_t stride, double bound, const F& f,
                 const Exact& exact) {
  set_kernel_float_mode();
  double worst = 0;
  float worst_at = 0;
  for (std::uint64_t bits = low; bits < high; bits += stride) {
    const float x = float_of(static_cast<std::uint32_t>(bits));
    const double error = ulps(f(x), exact(static_cast<long double>(x)));
    if (!(error <= worst)) {
      worst = error;
      worst_at = x;
    }
  }
  EXPECT_LE(worst, bound) << "at " << worst_at;
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::uint32_t kStride = 1009;  // prime: reaches all mantissa endings

TEST(Math, ExpIsWithinOneUlp) {
  const auto f = [](float x) { return exp_f32(x); };
  const auto exact = [](long double x) { return expl(x); };
  expect_ulps(bits_of(-0x1p-40F), bits_of(math::kExpMin) + 1, kStride, 1.0, f, exact);
  expect_ulps(bits_of(0x1p-40F), bits_of(math::kExpMax) + 1, kStride, 1.0, f, exact);
}

TEST(Math, ExpOfSpecialValues) {
  EXPECT_EQ(exp_f32(0.0F), 1.0F);
  EXPECT_EQ(exp_f32(-0.0F), 1.0F);
  EXPECT_EQ(exp_f32(1e-40F), 1.0F);
  EXPECT_EQ(bits_of(exp_f32(-kInf)), bits_of(0.0F));
  EXPECT_EQ(exp_f32(kInf), kInf);
  EXPECT_TRUE(std::isnan(exp_f32(kNan)));
  EXPECT_GE(exp_f32(math::kExpMin), 0x1p-126F);
  EXPECT_EQ(bits_of(exp_f32(std::nextafterf(math::kExpMin, -kInf))), bits_of(0.0F));
  EXPECT_LT(exp_f32(math::kExpMax), kInf);
  EXPECT_EQ(exp_f32(std::nextafterf(math::kExpMax, kInf)), kInf);
  EXPECT_EQ(exp_f32(std::numeric_limits<float>::max()), kInf);
  EXPECT_EQ(bits_of(exp_f32(std::numeric_limits<float>::lowest())), bits_of(0.0F));
}

// Softmax relies on the first; the second is what "within one ulp" leaves possible, not more.
TEST(Math, ExpOfNonPositivesIsAtMostOneAndFallsUpToAnUlp) {
  float before = exp_f32(-0.0F);
  for (std::uint32_t bits = bits_of(-0x1p-30F); bits < bits_of(-100.0F); bits += 257) {
    const float y = exp_f32(float_of(bits));
    ASSERT_LE(y, 1.0F) << float_of(bits);
    ASSERT_LE(y, std::nextafterf(before, 2.0F)) << float_of(bits);
    before = y;
  }
  for (std::uint32_t bits = bits_of(-0x1p-30F); bits < bits_of(-0x1p-10F); bits++) {
    ASSERT_LE(exp_f32(float_of(bits)), 1.0F) << float_of(bits);
  }
}

TEST(Math, LogIsWithinOneUlp) {
  const auto f = [](float x) { return log_f32(x); };
  const auto exact = [](long double x) { return logl(x); };
  expect_ulps(bits_of(0x1p-126F), bits_of(kInf), kStride, 1.0, f, exact);
  expect_ulps(bits_of(0.999F), bits_of(1.001F), 1, 1.0, f, exact);
}

TEST(Math, LogOfSpecialValues) {
  EXPECT_EQ(bits_of(log_f32(1.0F)), bits_of(0.0F));
  EXPECT_EQ(log_f32(0.0F), -kInf);
  EXPECT_EQ(log_f32(-0.0F), -kInf);
  EXPECT_EQ(log_f32(float_of(1)), -kInf);  // a subnormal counts as zero in every float mode
  EXPECT_EQ(log_f32(float_of(0x80000001U)), -kInf);
  EXPECT_EQ(log_f32(kInf), kInf);
  EXPECT_TRUE(std::isnan(log_f32(-1.0F)));
  EXPECT_TRUE(std::isnan(log_f32(-kInf)));
  EXPECT_TRUE(std::isnan(log_f32(kNan)));
}

TEST(Math, Log1pIsWithinItsBound) {
  const auto f = [](float x) { return log1p_f32(x); };
  const auto exact = [](long double x) { return log1pl(x); };
  expect_ulps(bits_of(-0x1p-60F), bits_of(-1.0F), kStride, 1.0, f, exact);
  expect_ulps(bits_of(-0.99999F), bits_of(-1.0F), 1, 1.0, f, exact);
  expect_ulps(bits_of(0x1p-60F), bits_of(kInf), kStride, 2.0, f, exact);
}

TEST(Math, Log1pOfSpecialValues) {
  EXPECT_EQ(log1p_f32(0.0F), 0.0F);
  EXPECT_EQ(log1p_f32(-0x1p-33F), -0x1p-33F);
  EXPECT_EQ(log1p_f32(-1.0F), -kInf);
  EXPECT_EQ(log1p_f32(kInf), kInf);
  EXPECT_TRUE(std::isnan(log1p_f32(-1.5F)));
  EXPECT_TRUE(std::isnan(log1p_f32(kNan)));
  for (const float u : {-0x1p-33F, -0.3F, -0.7F, -1.0F + 0x1p-24F}) EXPECT_EQ(log1p_small_f32(u), log1p_f32(u));
}

// A float mode left behind by another library must not change bits.
TEST(Math, ResultsDoNotDependOnFlushing) {
  const auto digest = [] {
    std::uint64_t all = 0;
    for (std::uint64_t bits = 0; bits < (1ULL << 32); bits += 65521) {
      const float x = float_of(static_cast<std::uint32_t>(bits));
      for (const float y : {exp_f32(x), log_f32(x)}) {
        if (y == y) all = all * 31 + bits_of(y);
      }
    }
    return all;
  };
  set_kernel_float_mode();
  const std::uint64_t flushed = digest();
  std::uint64_t kept = 0;
#if defined(__x86_64__)
  const unsigned mode = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(mode & ~0x8040U);
  kept = digest();
  __builtin_ia32_ldmxcsr(mode);
#else
  kept = flushed;
#endif
  EXPECT_EQ(flushed, kept);
}

TEST(Math, SiluOfKnownValues) {
  EXPECT_EQ(silu_f32(0.0F), 0.0F);
  EXPECT_EQ(silu_f32(100.0F), 100.0F);
  EXPECT_EQ(bits_of(silu_f32(-100.0F)), bits_of(-0.0F));
  EXPECT_NEAR(silu_f32(1.0F), 0.731058578630, 1e-7);
  EXPECT_NEAR(silu_f32(-1.0F), -0.268941421370, 1e-7);
}

TEST(Math, DoubleSineAndCosineAreWithinTheirBound) {
  long double worst = 0;
  const auto check = [&](double x) {
    worst = std::max(worst, std::fabs(static_cast<long double>(sin_f64(x)) - sinl(x)));
    worst = std::max(worst, std::fabs(static_cast<long double>(cos_f64(x)) - cosl(x)));
  };
  for (int i = 0; i < 400000; i++) check((i % 2 == 0 ? 1 : -1) * (i * 2.62144 + i * 1e-6));
  for (int quarter = -66000; quarter <= 66000; quarter++) check(quarter * 1.5707963267948966);  // next to zeros
  for (double x = 1e-300; x < 1; x *= 1.37) check(x);
  EXPECT_LT(static_cast<double>(worst), 4e-16);
  EXPECT_EQ(sin_f64(0.0), 0.0);
  EXPECT_EQ(cos_f64(0.0), 1.0);
}

TEST(Math, DoubleExpAndLogAreWithinTheirBound) {
  long double worst_exp = 0;
  long double worst_log = 0;
  for (int i = -300000; i <= 300000; i++) {
    const double x = i * 0.0023333;
    worst_exp = std::max(worst_exp, std::fabs(static_cast<long double>(exp_f64(x)) / expl(x) - 1));
    const double y = std::exp(x) * 1.000003;
    if (y != 1.0) worst_log = std::max(worst_log, std::fabs(static_cast<long double>(log_f64(y)) / logl(y) - 1));
    const double near_one = 1.0 + i * 1e-9;
    if (i != 0)
      worst_log = std::max(worst_log, std::fabs(static_cast<long double>(log_f64(near_one)) / logl(near_one) - 1));
  }
  EXPECT_LT(static_cast<double>(worst_exp), 4e-16);
  EXPECT_LT(static_cast<double>(worst_log), 4e-16);
  EXPECT_EQ(exp_f64(0.0), 1.0);
  EXPECT_EQ(log_f64(1.0), 0.0);
}

TEST(DType, EveryHalfSurvivesTheWayToFloatAndBack) {
  for (std::uint32_t half = 0; half < 65536; half++) {
    const float value = f16_to_float(static_cast<std::uint16_t>(half));
    if (value == value) {
      ASSERT_EQ(to_f16_bits(value), half);
    }
  }
}

TEST(DType, FloatToHalfRoundsToNearestEven) {
  EXPECT_EQ(to_f16_bits(1.0F + 0x1p-11F), 0x3c00);      // a tie: down to even
  EXPECT_EQ(to_f16_bits(1.0F + 3 * 0x1p-11F), 0x3c02);  // a tie: up to even
  EXPECT_EQ(to_f16_bits(1.0F + 0x1p-11F + 0x1p-20F), 0x3c01);
  EXPECT_EQ(to_f16_bits(65519.0F), 0x7bff);
  EXPECT_EQ(to_f16_bits(65520.0F), 0x7c00);
  EXPECT_EQ(to_f16_bits(0x1p-14F - 0x1p-26F), 0x0400);  // a subnormal that rounds up to a normal
  EXPECT_EQ(to_f16_bits(0x1p-25F), 0x0000);             // half of the smallest subnormal: to even
  EXPECT_EQ(to_f16_bits(0x1.000002p-25F), 0x0001);
  EXPECT_EQ(to_f16_bits(-0x1p-24F), 0x8001);
  EXPECT_EQ(to_f16_bits(-kInf), 0xfc00);
  EXPECT_EQ(to_f16_bits(kNan) & 0x7e00, 0x7e00);
}

TEST(DType, FloatToBFloat16RoundsToNearestEven) {
  EXPECT_EQ(to_bf16(1.0F + 0x1p-8F).bits, 0x3f80);
  EXPECT_EQ(to_bf16(1.0F + 3 * 0x1p-8F).bits, 0x3f82);
  EXPECT_EQ(to_bf16(1.0F + 0x1p-8F + 0x1p-20F).bits, 0x3f81);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(to_bf16(float_of(0x00018000U)).bits, 0x0002);  // subnormals are kept
  EXPECT_TRUE(std::isnan(to_float(to_bf16(float_of(0x7f800001U)))));
}

}  // namespace
}  // namespace herd
