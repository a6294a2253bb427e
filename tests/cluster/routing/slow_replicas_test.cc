#include "cluster/routing/slow_replicas.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/cluster/routing/generations.h"

namespace herd::routing {
namespace {

constexpr std::array kBoth{kA, kB};

struct SlowReplicasTest : testing::Test {
  SlowReplicas slow;
  Instant now{1'000'000'000};

  void pass(double seconds) { now.ns += static_cast<std::int64_t>(seconds * 1e9); }
  // A sequence on each gets a token every so many seconds, for two seconds. How often one was found slow.
  int run(double step_a_s, double step_b_s) {
    int found = 0;
    const auto tokens = [&](ReplicaGeneration replica, SequenceId sequence, double step_s, Instant at) {
      for (const Instant begin = at; seconds_between(begin, at) < 2; at.ns += static_cast<std::int64_t>(step_s * 1e9))
        found += slow.on_token(replica, sequence, at) && slow.judge(replica, kBoth, at) ? 1 : 0;
    };
    tokens(kB, SequenceId(2), step_b_s, now);
    tokens(kA, SequenceId(1), step_a_s, now);
    pass(2);
    return found;
  }
};

TEST_F(SlowReplicasTest, TheSlowOneIsSparedUntilItsRestIsOver) {
  EXPECT_EQ(run(0.01, 0.01), 0);
  EXPECT_TRUE(slow.empty());
  EXPECT_EQ(run(0.1, 0.01), 1);
  EXPECT_TRUE(slow.is_slow(kA));
  EXPECT_FALSE(slow.is_slow(kB));
  EXPECT_TRUE(slow.is_spared(kA, 0, now));
  EXPECT_FALSE(slow.is_spared(kB, 5, now));
  pass(SlowReplicas::kRestSeconds);
  EXPECT_FALSE(slow.is_spared(kA, 0, now));
  EXPECT_TRUE(slow.is_spared(kA, 1, now));
  EXPECT_EQ(slow.ejections(), 1U);
}

TEST_F(SlowReplicasTest, OneThatIsFastAgainIsAsUsual) {
  EXPECT_EQ(run(0.1, 0.01), 1);
  pass(SlowReplicas::kRestSeconds);
  slow.on_trial(kA);
  EXPECT_FALSE(slow.is_slow(kA)) << "the trial is not to move";
  EXPECT_TRUE(slow.is_spared(kA, 1, now));
  slow.on_left(SequenceId(1));
  EXPECT_EQ(run(0.01, 0.01), 0);
  EXPECT_TRUE(slow.empty());
  EXPECT_FALSE(slow.is_spared(kA, 1, now));
}

TEST_F(SlowReplicasTest, OneThatIsStillSlowRestsLonger) {
  EXPECT_EQ(run(0.1, 0.01), 1);
  pass(SlowReplicas::kRestSeconds);
  slow.on_trial(kA);
  slow.on_left(SequenceId(1));
  EXPECT_EQ(run(0.1, 0.01), 1);
  EXPECT_TRUE(slow.is_slow(kA));
  pass(SlowReplicas::kRestSeconds);
  EXPECT_TRUE(slow.is_spared(kA, 0, now));
  pass(SlowReplicas::kRestSeconds);
  EXPECT_FALSE(slow.is_spared(kA, 0, now));
  EXPECT_EQ(slow.ejections(), 2U);
}

// What has not moved yet, as nobody has room for it, says again and again that its replica is slow.
TEST_F(SlowReplicasTest, OneThatIsSlowIsFoundSlowOnce) {
  EXPECT_EQ(run(0.1, 0.01), 1);
  EXPECT_EQ(run(0.1, 0.01), 0);
  EXPECT_EQ(slow.ejections(), 1U);
}

// Should all others be gone it serves alone, and may recover.
TEST_F(SlowReplicasTest, OneThatRecoversWithoutATrialIsAsUsual) {
  EXPECT_EQ(run(0.1, 0.01), 1);
  EXPECT_EQ(run(0.01, 0.01), 0);
  EXPECT_TRUE(slow.empty());
}

TEST_F(SlowReplicasTest, SlowOnesAreNoMeasure) {
  EXPECT_EQ(run(0.1, 0.01), 1);
  EXPECT_EQ(run(0.1, 2), 0) << "nobody is left to compare the other one with";
}

TEST_F(SlowReplicasTest, WhoIsGoneIsForgotten) {
  EXPECT_EQ(run(0.1, 0.01), 1);
  slow.keep_only([](ReplicaGeneration replica) { return replica == kB; });
  EXPECT_TRUE(slow.empty());
}

}  // namespace
}  // namespace herd::routing
