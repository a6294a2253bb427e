// The line every 10 s: rates, and its exact words.
#include "observability/stats_line.h"

#include <gtest/gtest.h>

#include <limits>

namespace herd::observability {
namespace {

// 10 s: 1234 prompt tokens, 567 generated; of 400 tokens looked up 100 were found.
TEST(StatsLine, SaysRatesBetweenTheSamplesInTheWordsThatPeopleLookFor) {
  const StatsSample before{
      .at_s = 100, .prompt_tokens = 1000, .generation_tokens = 500, .prefix_queries = 600, .prefix_hits = 300};
  const StatsSample now{.at_s = 110,
                        .prompt_tokens = 2234,
                        .generation_tokens = 1067,
                        .running = 3,
                        .waiting = 12,
                        .kv_usage = 0.4567,
                        .prefix_queries = 1000,
                        .prefix_hits = 400};
  EXPECT_EQ(stats_line(before, now),
            "Avg prompt throughput: 123.4 tokens/s, Avg generation throughput: 56.7 tokens/s, Running: 3 reqs, "
            "Waiting: 12 reqs, KV cache usage: 45.7%, Prefix cache hit rate: 25.0%");
}

TEST(StatsLine, IsAllZerosWhenNothingHappenedAndNoTimePassed) {
  const std::string zeros =
      "Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s, Running: 0 reqs, Waiting: 0 reqs, "
      "KV cache usage: 0.0%, Prefix cache hit rate: 0.0%";
  EXPECT_EQ(stats_line({}, {}), zeros);
  EXPECT_EQ(stats_line({.at_s = 5}, {.at_s = 4, .prompt_tokens = 10}), zeros);
}

TEST(StatsLine, CountsACounterThatFellFromZero) {
  const std::string line = stats_line({.at_s = 0, .generation_tokens = 1000}, {.at_s = 10, .generation_tokens = 50});
  EXPECT_NE(line.find("Avg generation throughput: 5.0 tokens/s"), std::string::npos) << line;
}

TEST(StatsLine, NeverSaysNan) {
  StatsSample now{.at_s = 1};
  now.kv_usage = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(stats_line({}, now).find("KV cache usage: 0.0%"), std::string::npos);
}

}  // namespace
}  // namespace herd::observability
