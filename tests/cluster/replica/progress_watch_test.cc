#include "cluster/replica/progress_watch.h"

#include <gtest/gtest.h>

namespace herd::replica {
namespace {

struct ProgressWatchTest : testing::Test {
  explicit ProgressWatchTest(ProgressWatch::Judge judge = ProgressWatch::Judge::kAsGroup) : watch({}, 3, judge) {
    watch.restart(now);
  }
  // Looks every 0.1 s until somebody is suspected, at most so long.
  std::optional<Suspicion> look(double seconds_max) {
    for (const Instant begin = now; seconds_between(begin, now) < seconds_max;) {
      now.ns += 100'000'000;
      if (moves) ++ranks[*moves].number;
      if (const auto suspicion = watch.look(ranks, predicted_s, watched, now)) return suspicion;
    }
    return std::nullopt;
  }
  Instant now{1'000'000'000};
  ProgressWatch watch;
  std::vector<Progress> ranks = std::vector<Progress>(3, Progress{5, 12, 1, Operation::kMatmul});
  std::vector<double> predicted_s = {0.0, 0.0, 0.0};
  std::vector<bool> watched = {true, true, true};
  std::optional<std::uint32_t> moves;  // one of them, all the while
};

TEST_F(ProgressWatchTest, ARankIsSuspectedAfterTheLeastTime) {
  ranks[0].operation = ranks[2].operation = Operation::kCollective;
  EXPECT_FALSE(look(1.4));
  const auto suspicion = look(1);
  ASSERT_TRUE(suspicion);
  EXPECT_EQ(suspicion->rank, 1U);
  EXPECT_EQ(suspicion->at, ranks[1]);
  EXPECT_NEAR(suspicion->silent_s, 1.5, 0.11);
  EXPECT_EQ(describe(*suspicion), "rank 1 has made no progress for 1.5 s in matmul (operation 1 of step 12)");
}

TEST_F(ProgressWatchTest, ARankThatMovesIsNot) {
  watched = {true, false, false};
  moves = 0;
  EXPECT_FALSE(look(100));
}

TEST_F(ProgressWatchTest, ALongOperationIsGivenItsTime) {
  watched = {false, true, false};
  predicted_s[1] = 2.0;
  EXPECT_FALSE(look(7.8));
  EXPECT_TRUE(look(1));
}

// While a rank computes, within its time, those that wait for it are its victims.
TEST_F(ProgressWatchTest, RanksThatWaitForOneThatComputesAreNot) {
  ranks[0].operation = ranks[2].operation = Operation::kCollective;
  moves = 1;
  EXPECT_FALSE(look(100));
  moves.reset();
  predicted_s[1] = 5.0;
  EXPECT_FALSE(look(19.5));
  EXPECT_EQ(look(2)->rank, 1U);
}

TEST_F(ProgressWatchTest, WhenAllWaitTheOneThatIsBehindIs) {
  for (Progress& rank : ranks) rank.operation = Operation::kCollective;
  ranks[0].number = 4;
  ranks[1].number = 3;
  ranks[2].number = 5;
  EXPECT_FALSE(look(1.4));
  const auto suspicion = look(1);
  ASSERT_TRUE(suspicion);
  EXPECT_EQ(suspicion->rank, 1U);
  EXPECT_TRUE(suspicion->sure);
}

TEST_F(ProgressWatchTest, BehindIsMeantModuloTheWidthOfTheNumbers) {
  for (Progress& rank : ranks) rank.operation = Operation::kCollective;
  ranks[0] = {0, 0, 1, Operation::kCollective};  // the epoch wrapped
  ranks[1] = {0xffff, 7, 1, Operation::kCollective};
  ranks[2] = {0xffff, 8, 1, Operation::kCollective};
  EXPECT_EQ(look(2)->rank, 1U);
  ranks[0] = {1, 0xffffff, 9, Operation::kCollective};
  ranks[1] = {1, 0, 1, Operation::kCollective};
  ranks[2] = {1, 0xffffff, 0xfffe, Operation::kCollective};  // the number did, on rank 0
  EXPECT_EQ(look(2)->rank, 2U);
}

TEST_F(ProgressWatchTest, ARankThatHasNotTakenItsPlanUpIs) {
  ranks[0].operation = ranks[2].operation = Operation::kCollective;
  ranks[1] = {5, 11, 40, Operation::kIdle};
  const auto suspicion = look(2);
  ASSERT_TRUE(suspicion);
  EXPECT_EQ(describe(*suspicion), "rank 1 has made no progress for 1.5 s: it is idle after step 11");
}

// It is through with the step that the others are in: it left a collective out.
TEST_F(ProgressWatchTest, ARankThatSkippedACollectiveIs) {
  ranks[0].operation = ranks[2].operation = Operation::kCollective;
  ranks[1] = {5, 12, 40, Operation::kIdle};
  watched[1] = false;
  EXPECT_FALSE(look(1.4));
  const auto suspicion = look(1);
  ASSERT_TRUE(suspicion);
  EXPECT_EQ(suspicion->rank, 1U);
  EXPECT_TRUE(suspicion->sure) << "two against one";
}

// It hangs in the last collective, which the others got past.
TEST_F(ProgressWatchTest, ARankThatIsLeftInACollectiveIs) {
  ranks[0] = ranks[2] = {5, 12, 40, Operation::kIdle};
  ranks[1].operation = Operation::kCollective;
  watched[0] = watched[2] = false;
  const auto suspicion = look(2);
  ASSERT_TRUE(suspicion);
  EXPECT_EQ(suspicion->rank, 1U);
  EXPECT_TRUE(suspicion->sure);
}

TEST(ProgressWatchOfTwo, WhetherOneLeftACollectiveOutOrTheOtherHangsThereIsOpen) {
  ProgressWatch watch({}, 2);
  watch.restart({});
  const std::vector<Progress> ranks{{5, 12, 40, Operation::kIdle}, {5, 12, 39, Operation::kCollective}};
  std::optional<Suspicion> suspicion;
  for (Instant now; !suspicion && now.ns < 3'000'000'000;) {
    now.ns += 100'000'000;
    suspicion = watch.look(ranks, std::vector{0.0, 0.0}, {false, true}, now);
  }
  ASSERT_TRUE(suspicion);
  EXPECT_FALSE(suspicion->sure);
}

TEST_F(ProgressWatchTest, WhenAllWaitInTheSameCollectiveItMayBeAny) {
  for (Progress& rank : ranks) rank.operation = Operation::kCollective;
  const auto suspicion = look(2);
  ASSERT_TRUE(suspicion);
  EXPECT_FALSE(suspicion->sure);
  EXPECT_EQ(describe(*suspicion),
            "rank 0 has made no progress for 1.5 s in collective (operation 1 of step 12), unless it is another that waits with it");
}

TEST_F(ProgressWatchTest, ARankThatOwesNothingIsNotWhileOthersMove) {
  ranks[1] = {5, 12, 40, Operation::kIdle};
  ranks[2].operation = Operation::kCollective;
  watched[1] = false;
  moves = 0;
  EXPECT_FALSE(look(100));
}

TEST_F(ProgressWatchTest, NobodyIsWhoOwesNothing) {
  watched = {false, false, false};
  EXPECT_FALSE(look(100));
}

TEST_F(ProgressWatchTest, SilenceBeforeItOwedAnythingDoesNotCount) {
  watched = {false, false, false};
  EXPECT_FALSE(look(10));
  watched[2] = true;
  EXPECT_FALSE(look(1.5));
  EXPECT_EQ(look(1)->rank, 2U);
}

TEST_F(ProgressWatchTest, AGapInItsOwnTimeStartsEverybodyAnew) {
  EXPECT_FALSE(look(1.4));
  now.ns += 60'000'000'000;
  EXPECT_FALSE(watch.look(ranks, predicted_s, watched, now));
  EXPECT_FALSE(look(1.4));
  EXPECT_TRUE(look(0.3));
}

TEST_F(ProgressWatchTest, ItsFirstLookOnlyBegins) {
  ProgressWatch fresh({}, 3);
  now.ns += 100'000'000'000;
  EXPECT_FALSE(fresh.look(ranks, predicted_s, watched, now));
}

struct AfterAnAbort : ProgressWatchTest {
  AfterAnAbort() : ProgressWatchTest(ProgressWatch::Judge::kEachAlone) {}
};

TEST_F(AfterAnAbort, ARankInACollectiveHangsOfItself) {
  ranks[0] = {5, 12, 40, Operation::kIdle};
  ranks[1].operation = Operation::kCollective;
  watched = {false, true, false};
  moves = 2;
  EXPECT_FALSE(look(1.4));
  EXPECT_EQ(look(1)->rank, 1U);
}

}  // namespace
}  // namespace herd::replica
