#include <gtest/gtest.h>

#include "tests/cluster/gateway/gateway_harness.h"

// Replicas that take nothing new: their streams move to others as these have room, and finish where they are otherwise.
namespace herd::gateway {
namespace {

using routing::LossCause;
using routing::ReplicaState;
using step::FinishReason;

struct GatewayDrain : testing::Test, Gateway {
  void drain(routing::ReplicaGeneration replica) {
    GatewayEffects made;
    core.on_draining(replica, now, made);
    for (GatewayEffect& effect : made) effects.push_back(std::move(effect));
    core.check_integrity();
  }
  // Runs that were sent there.
  [[nodiscard]] std::size_t runs_on(routing::ReplicaGeneration replica) const {
    const auto all = runs();
    return static_cast<std::size_t>(std::ranges::count(all, replica, [](const RunOn& run) { return run.to.generation; }));
  }
  void expect_all_finished(std::size_t requests) const {
    ASSERT_EQ(ends().size(), requests);
    for (const EndRequest& end : ends()) EXPECT_EQ(end.end.kind, RequestEnd::Kind::kFinished) << end.end.why.message();
  }
};

TEST_F(GatewayDrain, AStreamMovesBehindItsLastToken) {
  view({replica(0)});
  ask(1);
  answer(0, token(0, 0));
  view({replica(0), replica(1)});
  EXPECT_EQ(runs().size(), 1U);
  drain(generation(0));
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(1));
  EXPECT_EQ(runs()[1].submission.attempt, 1U);
  EXPECT_EQ(runs()[1].submission.tokens, (std::vector<TokenId>{10, 11, 12, 100}));
  EXPECT_EQ(runs()[1].submission.alone_until, 0U);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].on.generation, generation(0));
  EXPECT_EQ(stops()[0].attempt, runs()[0].submission.key());
  answer(0, token(0, 1));  // it had been made already
  answer(1, token(1, 1, FinishReason::kStop));
  EXPECT_EQ(delivered().size(), 2U);
  expect_all_finished(1);
  EXPECT_EQ(core.ledger().moves, 1U);
  EXPECT_EQ(core.ledger().losses, 0U);
  EXPECT_EQ(core.ledger().stale_deltas, 1U);
}

TEST_F(GatewayDrain, AViewSaysItToo) {
  view({replica(0), replica(1, 1, ReplicaState::kMaking)});
  ask(1);
  view({replica(0, 1, ReplicaState::kDraining), replica(1)});
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(1));
  EXPECT_EQ(stops().size(), 1U);
}

TEST_F(GatewayDrain, WithNowhereToGoAStreamFinishesThere) {
  view({replica(0)});
  ask(1);
  drain(generation(0));
  EXPECT_EQ(runs().size(), 1U);
  EXPECT_TRUE(stops().empty());
  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kLength));
  EXPECT_EQ(delivered().size(), 2U);
  expect_all_finished(1);
  EXPECT_EQ(core.ledger().moves, 0U);
}

TEST_F(GatewayDrain, NothingNewGoesThereAndWaitsForAnother) {
  view({replica(0)});
  drain(generation(0));
  ask(1);
  EXPECT_TRUE(runs().empty());
  EXPECT_TRUE(ends().empty());
  view({replica(0), replica(1)});  // of before the drain: the leader knows better
  ASSERT_EQ(runs().size(), 1U);
  EXPECT_EQ(runs()[0].to.generation, generation(1));
}

// The leader is gone with what has not finished: that is no loss, and nobody is suspected.
TEST_F(GatewayDrain, WhatIsLeftWhenItsTimeIsOverWaitsForAReplica) {
  view({replica(0)});
  ask(1);
  answer(0, token(0, 0));
  drain(generation(0));
  lose(generation(0), LossCause::kStopped, std::vector<routing::AttemptInStep>{{runs()[0].submission.key(), 2}});
  EXPECT_EQ(runs().size(), 1U);
  EXPECT_EQ(core.admission().waiting, 1U);
  view({replica(0, 2)});
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(0, 2));
  EXPECT_EQ(runs()[1].submission.alone_until, 0U);
  EXPECT_EQ(core.ledger().moves, 1U);
  EXPECT_EQ(core.ledger().losses, 0U);
}

// The next generation of a replica that drained does not drain.
TEST_F(GatewayDrain, TheNextGenerationServes) {
  view({replica(0)});
  drain(generation(0));
  lose(generation(0), LossCause::kStopped);
  view({replica(0, 2)});
  ask(1);
  EXPECT_EQ(runs_on(generation(0, 2)), 1U);
}

TEST_F(GatewayDrain, TheSurvivorIsNotFlooded) {
  view({replica(0)});
  for (std::uint64_t id = 1; id <= 16; ++id) ask(id);
  view({replica(0), replica(1, 1, ReplicaState::kServing, 16)});
  drain(generation(0));
  EXPECT_EQ(runs_on(generation(1)), 8U);  // half of its free places
  EXPECT_EQ(stops().size(), 8U);          // the others go on where they are
  pass_until(seconds(5));
  EXPECT_EQ(runs_on(generation(1)), 16U);
  EXPECT_EQ(stops().size(), 16U);
}

TEST_F(GatewayDrain, AStreamMovesWhenAPlaceGetsFree) {
  view({replica(0), replica(1, 1, ReplicaState::kMaking)});
  ask(1);
  view({replica(0), replica(1, 1, ReplicaState::kServing, 1)});
  ask(2);
  ASSERT_EQ(runs_on(generation(1)), 1U);
  drain(generation(0));
  EXPECT_EQ(runs_on(generation(1)), 1U);
  answer(1, token(1, 0, FinishReason::kStop));
  EXPECT_EQ(runs_on(generation(1)), 2U);
  EXPECT_EQ(stops().size(), 1U);
}

// A replica that was full is asked again when its rest is over, though nothing is parked.
TEST_F(GatewayDrain, AStreamMovesWhenAReplicaHasRested) {
  view({replica(0), replica(1, 1, ReplicaState::kMaking)});
  ask(1);
  view({replica(0), replica(1)});
  ask(2);
  ASSERT_EQ(runs_on(generation(1)), 1U);
  answer(1, refusal(1, StatusCode::kOverloaded));
  ASSERT_EQ(runs_on(generation(0)), 2U);
  drain(generation(0));
  EXPECT_EQ(runs_on(generation(1)), 1U);
  pass_until(seconds(5));
  EXPECT_EQ(runs_on(generation(1)), 3U);
}

TEST_F(GatewayDrain, AStreamStaysWithItsNumerics) {
  view({replica(0)});
  ask(1);
  routing::ReplicaView other = replica(1);
  other.route.numerics = "cpu-2";
  view({replica(0), other});
  drain(generation(0));
  EXPECT_EQ(runs().size(), 1U);
  EXPECT_TRUE(stops().empty());
}

// It had not heard yet that the stream has left: the death is the stream's, as if it were there still.
TEST_F(GatewayDrain, ADeathBehindAMoveIsNotForgotten) {
  view({replica(0)});
  ask(1);
  view({replica(0), replica(1)});
  drain(generation(0));
  ASSERT_EQ(runs().size(), 2U);
  lose(generation(0), LossCause::kDiedOfItself, std::vector<routing::AttemptInStep>{{runs()[0].submission.key(), 1}});
  EXPECT_EQ(core.ledger().suspected_kills, 1U);
  ASSERT_EQ(runs().size(), 3U);
  EXPECT_EQ(runs()[2].submission.alone_until, 1U);
}

TEST_F(GatewayDrain, ASuspectMovesAlone) {
  view({replica(0)});
  ask(1);
  ask(2);
  lose(generation(0), LossCause::kDiedOfItself);
  view({replica(0, 2), replica(2, 2)});
  ASSERT_EQ(runs_on(generation(0, 2)), 1U);
  ASSERT_EQ(runs_on(generation(2, 2)), 1U);
  drain(generation(0, 2));
  EXPECT_EQ(runs_on(generation(2, 2)), 1U);  // which has a suspect
  view({replica(0, 2), replica(1), replica(2, 2)});
  ASSERT_EQ(runs_on(generation(1)), 1U);
  EXPECT_EQ(runs().back().submission.alone_until, 1U);
}

TEST_F(GatewayDrain, OneOfAnotherGenerationIsPassedOver) {
  view({replica(0, 2), replica(1)});
  ask(1);
  const auto before = effects.size();
  drain(generation(0, 1));
  drain(generation(7));
  EXPECT_EQ(effects.size(), before);
  view({replica(0, 2)});
  ask(2);
  EXPECT_GE(runs_on(generation(0, 2)), 1U);
}

}  // namespace
}  // namespace herd::gateway
