#include "cluster/routing/replica_paces.h"

#include <gtest/gtest.h>

namespace herd::routing {
namespace {

constexpr ReplicaGeneration kSlow{ReplicaId(0), Epoch(1)}, kFast{ReplicaId(1), Epoch(1)};

struct ReplicaPacesTest : testing::Test {
  ReplicaPaces paces;
  Instant now{1'000'000'000};
  int stretches = 0;  // that are over

  // So many sequences, numbered from `first` on, get a token each every `step_s`, for so long.
  void run(ReplicaGeneration replica, std::uint64_t first, std::uint64_t sequences, double step_s, double seconds) {
    const Instant begin = now;
    Instant at = begin;
    while (seconds_between(begin, at) < seconds) {
      for (std::uint64_t i = 0; i < sequences; ++i) stretches += paces.on_token(replica, SequenceId(first + i), at) ? 1 : 0;
      at.ns += static_cast<std::int64_t>(step_s * 1e9);
    }
    now = at;
  }
  void run_both(std::uint64_t slow_sequences, double slow_step_s, std::uint64_t fast_sequences, double fast_step_s) {
    const Instant begin = now;
    run(kSlow, 1, slow_sequences, slow_step_s, 3);
    now = begin;
    run(kFast, 1000, fast_sequences, fast_step_s, 3);
  }
  [[nodiscard]] bool slow() const { return paces.is_slower(kSlow, kFast, now); }
  void say(ReplicaGeneration replica, double step_s, std::uint32_t running = 1) {
    paces.on_load(replica, {.running = running, .decode_step_s = step_s});
  }
};

TEST_F(ReplicaPacesTest, OneThatIsEightTimesSlowerIsSlow) {
  run_both(4, 0.09, 4, 0.01);
  EXPECT_TRUE(slow());
  EXPECT_FALSE(paces.is_slower(kFast, kSlow, now));
}

TEST_F(ReplicaPacesTest, OneThatIsSevenTimesSlowerIsNot) {
  run_both(4, 0.07, 4, 0.01);
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, OneThatHasMoreToDoIsNot) {
  run_both(40, 0.1, 1, 0.01);  // arithmetic is the bound
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, SequencesOfOtherGatewaysCount) {
  say(kSlow, 0.1, 40);
  run_both(1, 0.1, 1, 0.01);
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, ItTakesAWhile) {
  run(kFast, 1000, 1, 0.01, 1);
  run(kSlow, 1, 1, 0.1, 1.5);
  EXPECT_FALSE(slow());
  run(kSlow, 1, 1, 0.1, 0.3);
  EXPECT_TRUE(slow());
  EXPECT_GT(stretches, 3);
}

TEST_F(ReplicaPacesTest, ASinglePauseIsNone) {
  run_both(1, 0.01, 1, 0.01);
  now.ns += 1'400'000'000;
  run(kSlow, 1, 1, 0.01, 2);
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, OneThatIsStoppedAndContinuedAllTheTimeIsSlow) {
  const Instant begin = now;
  for (int i = 0; i < 20; ++i) {
    run(kSlow, 1, 1, 0.001, 0.01);
    now.ns += 190'000'000;
  }
  now = begin;
  run(kFast, 1000, 1, 0.001, 2);
  EXPECT_TRUE(slow());
}

// Time in which nothing was waited for is nobody's.
TEST_F(ReplicaPacesTest, FirstTokensAndTimeBetweenSequencesDoNotCount) {
  run(kFast, 1000, 1, 0.01, 1);
  for (std::uint64_t sequence = 1; sequence < 30; ++sequence) {
    run(kSlow, sequence, 1, 0.01, 0.1);
    paces.on_left(SequenceId(sequence));
    now.ns += 500'000'000;
  }
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, ASequenceThatMovedHasNoPaceBetweenTwoReplicas) {
  EXPECT_FALSE(paces.on_token(kSlow, SequenceId(1), now));
  now.ns += 60'000'000'000;
  EXPECT_FALSE(paces.on_token(kFast, SequenceId(1), now));
}

TEST_F(ReplicaPacesTest, AnIdleOneIsComparedByWhatBothSay) {
  say(kFast, 0.01, 0);
  run(kSlow, 1, 1, 0.1, 3);
  EXPECT_FALSE(slow());  // it may be the gateway that is slow
  say(kSlow, 0.1);
  EXPECT_TRUE(slow());
  say(kSlow, 0.02);
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, WhatWasLongAgoDoesNotCount) {
  run(kFast, 1000, 1, 0.01, 3);
  now.ns += 60'000'000'000;
  run(kSlow, 1, 1, 0.1, 3);
  EXPECT_FALSE(slow());
}

TEST_F(ReplicaPacesTest, WhatWasMeasuredMayBeForgotten) {
  run_both(1, 0.1, 1, 0.01);
  ASSERT_TRUE(slow());
  paces.measure_anew(kSlow);
  EXPECT_FALSE(slow());
  EXPECT_FALSE(paces.is_known(kSlow));
}

}  // namespace
}  // namespace herd::routing
