// RoPE frequencies against the published golden values (model card formulas, theta 500000, computed in double).
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "runtime/model/rope_table.h"

namespace herd::model {
namespace {

RopeConfig llama3(double factor) {
  RopeConfig rope;
  rope.theta = 500000.0;
  rope.type = RopeType::kLlama3;
  rope.factor = factor;
  rope.low_freq_factor = 1.0;
  rope.high_freq_factor = 4.0;
  rope.original_max_position_embeddings = 8192;
  return rope;
}

TEST(RopeTable, Llama31FrequenciesMatchGoldenValues) {
  const auto f = rope_frequencies(llama3(8.0), 128);
  EXPECT_NEAR(f[1], 0.814617234, 1e-9);
  EXPECT_NEAR(f[28] / 0.00321144599, 1.0, 1e-8);
  EXPECT_NEAR(f[29] / 0.00216657076, 1.0, 1e-8);
  EXPECT_NEAR(f[31] / 0.000856751413, 1.0, 1e-8);
  EXPECT_NEAR(f[34] / 0.000178507813, 1.0, 1e-8);
  EXPECT_NEAR(f[63] / 3.06892599e-07, 1.0, 1e-8);
}

TEST(RopeTable, Llama32DivisorsMatchGoldenValues) {
  RopeConfig plain;
  plain.theta = 500000.0;
  const auto scaled = rope_frequencies(llama3(32.0), 64);
  const auto unscaled = rope_frequencies(plain, 64);
  EXPECT_DOUBLE_EQ(scaled[14], unscaled[14]);
  EXPECT_NEAR(unscaled[15] / scaled[15], 1.65132925, 1e-7);
  EXPECT_NEAR(unscaled[17] / scaled[17], 9.66672898, 1e-7);
  EXPECT_NEAR(unscaled[18] / scaled[18], 32.0, 1e-9);
}

TEST(RopeTable, TensorOfDivisorsGivesTheSameFrequencies) {
  RopeConfig divided;
  divided.theta = 500000.0;
  const auto plain = rope_frequencies(divided, 64);
  const auto scaled = rope_frequencies(llama3(32.0), 64);
  for (int i = 0; i < 32; ++i) divided.frequency_divisors.push_back(static_cast<float>(plain[i] / scaled[i]));
  const auto from_tensor = rope_frequencies(divided, 64);
  for (int i = 0; i < 32; ++i) EXPECT_NEAR(from_tensor[i] / scaled[i], 1.0, 1e-7);
}

TEST(RopeTable, HoldsCosThenSinOfEveryPosition) {
  RopeConfig rope;
  const RopeTable table(rope, 64, 5000);
  table.fill(5000);
  const auto f = rope_frequencies(rope, 64);
  for (const int position : {0, 1, 17, 4999}) {
    for (int i = 0; i < 32; ++i) {
      EXPECT_NEAR(table.values()[position * 64 + i], std::cos(position * f[i]), 6e-8);
      EXPECT_NEAR(table.values()[position * 64 + 32 + i], std::sin(position * f[i]), 6e-8);
    }
  }
}

TEST(RopeTable, ComputesRowsWhenTheyAreAskedForAndKeepsThem) {
  const RopeTable table(RopeConfig{}, 64, 5000);
  EXPECT_EQ(table.ready(), 0);
  EXPECT_EQ(table.size(), 5000U * 64);
  table.fill(0);
  EXPECT_EQ(table.ready(), 0);
  table.fill(1);
  const int first = table.ready();
  EXPECT_GE(first, 1);
  EXPECT_LT(first, 5000) << "not all of it: a step waits";
  const std::vector<float> before(table.values(), table.values() + std::size_t{64} * static_cast<std::size_t>(first));
  table.fill(5000);
  EXPECT_EQ(table.ready(), 5000);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), table.values()));
}

TEST(RopeTable, WhoHasTimeComputesWhatIsLeftUntilNothingIs) {
  const RopeTable table(RopeConfig{}, 64, 1000);
  int times = 0;
  while (table.fill_more()) {
    ++times;
    EXPECT_GT(table.ready(), 0);
  }
  EXPECT_GT(times, 1) << "a step may come between";
  EXPECT_EQ(table.ready(), 1000);
  EXPECT_FALSE(table.fill_more()) << "as for who comes second";
}

// Ranks of one process share a table, and each has a thread that fills it: one may compute the last row while the other looks.
TEST(RopeTable, TwoThatHaveTimeEndTogether) {
  for (int round = 0; round < 500; ++round) {
    const RopeTable table(RopeConfig{}, 2, 300);
    const auto fill = [&] {
      while (table.fill_more()) {
      }
    };
    std::thread other(fill);
    fill();
    other.join();
    EXPECT_EQ(table.ready(), 300);
  }
}

// Whoever asks finds its rows, and they are those that one thread computes.
TEST(RopeTable, ThreadsThatAskAtOnceFindTheSameRows) {
  const RopeTable alone(RopeConfig{}, 64, 20000);
  alone.fill(20000);
  const RopeTable shared(RopeConfig{}, 64, 20000);
  const auto ask = [&](int step) {
    for (int positions = step; positions <= 20000; positions += step) {
      shared.fill(positions);
      const std::size_t row = static_cast<std::size_t>(positions - 1) * 64;
      ASSERT_TRUE(std::equal(shared.values() + row, shared.values() + row + 64, alone.values() + row)) << positions;
    }
  };
  std::vector<std::thread> threads;
  for (const int step : {7, 500, 20000}) threads.emplace_back(ask, step);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace herd::model
