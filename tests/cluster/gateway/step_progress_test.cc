#include "cluster/gateway/step_progress.h"

#include <gtest/gtest.h>

namespace herd::gateway {
namespace {

routing::ReplicaGeneration replica(std::uint32_t id, std::uint64_t epoch = 1) { return {ReplicaId(id), Epoch(epoch)}; }

TEST(StepProgress, NothingIsSilentWhereNothingIsOpen) {
  StepProgress progress;
  EXPECT_EQ(progress.silent_since(), std::nullopt);
  progress.on_report(replica(0), 7, true, {5});  // another gateway's work
  EXPECT_EQ(progress.silent_since(), std::nullopt);
}

// A prefill of many steps: no token, and no silence.
TEST(StepProgress, EveryStepPutsItOff) {
  StepProgress progress;
  progress.on_open(1, {10});
  progress.on_report(replica(0), 0, true, {11});
  EXPECT_EQ(progress.silent_since(), Instant{11}) << "it has just begun";
  for (std::uint64_t step = 1; step < 20; ++step) {
    const Instant now{static_cast<std::int64_t>(10 + 100 * step)};
    progress.on_report(replica(0), step, true, now);
    progress.on_open(1, now);
    EXPECT_EQ(progress.silent_since(), now);
  }
  progress.on_report(replica(0), 19, true, {5000});
  EXPECT_EQ(progress.silent_since(), Instant{10 + 1900}) << "a report without a step is no progress";
  progress.on_open(0, {6000});
  EXPECT_EQ(progress.silent_since(), std::nullopt);
}

TEST(StepProgress, TheReplicaThatIsSilentLongestCounts) {
  StepProgress progress;
  progress.on_open(2, {0});
  progress.on_report(replica(0), 5, true, {10});
  progress.on_report(replica(1), 5, true, {20});
  progress.on_report(replica(1), 6, true, {30});
  EXPECT_EQ(progress.silent_since(), Instant{10}) << "the other's steps do not hide it";
  progress.on_lost(replica(0));
  EXPECT_EQ(progress.silent_since(), Instant{30});
}

TEST(StepProgress, AReplicaThatWasIdleBeginsAnew) {
  StepProgress progress;
  progress.on_open(1, {0});
  progress.on_report(replica(0), 5, true, {10});
  progress.on_report(replica(0), 6, false, {20});
  progress.on_open(0, {20});
  progress.on_open(1, {900});
  EXPECT_EQ(progress.silent_since(), Instant{900});
  progress.on_report(replica(0), 6, true, {901});
  EXPECT_EQ(progress.silent_since(), Instant{901});
}

// Its replica was lost, or does not say that it has it.
TEST(StepProgress, WhatNobodyHasIsSilentSinceSomebodyLastHadIt) {
  StepProgress progress;
  progress.on_open(1, {0});
  progress.on_report(replica(0), 5, true, {10});
  progress.on_open(1, {40});
  progress.on_lost(replica(0));
  progress.on_open(1, {50});
  EXPECT_EQ(progress.silent_since(), Instant{40});
  progress.on_report(replica(0, 2), 1, true, {60});
  EXPECT_EQ(progress.silent_since(), Instant{60}) << "its next generation has it";
}

}  // namespace
}  // namespace herd::gateway
