// Predictions against hand-computed ones, and how measured steps move them.
#include "runtime/scheduler/step_cost.h"

#include <limits>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "tests/runtime/step_cost_fixture.h"

namespace herd::scheduler {
namespace {

const model::Encoding kF32{WeightFormat::kF32}, kBF16{WeightFormat::kBF16};

// So fast that it takes no time.
constexpr double kFree = 1e30;
constexpr double kNone = 1e-30;

step::StepPlan plan_of(std::vector<step::SequenceSlice> slices) {
  step::StepPlan plan;
  plan.slices = std::move(slices);
  return plan;
}

// A chunk of 3 rows behind 10 tokens sees 11 + 12 + 13 keys; a decode behind 20 sees 21.
TEST(StepShape, CountsRowsAndWhatTheySee) {
  const StepShape shape = shape_of(plan_of({{SequenceId{1}, 10, 3, {}, false, 0}, {SequenceId{2}, 20, 1, {}, true, 4}}));
  EXPECT_EQ(shape, (StepShape{4, 1, 13 + 21, 11 + 12 + 13 + 21}));
  EXPECT_EQ(shape_of(plan_of({})), StepShape());
  // 2^20 rows of one sequence: pairs beyond 32 bits.
  EXPECT_EQ(shape_of(plan_of({{SequenceId{1}, 0, 1U << 20, {}, false, 0}})).attended, (1ULL << 19) * ((1ULL << 20) + 1));
}

// Of a layer, one of two ranks: qkv 96 x 64, o 64 x 64, gate and up 256 x 64, down 64 x 128: 34816 weights; of the head 80 x 64.
constexpr double kLayerWeights = 34816, kHeadWeights = 5120;

TEST(StepCost, WhereMemoryIsFreeAStepIsItsArithmetic) {
  const StepCost cost(small_model(), kF32, 2, {1000.0, kFree, kNone});
  const StepShape shape{3, 1, 5, 12};
  const double products = 2 * 3 * 2 * kLayerWeights + 2 * kHeadWeights;
  const double attention = 2 * 4 * 12 * 64;  // two layers, 64 dims of queries
  const double sampling = 80 * 64;
  EXPECT_DOUBLE_EQ(cost.step_seconds(shape), (products + attention + sampling) / 1000);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kMatmul, shape), 3 * 2 * 256 * 64 / 1000.0) << "gate and up";
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kMatmul, {3, 100, 5, 12}), 100 * 2 * 80 * 64 / 1000.0) << "the head";
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kAttention, shape), attention / 2 / 1000);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kSample, shape), sampling / 1000);
}

TEST(StepCost, WhereArithmeticIsFreeAStepIsItsTraffic) {
  const StepCost cost(small_model(), kBF16, 2, {kFree, 1000.0, kNone});
  const StepShape shape{3, 1, 30, 87};
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kMatmul, shape), (256 * 64 + 3 * (256 + 64)) * 2 / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kAttention, shape), 30 * 2 * 16 * 2 / 1000.0) << "a KV head a rank";
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kEmbed, shape), 3 * 2 * 64 * 2 / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kNorm, shape), 3 * 2 * 64 * 2 / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kWriteKv, shape), 3 * 2 * 96 * 2 / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kAdd, shape), 3 * 64 * (2 * 4 + 3 * 2) / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kActivation, shape), 3 * 3 * 128 * 2 / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kGatherRows, shape), 2 * 64 * 2 / 1000.0);
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kSample, shape), 80 * 4 / 1000.0);
  // Everything but the products' rows, one after the other.
  const double weights = 2 * (2 * kLayerWeights + kHeadWeights);
  const double product_rows = 2 * (2 * 3 * ((96 + 64) + (64 + 64) + (256 + 64) + (64 + 128)) + (80 + 64));
  const double once = 768 + 768 + 256 + 320, each_layer = 1152 + 1920 + 2 * 2688 + 2304;
  EXPECT_DOUBLE_EQ(cost.step_seconds(shape), (weights + product_rows + once + 2 * each_layer) / 1000);
}

// A value takes what its block takes, shared out; a layer's product what a value of the layers takes on average.
TEST(StepCost, WeightsInBlocksAreReadAsTheyAreStored) {
  using enum WeightFormat;
  const StepShape shape{3, 1, 30, 87};
  const auto matmul_bytes = [&](const model::Encoding& encoding) {
    return StepCost(small_model(), encoding, 1, {kFree, 1000.0, kNone}).operation_seconds(Operation::kMatmul, shape) * 1000.0;
  };
  const double weights = 512 * 64, rows = 3 * (512 + 64) * 2;  // gate and up, the largest; activations are bf16
  const std::pair<WeightFormat, double> kBytesOf256[] = {{kQ8_0, 272}, {kQ4_0, 144}, {kQ4_1, 160},
                                                         {kQ5_0, 176}, {kQ5_1, 192},  // of super-blocks: but for
                                                         {kQ4_K, 144}, {kQ5_K, 176}, {kQ6_K, 208}};  // d and dmin
  EXPECT_EQ(std::size(kBytesOf256), std::size(kBlockFormats));
  for (const auto& [format, bytes] : kBytesOf256)
    EXPECT_DOUBLE_EQ(matmul_bytes({format, nullptr}), weights * bytes / 256 + rows) << format_name(format);

  // Of a layer: q and o 128 x 64 values each, k and v 32 x 64, gate, up and down 256 x 64.
  model::MatrixFormats formats{kQ8_0, kQ6_K, {{kQ4_0, kQ8_0, kQ6_K, kQ4_1, kQ5_0, kQ5_1, kQ6_K},
                                              {kBF16, kBF16, kF32, kQ4_0, kQ4_0, kQ4_0, kF16}}};
  const double q = 128 * 64, kv = 32 * 64, ffn = 256 * 64, values = 2 * (2 * q + 2 * kv + 3 * ffn);
  const double bytes = (q * (144 + 160) + kv * (272 + 208) + ffn * (176 + 192 + 208) +
                        q * (512 + 144) + kv * (512 + 1024) + ffn * (144 + 144 + 512)) / 256;
  const model::Encoding mixed{kQ4_0, std::make_shared<const model::MatrixFormats>(std::move(formats))};
  EXPECT_DOUBLE_EQ(matmul_bytes(mixed), weights * bytes / values + rows);
  // The head's own bytes show in what sampling rows adds to a step.
  const StepCost cost(small_model(), mixed, 1, {kFree, 1000.0, kNone});
  const double with_head = cost.step_seconds(shape), without = cost.step_seconds({3, 0, 30, 87});
  EXPECT_NEAR((with_head - without) * 1000.0, 160 * 64 * 208 / 256.0 + (160 + 64) * 2 + 2 * 64 * 2 + 160 * 4, 1e-6);
}

// Rows with keys at one rate, and what is read of the keys at another, one after the other.
TEST(StepCost, AttentionHasRatesOfItsOwn) {
  const StepCost cost(small_model(), kF32, 2, {kFree, kFree, kNone, 1000.0, 500.0});
  const StepShape shape{3, 1, 5, 12};
  const double attention = 4 * 12 * 64 / 1000.0 + 5 * 2 * 16 * 4 / 500.0;
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kAttention, shape), attention);
  EXPECT_DOUBLE_EQ(cost.longest_operation_seconds(shape), attention);
  EXPECT_DOUBLE_EQ(cost.step_seconds(shape), 2 * attention);
}

TEST(StepCost, AGroupIsAsFastAsItsSlowestRankInEverything) {
  const DeviceRates slower = slower_of({1, 20, 3, 40, 5}, {10, 2, 30, 4, 50});
  EXPECT_EQ(slower.flops_per_s, 1);
  EXPECT_EQ(slower.bytes_per_s, 2);
  EXPECT_EQ(slower.step_overhead_s, 30);
  EXPECT_EQ(slower.attention_flops_per_s, 4);
  EXPECT_EQ(slower.attention_bytes_per_s, 5);
}

// One KV head for four ranks: each has a copy.
TEST(StepCost, AKvHeadIsNotHalved) {
  const StepCost cost(small_model(), kBF16, 4, {kFree, 1000.0, kNone});
  EXPECT_DOUBLE_EQ(cost.operation_seconds(Operation::kAttention, {1, 1, 100, 100}), 100 * 2 * 16 * 2 / 1000.0);
}

TEST(StepCost, OperationsOfTheWholeStepTakeAsLongAsIt) {
  const StepCost cost(small_model(), kF32, 1, {});
  const StepShape shape{5, 5, 100, 100};
  EXPECT_EQ(cost.operation_seconds(Operation::kDevice, shape), cost.step_seconds(shape));
  EXPECT_EQ(cost.operation_seconds(Operation::kCollective, shape), cost.step_seconds(shape));
  for (const Operation operation : {Operation::kIdle, Operation::kLoading, Operation::kPreparing, Operation::kCount})
    EXPECT_EQ(cost.operation_seconds(operation, shape), 0.0);
}

TEST(StepCost, APlanWithoutRowsIsTheOverhead) {
  const StepCost cost(small_model(), kF32, 1, {1e9, 1e9, 0.25});
  EXPECT_EQ(cost.step_seconds({}), 0.25);
}

// ---- measured steps ----

constexpr DeviceRates kGuess{1e9, 1e9, 1e-6};
constexpr StepShape kDecode{1, 1, 50, 50}, kPrefill{512, 1, 512, 131328};

double relative(double value, double to) { return value / to - 1; }

TEST(StepCost, ComesToWhatStepsTakeWhateverItBeganWith) {
  for (const double factor : {0.1, 0.5, 3.0, 20.0}) {
    const StepCost truth(small_model(), kF32, 1, {1e9 / factor, 1e9 / factor, 1e-6 * factor});
    StepCost cost(small_model(), kF32, 1, kGuess);
    for (int step = 0; step < 200; ++step) cost.on_step(kPrefill, truth.step_seconds(kPrefill));
    EXPECT_NEAR(relative(cost.step_seconds(kPrefill), truth.step_seconds(kPrefill)), 0.0, 0.01) << factor;
  }
}

// Arithmetic three times slower than measured, memory twice as fast: decodes and chunks teach the two apart.
TEST(StepCost, LearnsArithmeticAndMemoryApart) {
  const StepCost truth(small_model(), kF32, 1, {1e9 / 3, 2e9, 1e-6});
  StepCost cost(small_model(), kF32, 1, kGuess);
  for (int step = 0; step < 2000; ++step) {
    const StepShape& shape = step % 2 == 0 ? kDecode : kPrefill;
    cost.on_step(shape, truth.step_seconds(shape));
  }
  for (const StepShape& shape : {kDecode, kPrefill})
    EXPECT_NEAR(relative(cost.step_seconds(shape), truth.step_seconds(shape)), 0.0, 0.05) << shape.rows << " rows";
}

// Attention four times slower than measured: short and long contexts teach it apart from the products.
TEST(StepCost, LearnsAttentionApart) {
  constexpr StepShape kLong{32, 1, 20'000, 600'000};
  const StepCost truth(small_model(), kF32, 1, {1e9, 1e9, 1e-6, 2.5e8, 2.5e8});
  StepCost cost(small_model(), kF32, 1, kGuess);
  for (int step = 0; step < 2000; ++step) {
    const StepShape& shape = step % 2 == 0 ? kLong : kPrefill;
    cost.on_step(shape, truth.step_seconds(shape));
  }
  for (const StepShape& shape : {kLong, kPrefill})
    EXPECT_NEAR(relative(cost.step_seconds(shape), truth.step_seconds(shape)), 0.0, 0.05) << shape.context_tokens << " tokens";
}

TEST(StepCost, StepsPredictedToTakeForEverTeachNothing) {
  StepCost cost(small_model(), kF32, 1, {std::numeric_limits<double>::denorm_min(), 1e9, 0.0});
  cost.on_step(kPrefill, 1.0);
  EXPECT_EQ(cost.rates().bytes_per_s, 1e9);
}

TEST(StepCost, OneStepThatTookForEverMovesItByATenthAtMost) {
  StepCost cost(small_model(), kF32, 1, kGuess);
  const double before = cost.step_seconds(kPrefill);
  cost.on_step(kPrefill, 1e6);
  EXPECT_GT(cost.step_seconds(kPrefill), before);
  EXPECT_LT(cost.step_seconds(kPrefill), 1.1 * before);
  cost.on_step(kPrefill, 1e-12);
  EXPECT_NEAR(relative(cost.step_seconds(kPrefill), before), 0.0, 0.01);
}

// A machine that is disturbed every tenth step, for a hundred times as long as the step takes.
TEST(StepCost, RareOutliersBarelyShow) {
  const StepCost truth(small_model(), kF32, 1, kGuess);
  StepCost cost = truth;
  const double seconds = truth.step_seconds(kPrefill);
  for (int step = 0; step < 1000; ++step) cost.on_step(kPrefill, step % 10 == 0 ? 100 * seconds : seconds);
  EXPECT_GT(cost.step_seconds(kPrefill), 0.99 * seconds);
  EXPECT_LT(cost.step_seconds(kPrefill), 1.3 * seconds);
}

TEST(StepCost, NeverDriftsFurtherThanItsBounds) {
  StepCost slow(small_model(), kF32, 1, kGuess), fast = slow;
  const double before = slow.step_seconds(kPrefill);
  for (int step = 0; step < 5000; ++step) {
    slow.on_step(kPrefill, 1e9);
    fast.on_step(kPrefill, 1e-30);
  }
  EXPECT_LE(slow.step_seconds(kPrefill), 1.001 * StepCost::kDriftMax * before);
  EXPECT_GE(fast.step_seconds(kPrefill), before / StepCost::kDriftMax / 1.001);
  EXPECT_GE(slow.rates().flops_per_s, kGuess.flops_per_s / StepCost::kDriftMax);
  EXPECT_LE(fast.rates().bytes_per_s, kGuess.bytes_per_s * StepCost::kDriftMax);
}

TEST(StepCost, WhatIsNoMeasurementCountsForNothing) {
  StepCost cost(small_model(), kF32, 1, kGuess);
  const double before = cost.step_seconds(kDecode);
  for (const double seconds : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    cost.on_step(kDecode, seconds);
  cost.on_step({}, 5.0);
  EXPECT_EQ(cost.step_seconds(kDecode), before);
}

}  // namespace
}  // namespace herd::scheduler
