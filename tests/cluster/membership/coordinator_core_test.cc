#include "cluster/membership/coordinator_core.h"

#include <gtest/gtest.h>

namespace herd::membership {
namespace {

using routing::ReplicaGeneration;
using routing::ReplicaLoss;
using routing::ReplicaState;
using routing::ReplicaView;

// A coordinator of cluster epoch 7.
struct CoordinatorCoreTest : testing::Test {
  ReplicaGeneration place(std::uint32_t replica, bool returns = true) {
    return core.place({ReplicaId(replica), "node-a:" + std::to_string(replica), "cpu-1/x", 8, 512}, returns, effects);
  }
  static ReplicaView serving(ReplicaGeneration generation) {
    return {{generation, "node-b:9", "cpu-1/y"}, ReplicaState::kServing, true, 16, 1024};
  }
  static ReplicaLoss loss(ReplicaGeneration generation) {
    return {generation, routing::LossCause::kKilled, {StatusCode::kAborted, "gone"}, std::nullopt};
  }
  ReplicaGeneration placed_and_serving(std::uint32_t replica) {
    const ReplicaGeneration generation = place(replica);
    core.on_serving(serving(generation), effects);
    return generation;
  }
  const ReplicaView& replica(std::size_t index) const { return core.view().replicas.at(index); }
  // Views pushed since the last call. Each carries the number after the one before.
  std::size_t pushed_views() {
    std::size_t views = 0;
    for (const CoordinatorEffect& effect : effects) {
      const auto* push = std::get_if<PushView>(&effect);
      if (push == nullptr) continue;
      EXPECT_EQ(push->view.number, ++number);
      ++views;
    }
    if (views > 0) { EXPECT_EQ(number, core.view().number); }
    effects.clear();
    return views;
  }

  CoordinatorCore core{Epoch(7)};
  CoordinatorEffects effects;
  std::uint64_t number = 0;
};

TEST_F(CoordinatorCoreTest, GenerationsRiseAndStartAboveEveryEarlierCoordinators) {
  const ReplicaGeneration first = place(0);
  const ReplicaGeneration second = place(0);
  EXPECT_EQ(first.epoch, Epoch((7ULL << 20) + 1));
  EXPECT_LT(first.epoch, second.epoch);
  CoordinatorCore later(Epoch(8));
  EXPECT_LT(second.epoch, later.place({ReplicaId(0), "", "", 1, 1}, true, effects).epoch);
}

TEST_F(CoordinatorCoreTest, EveryChangePushesOneViewWithTheNextNumber) {
  const ReplicaGeneration generation = place(3);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0).state, ReplicaState::kMaking);
  core.on_serving(serving(generation), effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0), serving(generation));
  core.on_draining(generation, effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0).state, ReplicaState::kDraining);
  core.on_lost(loss(generation), effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0).state, ReplicaState::kLost);
  EXPECT_TRUE(replica(0).returns);
  core.on_given_up(ReplicaId(3), effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_FALSE(replica(0).returns);
}

TEST_F(CoordinatorCoreTest, TheLossIsPushedBeforeTheViewThatShowsIt) {
  const ReplicaGeneration generation = placed_and_serving(0);
  effects.clear();
  core.on_lost(loss(generation), effects);
  ASSERT_EQ(effects.size(), 2U);
  ASSERT_TRUE(std::holds_alternative<PushLoss>(effects[0]));
  EXPECT_EQ(std::get<PushLoss>(effects[0]).loss, loss(generation));
  EXPECT_TRUE(std::holds_alternative<PushView>(effects[1]));
}

TEST_F(CoordinatorCoreTest, RepeatsChangeNothing) {
  const ReplicaGeneration generation = placed_and_serving(0);
  core.on_draining(generation, effects);
  (void)pushed_views();
  core.on_serving(serving(generation), effects);
  core.on_draining(generation, effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(replica(0).state, ReplicaState::kDraining);
  core.on_lost(loss(generation), effects);
  core.on_given_up(ReplicaId(0), effects);
  effects.clear();
  core.on_lost(loss(generation), effects);
  core.on_given_up(ReplicaId(0), effects);
  core.on_serving(serving(generation), effects);
  EXPECT_TRUE(effects.empty());
}

TEST_F(CoordinatorCoreTest, NoticesOfAnOlderGenerationChangeNothing) {
  const ReplicaGeneration old = placed_and_serving(0);
  const ReplicaGeneration now = place(0);
  effects.clear();
  core.on_lost(loss(old), effects);
  core.on_serving(serving(old), effects);
  core.on_draining(old, effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(replica(0).route.generation, now);
  EXPECT_EQ(replica(0).state, ReplicaState::kMaking);
}

TEST_F(CoordinatorCoreTest, AdoptsWhatServesAndPlacesAboveIt) {
  const ReplicaGeneration older{ReplicaId(2), Epoch((9ULL << 20) + 4)};  // of a coordinator whose clock was ahead
  core.on_serving(serving(older), effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0), serving(older));
  EXPECT_LT(older.epoch, place(2).epoch);
}

TEST_F(CoordinatorCoreTest, AdoptsADrainingOneAsDraining) {
  ReplicaView draining = serving({ReplicaId(2), Epoch(5)});
  draining.state = ReplicaState::kDraining;
  core.on_serving(draining, effects);
  EXPECT_EQ(replica(0), draining);
}

TEST_F(CoordinatorCoreTest, WhetherAPlacedOneReturnsIsNotTheReplicasToSay) {
  const ReplicaGeneration generation = place(0, false);
  core.on_serving(serving(generation), effects);
  EXPECT_FALSE(replica(0).returns);
}

TEST_F(CoordinatorCoreTest, ALossThatOvertakesItsServingNoticeHolds) {
  const ReplicaGeneration stranger{ReplicaId(1), Epoch(5)};
  core.on_lost(loss(stranger), effects);
  EXPECT_EQ(pushed_views(), 1U);
  core.on_serving(serving(stranger), effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_EQ(replica(0).state, ReplicaState::kLost);
  EXPECT_FALSE(replica(0).returns);  // nobody said that it would
}

TEST_F(CoordinatorCoreTest, GivingUpOneThatIsNotLostChangesNothing) {
  placed_and_serving(0);
  effects.clear();
  core.on_given_up(ReplicaId(0), effects);
  core.on_given_up(ReplicaId(1), effects);
  EXPECT_TRUE(effects.empty());
  EXPECT_TRUE(replica(0).returns);
}

TEST_F(CoordinatorCoreTest, BeginsBeyondAnEpochThatItHearsOf) {
  core.hear_of(Epoch(6), effects);
  EXPECT_TRUE(effects.empty());
  core.hear_of(Epoch(7), effects);  // another coordinator began in the same millisecond
  EXPECT_EQ(core.view().cluster_epoch, Epoch(8));
  core.hear_of(Epoch(20), effects);
  EXPECT_EQ(pushed_views(), 2U);
  EXPECT_EQ(place(0).epoch, Epoch((21ULL << 20) + 1));
  EXPECT_EQ(cluster_epoch_of(replica(0).route.generation), Epoch(21));
}

TEST_F(CoordinatorCoreTest, AReplicaThatNobodyMadeYetIsSeenAsLostAndToReturn) {
  core.set_returns(ReplicaId(4), true, effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0).state, ReplicaState::kLost);
  EXPECT_EQ(replica(0).route.generation, (ReplicaGeneration{ReplicaId(4), Epoch(0)}));
  EXPECT_TRUE(replica(0).returns);
  core.set_returns(ReplicaId(4), true, effects);
  EXPECT_TRUE(effects.empty());
  core.set_returns(ReplicaId(4), false, effects);
  EXPECT_EQ(pushed_views(), 1U);
  core.on_serving(serving({ReplicaId(4), Epoch(3)}), effects);
  EXPECT_EQ(pushed_views(), 1U);
  EXPECT_EQ(replica(0).state, ReplicaState::kServing);
}

TEST_F(CoordinatorCoreTest, WhetherALivingReplicaReturnsIsToldWhenItIsLost) {
  const ReplicaGeneration generation = placed_and_serving(0);
  (void)pushed_views();
  core.set_returns(ReplicaId(0), false, effects);
  EXPECT_TRUE(effects.empty());
  core.on_lost(loss(generation), effects);
  EXPECT_FALSE(replica(0).returns);
}

TEST_F(CoordinatorCoreTest, TheViewListsReplicasByIdEachOnce) {
  for (const std::uint32_t id : {5U, 1U, 3U, 1U}) (void)place(id);
  ASSERT_EQ(core.view().replicas.size(), 3U);
  for (const std::size_t i : {0U, 1U, 2U}) EXPECT_EQ(replica(i).route.generation.replica, ReplicaId(1 + 2 * i));
  EXPECT_EQ(core.view().cluster_epoch, Epoch(7));
}

// 2,000 replicas come and go for good, one after the other, beside one that stays and one that will return.
TEST_F(CoordinatorCoreTest, AViewIsBoundedAndTheOldestThatAreLostForGoodLeaveIt) {
  const ReplicaGeneration stays = placed_and_serving(100'000);
  const ReplicaGeneration returns = placed_and_serving(100'001);
  core.on_lost(loss(returns), effects);
  for (std::uint32_t id = 0; id < 2000; ++id) {
    const ReplicaGeneration generation = placed_and_serving(id);
    core.on_lost(loss(generation), effects);
    core.on_given_up(ReplicaId(id), effects);
    ASSERT_LE(core.view().replicas.size(), routing::kReplicasMax);
    effects.clear();
  }
  const auto& replicas = core.view().replicas;
  ASSERT_EQ(replicas.size(), routing::kReplicasMax);
  EXPECT_EQ(replicas.front().route.generation.replica, ReplicaId(2000 - routing::kReplicasMax + 2));
  EXPECT_EQ(replicas.end()[-2].route.generation, stays);
  EXPECT_EQ(replicas.end()[-1].route.generation, returns);
}

}  // namespace
}  // namespace herd::membership
