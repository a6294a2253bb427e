// How long a step may take, and how many rows that is.
#include "runtime/scheduler/chunk_rows.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/runtime/step_cost_fixture.h"

namespace herd::scheduler {
namespace {

constexpr double kForEver = std::numeric_limits<double>::infinity();
constexpr DeviceRates kRates{1e9, 1e9, 1e-4};
constexpr StepShape kDecodes{8, 8, 4000, 4000};
constexpr ChunkBounds kBounds{16, 512};

TEST(StepSecondsMax, IsAQuarterLongerThanTheDecodesButNeitherBelow50MsNor150MsMore) {
  const struct { double decode_s, expected_s; } rows[] = {
      {0.0, 0.050}, {0.010, 0.050}, {0.040, 0.050}, {0.048, 0.060}, {0.100, 0.125}, {0.400, 0.500}, {0.800, 0.950}, {5.0, 5.150}};
  for (const auto& row : rows) EXPECT_NEAR(step_seconds_max(std::nullopt, row.decode_s), row.expected_s, 1e-9) << row.decode_s;
}

TEST(StepSecondsMax, IsWhatWasAskedForWhateverTheDecodesTake) {
  for (const double decode_s : {0.0, 0.1, 10.0}) {
    EXPECT_DOUBLE_EQ(step_seconds_max(1, decode_s), 0.001);
    EXPECT_DOUBLE_EQ(step_seconds_max(600'000, decode_s), 600.0);
    EXPECT_EQ(step_seconds_max(0, decode_s), kForEver);
  }
}

TEST(WithChunk, CountsAsAPlanWithItDoes) {
  step::StepPlan plan;
  plan.slices = {{SequenceId{1}, 20, 1, {}, true, 4}};
  const StepShape before = shape_of(plan);
  plan.slices.push_back({SequenceId{2}, 100, 17, {}, true, 0});
  EXPECT_EQ(with_chunk(before, 100, 17), shape_of(plan));
  EXPECT_EQ(with_chunk(before, 100, 0), before);
}

// The chunk fits, and one more row does not.
TEST(ChunkRows, AreTheMostThatFit) {
  const StepCost cost = small_cost(kRates);
  for (const std::uint32_t position : {0U, 1000U, 100'000U}) {
    for (const double beyond_s : {0.005, 0.02, 0.04}) {
      const double seconds_max = cost.step_seconds(kDecodes) + beyond_s;
      const std::uint32_t rows = chunk_rows(cost, kDecodes, position, {0, 512}, seconds_max);
      ASSERT_LT(rows, 512U);
      EXPECT_TRUE(rows == 0 || cost.step_seconds(with_chunk(kDecodes, position, rows)) <= seconds_max) << position;
      EXPECT_GT(cost.step_seconds(with_chunk(kDecodes, position, rows + 1)), seconds_max) << position;
    }
  }
}

TEST(ChunkRows, StayWithinTheirBounds) {
  const StepCost cost = small_cost(kRates);
  EXPECT_EQ(chunk_rows(cost, kDecodes, 0, kBounds, kForEver), 512U);
  EXPECT_EQ(chunk_rows(cost, kDecodes, 0, kBounds, 1e-9), 16U);
  EXPECT_EQ(chunk_rows(cost, kDecodes, 0, {7, 7}, 1e-9), 7U);
  EXPECT_EQ(chunk_rows(cost, kDecodes, 0, {0, 512}, 1e-9), 0U);
  EXPECT_EQ(chunk_rows(cost, kDecodes, 0, {0, 0}, kForEver), 0U);
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  EXPECT_EQ(chunk_rows(cost, kDecodes, 0, {0, kMost}, kForEver), kMost);
}

TEST(ChunkRows, FallWithTheContextAndTheOtherRowsAndRiseWithTheTime) {
  const StepCost cost = small_cost(kRates);
  std::uint32_t last = 512;
  for (std::uint32_t position = 0; position < 200'000; position += 5'000) {
    const std::uint32_t rows = chunk_rows(cost, kDecodes, position, kBounds, 0.05);
    EXPECT_LE(rows, last) << position;
    last = rows;
  }
  EXPECT_EQ(last, 16U);
  last = 512;
  for (std::uint32_t decodes = 0; decodes < 512; decodes += 16) {
    const std::uint32_t rows = chunk_rows(cost, {decodes, decodes, decodes * 500U, decodes * 500U}, 0, kBounds, 0.05);
    EXPECT_LE(rows, last) << decodes;
    last = rows;
  }
  EXPECT_EQ(last, 16U);
  last = 0;
  for (double seconds_max = 0.001; seconds_max < 1.0; seconds_max *= 1.2) {
    const std::uint32_t rows = chunk_rows(cost, kDecodes, 100, kBounds, seconds_max);
    EXPECT_GE(rows, last) << seconds_max;
    last = rows;
  }
  EXPECT_EQ(last, 512U);
}

TEST(ChunkRows, OfNonsenseRatesAreStillWithinTheirBounds) {
  const double tiny = std::numeric_limits<double>::denorm_min(), huge = std::numeric_limits<double>::max();
  for (const double flops : {tiny, 1e9, huge, kForEver}) {
    for (const double bytes : {tiny, 1e9, huge, kForEver}) {
      for (const double overhead : {0.0, 1e-4, huge}) {
        const StepCost cost = small_cost({flops, bytes, overhead});
        const double seconds_max = step_seconds_max(std::nullopt, cost.step_seconds(kDecodes));
        const std::uint32_t rows = chunk_rows(cost, kDecodes, 1U << 31, kBounds, seconds_max);
        EXPECT_TRUE(rows >= 16 && rows <= 512) << flops << " " << bytes << " " << overhead;
      }
    }
  }
  EXPECT_EQ(chunk_rows(small_cost(kRates), kDecodes, 0, kBounds, std::numeric_limits<double>::quiet_NaN()), 16U);
}

// Steps that take for ever, or no time, until the rates are as far off as they get.
TEST(ChunkRows, FollowRatesThatDriftAsFarAsTheyMay) {
  StepCost cost = small_cost(kRates);
  const std::uint32_t before = chunk_rows(cost, kDecodes, 100, kBounds, 0.05);
  EXPECT_TRUE(before > 16 && before < 512);
  StepCost slow = cost, fast = cost;
  const StepShape chunk = with_chunk(kDecodes, 100, 200);
  std::uint32_t last = before;
  for (int step = 0; step < 3000; ++step) {
    slow.on_step(chunk, 1e6);
    fast.on_step(chunk, 1e-12);
    const std::uint32_t rows = chunk_rows(slow, kDecodes, 100, kBounds, 0.05);
    EXPECT_LE(rows, last);
    last = rows;
  }
  EXPECT_EQ(last, 16U);
  EXPECT_EQ(chunk_rows(fast, kDecodes, 100, kBounds, 0.05), 512U);
}

}  // namespace
}  // namespace herd::scheduler
