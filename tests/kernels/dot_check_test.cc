// The check of dot products: what this CPU passes, and products with a planted fault, which it must find.

#include "kernels/cpu/dot_check.h"

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/isa_choice.h"

namespace herd {
namespace {

// One step of two products on an accumulator, as an instruction might do it. `a` and `b`: k and k + 2 of a chain.
using Step = float (*)(float sum, float x_a, float w_a, float x_b, float w_b);

float in_order(float sum, float x_a, float w_a, float x_b, float w_b) {
  return std::fmaf(x_b, w_b, std::fmaf(x_a, w_a, sum));
}
float wrong_order(float sum, float x_a, float w_a, float x_b, float w_b) {
  return std::fmaf(x_a, w_a, std::fmaf(x_b, w_b, sum));
}
float one_rounding(float sum, float x_a, float w_a, float x_b, float w_b) {
  return sum + std::fmaf(x_a, w_a, x_b * w_b);
}
// A product below 2^-126 is lost before it is added.
float dropped_subnormal(float sum, float x_a, float w_a, float x_b, float w_b) {
  const auto add = [](float to, float x, float w) {
    return std::fabs(static_cast<double>(x) * w) < 0x1p-126 ? to + 0.0F : std::fmaf(x, w, to);
  };
  return add(add(sum, x_a, w_a), x_b, w_b);
}
// Subnormal operands keep their value, where DAZ makes them zero. Looked at by their bits: under DAZ a comparison sees 0.
float kept_subnormal(float sum, float x_a, float w_a, float x_b, float w_b) {
  const auto exact = [](float value) {
    const auto bits = __builtin_bit_cast(std::uint32_t, value);
    if ((bits >> 23 & 0xffU) != 0) return static_cast<double>(value);
    return std::ldexp(static_cast<double>(bits & 0x7fffffU), -149) * ((bits >> 31) != 0 ? -1.0 : 1.0);
  };
  const auto add = [&](float to, float x, float w) {
    const bool daz = exact(x) != 0 && exact(w) != 0 && x * w == 0.0F;
    return daz ? static_cast<float>(static_cast<double>(to) + exact(x) * exact(w)) : std::fmaf(x, w, to);
  };
  return add(add(sum, x_a, w_a), x_b, w_b);
}

float widened(std::uint16_t bits) { return __builtin_bit_cast(float, std::uint32_t{bits} << 16); }

// x stays bf16, [rows][k_padded].
void copy_x(const TensorView& x, int, std::int64_t k_padded, std::int64_t tiles, std::int64_t begin, std::int64_t end,
            char* packed) {
  auto* out = reinterpret_cast<std::uint16_t*>(packed);
  for (std::int64_t row = tile_row(x.rows, tiles, begin); row < tile_row(x.rows, tiles, end); row++) {
    for (std::int64_t k = 0; k < k_padded; k++) {
      const auto* in = static_cast<const std::uint16_t*>(x.data) + row * x.row_stride;
      out[row * k_padded + k] = k < x.cols ? in[k] : std::uint16_t{0};
    }
  }
}

template <Step step>
void multiply(const MatmulArgs& args, std::int64_t panel_begin, std::int64_t panel_end, float*) {
  const std::int64_t k_padded = args.w->k_padded();
  const auto* weights = static_cast<const std::uint16_t*>(args.w->data);
  for (std::int64_t row = 0; row < args.rows; row++) {
    const auto* x = reinterpret_cast<const std::uint16_t*>(args.x) + row * k_padded;
    for (std::int64_t n = panel_begin * kPanelOutputs; n < panel_end * kPanelOutputs; n++) {
      const auto w = [&](std::int64_t k) {
        return widened(weights[(n / 16 * (k_padded / 2) + k / 2) * 32 + n % 16 * 2 + k % 2]);
      };
      float total = 0.0F;
      for (std::int64_t chunk = 0; chunk < k_padded; chunk += kChunkK) {
        float chain[2] = {0.0F, 0.0F};
        for (std::int64_t k = chunk; k < chunk + kChunkK; k += 4) {
          for (int i = 0; i < 2; i++) {
            chain[i] = step(chain[i], widened(x[k + i]), w(k + i), widened(x[k + i + 2]), w(k + i + 2));
          }
        }
        total += chain[0] + chain[1];
      }
      static_cast<float*>(args.out->data)[row * args.out->row_stride + n] = total;
    }
  }
}

template <Step step>
const Product& product(const TensorView&, const PackedMatrix&) {
  static constexpr Product kProduct = {4, 1, kChunkK * 2, copy_x, multiply<step>};
  return kProduct;
}

template <Step step>
KernelTable table() {
  KernelTable kernels = kKernelsAvx512;
  kernels.product = product<step>;
  return kernels;
}

class DotCheck : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cpu_features().avx512) GTEST_SKIP() << "CPU lacks " << cpu_features().missing_for_avx512;
  }
};

TEST_F(DotCheck, PassesWhatGivesTheSameBits) {
  EXPECT_EQ(first_product_difference(kKernelsAvx512, kKernelsAvx512), "");
  EXPECT_EQ(first_product_difference(kKernelsAvx512, table<in_order>()), "");
  if (!cpu_features().avx512_bf16) GTEST_SKIP() << "CPU lacks " << cpu_features().missing_for_avx512_bf16;
  const std::string difference = first_product_difference(kKernelsAvx512, kKernelsAvx512Bf16);
  // Known of AMD's CPUs; what others round is their own, and found out at the start.
  if (!__builtin_cpu_is("amd") && !difference.empty()) GTEST_SKIP() << "this CPU's dot products round otherwise: " << difference;
  EXPECT_EQ(difference, "");
}

TEST_F(DotCheck, FindsEveryPlantedFault) {
  EXPECT_NE(first_product_difference(kKernelsAvx512, table<wrong_order>()), "");
  EXPECT_NE(first_product_difference(kKernelsAvx512, table<one_rounding>()), "");
  EXPECT_NE(first_product_difference(kKernelsAvx512, table<dropped_subnormal>()), "");
  EXPECT_NE(first_product_difference(kKernelsAvx512, table<kept_subnormal>()), "");
}

TEST_F(DotCheck, SaysWhereTheDifferenceIs) {
  const std::string dropped = first_product_difference(kKernelsAvx512, table<dropped_subnormal>());
  EXPECT_NE(dropped.find("tiny values, row "), std::string::npos) << dropped;
  const std::string kept = first_product_difference(kKernelsAvx512, table<kept_subnormal>());
  EXPECT_NE(kept.find("subnormal values, row "), std::string::npos) << kept;
}

TEST_F(DotCheck, KeepsTheFloatModeOfTheCaller) {
  std::fesetenv(FE_DFL_ENV);  // tests before this one may have left their thread in kernel mode
  const volatile float subnormal = 0x1p-130F;
  (void)first_product_difference(kKernelsAvx512, kKernelsAvx512);
  (void)product_speed_ratio(kKernelsAvx512, kKernelsAvx512);
  EXPECT_GT(subnormal * 2.0F, 0.0F);
}

// ---- the choice ----

CpuFeatures all_features() {
  CpuFeatures features;
  features.avx2 = features.avx512 = features.avx512_vnni = features.avx512_bf16 = true;
  return features;
}

const DotVerdict& good() {
  static const DotVerdict verdict{"", true};
  return verdict;
}
const DotVerdict& slow() {
  static const DotVerdict verdict{"", false};
  return verdict;
}
const DotVerdict& wrong() {
  static const DotVerdict verdict{"tiny values, row 0 of 6", true};
  return verdict;
}
const DotVerdict& not_asked() {
  ADD_FAILURE() << "the instruction was tried on a CPU that may lack it, or for kernels that have none";
  return wrong();
}

const std::string& right_blocks(CpuIsa) {
  static const std::string none;
  return none;
}
// VNNI's are wrong, and so are those of the set above it, which has them.
const std::string& wrong_blocks(CpuIsa isa) {
  static const std::string none;
  static const std::string difference = "q4_0, row 0 of 1";
  return isa == CpuIsa::kAvx512Vnni || isa == CpuIsa::kAvx512Bf16 ? difference : none;
}

CpuIsa chosen(CpuIsa wanted, const CpuFeatures& features, const DotVerdict& (*judge)()) {
  const auto choice = choose_isa(wanted, features, {judge, right_blocks});
  EXPECT_TRUE(choice);
  return choice ? choice->isa : CpuIsa::kAuto;
}

TEST(IsaChoice, AutoTakesDotProductsWhereTheyAreRightAndFaster) {
  EXPECT_EQ(chosen(CpuIsa::kAuto, all_features(), good), CpuIsa::kAvx512Bf16);
  EXPECT_EQ(chosen(CpuIsa::kAuto, all_features(), slow), CpuIsa::kAvx512Vnni);
  EXPECT_EQ(choose_isa(CpuIsa::kAuto, all_features(), {slow, right_blocks})->note, "");
}

TEST(IsaChoice, AutoSaysThatOtherBitsAreNotUsed) {
  const auto choice = choose_isa(CpuIsa::kAuto, all_features(), {wrong, right_blocks});
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->isa, CpuIsa::kAvx512Vnni);
  EXPECT_NE(choice->note.find("vdpbf16ps"), std::string::npos);
  EXPECT_NE(choice->note.find(wrong().difference), std::string::npos);
}

TEST(IsaChoice, AutoTakesWhatThereIs) {
  CpuFeatures features = all_features();
  features.avx512_bf16 = false;
  EXPECT_EQ(chosen(CpuIsa::kAuto, features, not_asked), CpuIsa::kAvx512Vnni);
  features.avx512_vnni = false;
  EXPECT_EQ(chosen(CpuIsa::kAuto, features, not_asked), CpuIsa::kAvx512);
  features.avx512 = false;
  EXPECT_EQ(chosen(CpuIsa::kAuto, features, not_asked), CpuIsa::kAvx2);
  features.avx2 = false;
  EXPECT_EQ(chosen(CpuIsa::kAuto, features, not_asked), CpuIsa::kReference);
}

TEST(IsaChoice, AForcedOneIsTakenAsItIs) {
  for (const CpuIsa isa : {CpuIsa::kReference, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Vnni}) {
    EXPECT_EQ(chosen(isa, all_features(), not_asked), isa);
  }
  EXPECT_EQ(chosen(CpuIsa::kAvx512Bf16, all_features(), slow), CpuIsa::kAvx512Bf16);
}

TEST(IsaChoice, RefusesWhatIsMissingOrWrong) {
  CpuFeatures features;
  features.missing_for_avx2 = "f16c";
  features.missing_for_avx512 = "f16c, avx512dq";
  features.missing_for_avx512_vnni = "avx512_vnni";
  features.missing_for_avx512_bf16 = "avx512_bf16";
  struct Refused {
    CpuIsa isa;
    const char* names;
  };
  for (const Refused& refused : {Refused{CpuIsa::kAvx2, "f16c"}, Refused{CpuIsa::kAvx512, "avx512dq"},
                                 Refused{CpuIsa::kAvx512Vnni, "avx512_vnni"}, Refused{CpuIsa::kAvx512Bf16, "avx512_bf16"}}) {
    const auto choice = choose_isa(refused.isa, features, {not_asked, right_blocks});
    ASSERT_FALSE(choice);
    EXPECT_EQ(choice.error().code(), StatusCode::kUsage);
    EXPECT_NE(choice.error().message().find(refused.names), std::string::npos);
  }
  const auto choice = choose_isa(CpuIsa::kAvx512Bf16, all_features(), {wrong, right_blocks});
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code(), StatusCode::kUsage);
  EXPECT_NE(choice.error().message().find("--cpu-isa"), std::string::npos);
}

TEST(IsaChoice, WrongProductsOfBlocksAreNotUsed) {
  const auto choice = choose_isa(CpuIsa::kAuto, all_features(), {good, wrong_blocks});
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->isa, CpuIsa::kAvx512);
  EXPECT_NE(choice->note.find("avx512-bf16 is not used"), std::string::npos);
  EXPECT_NE(choice->note.find("avx512-vnni is not used"), std::string::npos);
  EXPECT_NE(choice->note.find("q4_0, row 0 of 1"), std::string::npos);
  const auto forced = choose_isa(CpuIsa::kAvx512Vnni, all_features(), {good, wrong_blocks});
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().code(), StatusCode::kUsage);
  EXPECT_NE(forced.error().message().find("q4_0, row 0 of 1"), std::string::npos);
}

}  // namespace
}  // namespace herd
