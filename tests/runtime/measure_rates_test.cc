// Rates of a small model's matrices. How large they are is the machine's business.
#include "runtime/shard/measure_rates.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/runtime/block_source.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::shard {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

TEST(MeasureRates, AreOnesThatACostCanBeginWith) {
  for (const WeightFormat weights : {WeightFormat::kF32, WeightFormat::kBF16}) {
    ShardConfig config = tiny_shard();
    config.encoding.weights = weights;
    const auto device = cpu(CpuIsa::kAuto);
    const auto rates = measure_rates(*device, *tiny_weights(config, *device), config);
    ASSERT_TRUE(rates.has_value()) << rates.error().message();
    for (const double rate : {rates->flops_per_s, rates->bytes_per_s, rates->step_overhead_s, rates->attention_flops_per_s,
                              rates->attention_bytes_per_s}) {
      EXPECT_TRUE(std::isfinite(rate));
      EXPECT_GT(rate, 0.0);
    }
    const scheduler::StepCost cost(config.model, config.encoding, 1, *rates);
    EXPECT_GT(cost.step_seconds({48, 1, 48, 1176}), cost.step_seconds({1, 1, 48, 48}));
  }
}

TEST(MeasureRates, TakeBlocksOfSeveralFormats) {
  for (const int ranks : {1, 8}) {
    ShardConfig config = tiny_shard();
    config.model = model::testing::block_config();
    config.plan = *model::plan_shard(config.model, ranks, ranks - 1);
    const model::testing::BlockSource source(config.model, model::testing::mixed_format);
    config.encoding = model::encoding_of(config.model, source, WeightFormat::kQ4_0);
    for (const CpuIsa isa : {CpuIsa::kAuto, CpuIsa::kReference}) {
      const auto device = cpu(isa);
      model::LoadReport report;
      const auto weights = model::load_weights(config.model, source, {config.plan}, *device, {config.encoding, {}}, report);
      ASSERT_TRUE(weights.has_value());
      const auto rates = measure_rates(*device, *weights->front(), config);
      ASSERT_TRUE(rates.has_value()) << rates.error().message();
      for (const double rate : {rates->flops_per_s, rates->bytes_per_s, rates->attention_flops_per_s})
        EXPECT_TRUE(std::isfinite(rate) && rate > 0.0) << rate;
    }
  }
}

TEST(MeasureRates, AStepOfOneRowIsEnough) {
  const auto device = cpu();
  ShardConfig config = tiny_shard();
  config.rows_max = 1;
  EXPECT_TRUE(measure_rates(*device, *tiny_weights(config, *device), config).has_value());
}

TEST(MeasureRates, TooLittleMemoryIsMissing) {
  const auto device = cpu();
  const auto weights = tiny_weights(tiny_shard(), *device);
  ShardConfig config = tiny_shard();
  config.rows_max = std::int64_t{1} << 40;
  const auto rates = measure_rates(*device, *weights, config);
  ASSERT_FALSE(rates);
  EXPECT_EQ(rates.error().code(), StatusCode::kMissing);
}

}  // namespace
}  // namespace herd::shard
