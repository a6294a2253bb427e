// The arithmetic of top-p, and its operations on every instruction set beside reference/.
#include "kernels/nucleus.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr float kInfinity = __builtin_inff();
constexpr std::uint64_t kOne = std::uint64_t{1} << 40;

TEST(NucleusWeight, TheLikeliestWeighsOneAndEqualInfinitiesToo) {
  EXPECT_EQ(nucleus_weight(3.0F, 3.0F), kOne);
  EXPECT_EQ(nucleus_weight(kInfinity, kInfinity), kOne);
  EXPECT_EQ(nucleus_weight(-kInfinity, 3.0F), 0U);
  EXPECT_EQ(nucleus_weight(1.0F, kInfinity), 0U);
}

// So the last column that top-p keeps weighs something, and nobody below 28 does.
TEST(NucleusWeight, OnlyZerosFollowAZero) {
  bool zero = false;
  for (std::uint32_t bits = bits_of(27.5F); bits <= bits_of(29.0F); bits++) {
    const std::uint64_t weight = nucleus_weight(-float_of(bits), 0.0F);
    ASSERT_FALSE(zero && weight != 0) << float_of(bits);
    zero = weight == 0;
    ASSERT_TRUE(float_of(bits) < 27.8F || zero);
  }
}

TEST(NucleusGoal, LiesBetweenOneAndTheTotal) {
  EXPECT_EQ(nucleus_goal(0.0F, 1000), 1U);
  EXPECT_EQ(nucleus_goal(0x1p-149F, 1000), 1U);
  EXPECT_EQ(nucleus_goal(0.5F, 1001), 501U);
  EXPECT_EQ(nucleus_goal(0.5F, 1000), 500U);
  const float below_one = float_of(bits_of(1.0F) - 1);
  EXPECT_EQ(nucleus_goal(below_one, 1000), 1000U);
  EXPECT_EQ(nucleus_goal(below_one, ~std::uint64_t{0}), 18446742974197923840U);
  EXPECT_EQ(nucleus_goal(0.9F, 1), 1U);
}

TEST(NucleusBin, AscendsAsTheQuotientDescends) {
  const NucleusScale scale{1.0F, 5.0F, -20.0F, 5.0F, 1023.0F / 25.0F};
  EXPECT_EQ(nucleus_bin(5.0F, scale), 0);
  EXPECT_EQ(nucleus_bin(-20.0F, scale), kNucleusBins - 1);
  std::int32_t last = 0;
  for (float t = 5.0F; t > -30.0F; t -= 0.001F) {
    const std::int32_t bin = nucleus_bin(t, scale);
    ASSERT_TRUE(bin >= last && bin <= last + 1) << t;
    last = bin;
  }
  const NucleusScale infinite{1.0F, kInfinity, kInfinity, kInfinity, 0.0F};
  EXPECT_EQ(nucleus_bin(kInfinity, infinite), 0);
}

// body(ops of one instruction set, of so many threads)
template <class Body>
void on_every_set(const Body& body) {
  for (const CpuIsa isa : {CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
    for (const int threads : {1, 3}) {
      const auto device = make_cpu_device({isa, threads});
      if (!device) continue;  // another machine's; backend_equality_test says which
      SCOPED_TRACE((*device)->description());
      body((*device)->ops());
    }
  }
}

Ops& reference() {
  static const std::unique_ptr<Device> device = *make_cpu_device({CpuIsa::kReference, 1});
  return device->ops();
}

std::vector<float> some_logits(Random& random, std::int64_t columns, Fill fill) {
  std::vector<float> logits = random_values(random, columns, fill);
  for (float& logit : logits) {
    if (logit != logit) logit = 0.0F;
    if (random.below(50) == 0) logit = -kInfinity;
  }
  return logits;
}

constexpr std::int64_t kWidths[] = {1, 15, 16, 17, 1000, 300001};  // the last is split between threads everywhere

TEST(LogitRange, EqualsReference) {
  Random random(31);
  for (const Fill fill : kFills) {
    for (const std::int64_t columns : kWidths) {
      std::vector<float> logits = some_logits(random, 3 * columns, fill);
      if (random.below(3) == 0) logits[static_cast<std::size_t>(columns) - 1] = math::kNan;
      for (std::int64_t c = 0; c < columns; c++) logits[static_cast<std::size_t>(columns + c)] = c == 7 ? -0.0F : -kInfinity;
      const TensorView view{logits.data(), DType::kF32, 3, columns, columns};
      LogitRange expected[3];
      reference().logit_range(view, expected);
      on_every_set([&](Ops& ops) {
        LogitRange actual[3];
        ops.logit_range(view, actual);
        for (int row = 0; row < 3; row++) {
          EXPECT_TRUE(same_bits(expected[row].max, actual[row].max) && same_bits(expected[row].min, actual[row].min))
              << fill_name(fill) << ' ' << columns << " row " << row << ": " << actual[row].max << ", " << actual[row].min;
        }
      });
    }
  }
}

TEST(WeighAndSelect, EqualReference) {
  Random random(32);
  for (const Fill fill : kFills) {
    for (const std::int64_t columns : kWidths) {
      const std::vector<float> logits = some_logits(random, columns, fill);
      for (const float temperature : {1.0F, 0.3F, 1e-5F, 100.0F}) {
        float max = -kInfinity;
        for (const float logit : logits) max = logit / temperature > max ? logit / temperature : max;
        if (max == -kInfinity) continue;
        const float span = max == kInfinity ? 0.0F : 28.0F / temperature * (random.below(2) == 0 ? 1.0F : 0.01F);
        const NucleusScale scale{temperature, max, max - span, max, span > 0.0F ? 1023.0F / span : 0.0F};
        std::vector<NucleusBin> bins(kNucleusBins), actual_bins(kNucleusBins, NucleusBin{1, 1});
        reference().weigh(logits.data(), columns, scale, bins.data());
        const auto first = static_cast<std::int32_t>(random.below(300)), last = first + static_cast<std::int32_t>(random.below(700));
        std::size_t count = 0;
        for (std::int32_t bin = first; bin <= last; bin++) count += bins[static_cast<std::size_t>(bin)].columns;
        std::vector<std::int32_t> places(logits.size()), actual_places(logits.size());
        std::vector<float> values(logits.size()), actual_values(logits.size());
        reference().select(logits.data(), columns, scale, first, last, places.data(), values.data());
        on_every_set([&](Ops& ops) {
          ops.weigh(logits.data(), columns, scale, actual_bins.data());
          ops.select(logits.data(), columns, scale, first, last, actual_places.data(), actual_values.data());
          for (std::size_t bin = 0; bin < bins.size(); bin++) {
            ASSERT_EQ(bins[bin].weight, actual_bins[bin].weight) << fill_name(fill) << ' ' << columns << " bin " << bin;
            ASSERT_EQ(bins[bin].columns, actual_bins[bin].columns) << fill_name(fill) << ' ' << columns << " bin " << bin;
          }
          for (std::size_t i = 0; i < count; i++) {
            ASSERT_EQ(places[i], actual_places[i]) << fill_name(fill) << ' ' << columns;
            ASSERT_TRUE(same_bits(values[i], actual_values[i])) << fill_name(fill) << ' ' << columns;
          }
        });
      }
    }
  }
}

}  // namespace
}  // namespace herd
