#include "cluster/routing/replica_signals.h"

#include <gtest/gtest.h>

namespace herd::routing {
namespace {

TEST(ReplicaSignals, CapacityIsAFullBatchOverItsPredictedStep) {
  // 4 run in 20 ms, 4 more rows at 5 ms each: 8 tokens in 40 ms.
  EXPECT_DOUBLE_EQ(signals_of({.running = 4, .decode_step_s = 0.02, .prompt_token_s = 0.005}, 8, 0).capacity_tokens_per_s, 200);
  // Idle: a step of one, and 7 rows more.
  EXPECT_DOUBLE_EQ(signals_of({.decode_step_s = 0.005, .prompt_token_s = 0.005}, 8, 0).capacity_tokens_per_s, 200);
  // Full, or more than that.
  EXPECT_DOUBLE_EQ(signals_of({.running = 8, .decode_step_s = 0.04, .prompt_token_s = 0.005}, 8, 0).capacity_tokens_per_s, 200);
  EXPECT_DOUBLE_EQ(signals_of({.running = 9, .decode_step_s = 0.04, .prompt_token_s = 0.005}, 8, 0).capacity_tokens_per_s, 200);
}

TEST(ReplicaSignals, WhoHasNotSaidHowFastItIsHasNoCapacity) {
  EXPECT_EQ(signals_of({.running = 4}, 8, 0).capacity_tokens_per_s, 0);
  EXPECT_EQ(signals_of({.running = 4, .decode_step_s = 0.02}, 0, 0.5).capacity_tokens_per_s, 0);
  EXPECT_EQ(signals_of({.running = 4, .decode_step_s = 0.02}, 0, 0.5).saturation, 0);
}

TEST(ReplicaSignals, SaturationIsPlacesOrBlocksWhicheverAreScarcer) {
  EXPECT_EQ(signals_of({}, 8, 0).saturation, 0);
  EXPECT_EQ(signals_of({.running = 2}, 8, 0.1).saturation, 0.25);
  EXPECT_EQ(signals_of({.running = 2}, 8, 0.75).saturation, 0.75);
  EXPECT_EQ(signals_of({.running = 2, .waiting = 2}, 8, 0).saturation, 0.5) << "those that wait have no place yet";
  EXPECT_EQ(signals_of({.running = 8, .waiting = 8}, 8, 0).saturation, 1);
}

}  // namespace
}  // namespace herd::routing
