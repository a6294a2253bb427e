// Draining, as the coordinator sees it: what is drained takes nothing new, moves to a node with room, and stays drained over restarts.

#include <gtest/gtest.h>

#include <algorithm>

#include "cluster/membership/membership_core.h"
#include "tests/cluster/membership/membership_harness.h"

namespace herd::membership {
namespace {

using report::ReplicaCondition;
using routing::LossCause;
using routing::ReplicaGeneration;
using routing::ReplicaState;

// Three nodes with room for one replica each, two replicas: one on a, one on b. Node c may hold none until it joins again.
struct MembershipDrain : testing::Test {
  MembershipDrain() {
    a = cluster.joined("a");
    b = cluster.joined("b");
    c = cluster.joined("c", 0);
    gateway = cluster.gateway("g");
    first = cluster.asked_and_serving(a, 0);
    second = cluster.asked_and_serving(b, 1);
  }
  static MembershipConfig three_nodes() {
    MembershipConfig config;
    config.replicas = 2;
    config.nodes = {"a", "b", "c"};
    config.gateways = {"g"};
    return config;
  }
  void make_room_at_c() {
    cluster.close(c);
    c = cluster.joined("c", 1, 2);
  }
  // As its node says it.
  void end(PeerId peer, ReplicaGeneration generation) {
    cluster.core.on_lost(peer, {generation, LossCause::kStopped, {StatusCode::kAborted, "stopped"}, std::nullopt}, cluster.effects);
    cluster.pass(0);
  }

  MembershipHarness cluster{three_nodes()};
  PeerId a, b, c, gateway;
  ReplicaGeneration first, second;
};

TEST_F(MembershipDrain, ADrainedReplicaTakesNothingNewAndEndsWhereItIs) {
  make_room_at_c();
  ASSERT_TRUE(cluster.drain("replica-0", 7).status.ok());
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kDraining);
  EXPECT_EQ(cluster.views[gateway].back(), cluster.core.view());
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.draining(a), "0 ");
  EXPECT_EQ(cluster.assignments[a].back().drain_s, 7);
  EXPECT_FALSE(cluster.assignments[a].back().node_drains);
  for (const PeerId node : {a, b, c}) EXPECT_EQ(cluster.assignments[node].back().drained, std::vector{kZero});
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kDraining);
  EXPECT_EQ(cluster.line(0).why, "an operator drained it: its streams move to other replicas, or finish here where none has room");
  end(a, first);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.assigned(c), "") << "it is placed nowhere";
  EXPECT_TRUE(cluster.seen(0).returns) << "what is parked waits: the operator may take it back";
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kDraining);
  EXPECT_EQ(cluster.line(0).node, "");
  EXPECT_EQ(cluster.line(0).why, "it is drained; herd drain replica-0 --undo takes that back");
  // The death of another does not bring it back, nor does a node that starts.
  cluster.close(b);
  b = cluster.joined("b", 2, 2);
  cluster.pass(60);
  EXPECT_EQ(cluster.line(0).node, "");
  ASSERT_TRUE(cluster.undo("replica-0").status.ok());
  EXPECT_EQ(cluster.line(0).node, "a");
  EXPECT_EQ(cluster.draining(a), "");
  EXPECT_LT(first.epoch, cluster.asked_and_serving(a, 0).epoch);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
}

TEST_F(MembershipDrain, ADrainedNodeWithoutRoomElsewhereLosesItsReplicasOnceTheyHaveEnded) {
  ASSERT_TRUE(cluster.drain("a").status.ok());
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kDraining);
  EXPECT_TRUE(cluster.assignments[a].back().node_drains);
  EXPECT_EQ(cluster.line(0).why, "node a is drained: its streams move to other replicas, or finish here where none has room");
  end(a, first);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kLost);
  EXPECT_EQ(cluster.line(0).why,
            "no node has room for it: a is drained; b has 1 of the 1 it has room for; c has 0 of the 0 it has room for");
  EXPECT_TRUE(cluster.seen(0).returns);
  // Another life of it is as drained, and hears that.
  cluster.close(a);
  a = cluster.joined("a", 1, 2);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_TRUE(cluster.assignments[a].back().node_drains);
  cluster.undo("a");
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_FALSE(cluster.assignments[a].back().node_drains);
}

// Its streams wait for no more than it takes to form a group.
TEST_F(MembershipDrain, TheReplicaOfADrainedNodeGoesToItsHeirOnceThatIsReady) {
  make_room_at_c();
  cluster.drain("a");
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.assigned(c), "0 ") << "it loads there meanwhile";
  EXPECT_EQ(cluster.draining(c), "");
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kDraining);
  EXPECT_TRUE(cluster.losses[gateway].empty());
  EXPECT_EQ(cluster.line(0).node, "a");
  const ReplicaGeneration moved = cluster.ask(c, 0);
  ASSERT_EQ(cluster.losses[gateway].size(), 1U);
  EXPECT_EQ(cluster.losses[gateway][0].replica, first);
  EXPECT_EQ(cluster.losses[gateway][0].cause, LossCause::kStopped) << "nobody is to blame";
  EXPECT_EQ(cluster.losses[gateway][0].why.message(), "replica 0: node a is drained; node c takes it over");
  EXPECT_LT(first.epoch, moved.epoch);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.assigned(c), "0 ");
  // What its old node says of it comes late.
  cluster.serve(a, first);
  end(a, first);
  cluster.serve(c, moved);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(cluster.seen(0).route.generation, moved);
  EXPECT_EQ(cluster.line(0).node, "c");
}

TEST_F(MembershipDrain, AnHeirHasThePlaceAtOnceWhenTheOtherHasEnded) {
  make_room_at_c();
  cluster.drain("a");
  end(a, first);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.line(0).node, "c");
  EXPECT_TRUE(cluster.seen(0).returns);
  EXPECT_NE(cluster.ask(c, 0), ReplicaGeneration{});
}

TEST_F(MembershipDrain, AnHeirThatCannotHoldItIsNone) {
  make_room_at_c();
  cluster.drain("a");
  cluster.give_up(c, 0);
  EXPECT_EQ(cluster.assigned(c), "");
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kDraining) << "it goes on where it is";
  EXPECT_TRUE(cluster.losses[gateway].empty());
  // Nor is one that would compute otherwise, or goes away.
  make_room_at_c();
  cluster.close(c);
  c = cluster.joined("c", 1, 3);
  EXPECT_EQ(cluster.assigned(c), "0 ");
  EXPECT_EQ(cluster.ask(c, 0, "cpu-2/bfloat16/bfloat16/bb"), ReplicaGeneration{});
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kDraining);
  cluster.close(c);
  c = cluster.joined("c", 1, 4);
  cluster.close(c);
  cluster.pass(10);
  EXPECT_EQ(cluster.seen(0).route.generation, first);
  EXPECT_EQ(cluster.line(0).node, "a");
}

TEST_F(MembershipDrain, UndoneInTimeTheHeirEndsAndTheReplicaIsMadeAgainWhereItWas) {
  make_room_at_c();
  cluster.drain("a");
  cluster.undo("a");
  EXPECT_EQ(cluster.assigned(c), "");
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.draining(a), "");
  // Its leader had been told to end, and does.
  end(a, first);
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_LT(first.epoch, cluster.asked_and_serving(a, 0).epoch);
}

TEST_F(MembershipDrain, WhatDoesNotServeYetHasNothingToFinish) {
  cluster.lose(a, first);
  cluster.ask(a, 0);
  cluster.drain("a");
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kLost);
}

TEST_F(MembershipDrain, ANodeThatEndsGivesItsReplicasAwayAndHasThemInItsNextLifeIfNobodyElse) {
  cluster.leave(a, 4);
  EXPECT_EQ(cluster.draining(a), "0 ");
  EXPECT_EQ(cluster.assignments[a].back().drain_s, 4);
  EXPECT_FALSE(cluster.assignments[a].back().node_drains) << "nobody drained it";
  end(a, first);
  EXPECT_TRUE(cluster.seen(0).returns);
  EXPECT_EQ(cluster.line(0).why,
            "no node has room for it: a is about to end; b has 1 of the 1 it has room for; c has 0 of the 0 it has room for");
  cluster.close(a);
  a = cluster.joined("a", 1, 2);
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.draining(a), "");
  // Where there is room it goes there.
  const ReplicaGeneration again = cluster.asked_and_serving(a, 0);
  make_room_at_c();
  cluster.leave(a, 4);
  EXPECT_EQ(cluster.assigned(c), "0 ");
  EXPECT_LT(again.epoch, cluster.asked_and_serving(c, 0).epoch);
  cluster.close(a);
  EXPECT_EQ(cluster.assigned(cluster.joined("a", 1, 3)), "");
}

// It was killed while it drained.
TEST_F(MembershipDrain, ADrainedNodeThatStaysAwayHoldsNothing) {
  cluster.drain("a");
  cluster.close(a);
  cluster.pass(10);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kLost);
  EXPECT_EQ(cluster.line(0).node, "");
}

// Every node keeps it, and the drained one that it is meant.
TEST_F(MembershipDrain, ACoordinatorThatStartsAgainLearnsFromNodesWhatIsDrained) {
  MembershipHarness later(three_nodes(), 2000);
  const PeerId x = later.node("a"), y = later.node("b"), z = later.node("c");
  later.join(x, {1, {}, {kZero}, {MembershipHarness::serving_view(first)}, true, {kOne}});
  later.join(y, {1, {}, {kOne}, {MembershipHarness::serving_view(second)}, false, {kOne}});
  later.join(z, {1, {}, {}, {}, false, {kOne}});
  EXPECT_EQ(later.seen(0).state, ReplicaState::kDraining);
  EXPECT_EQ(later.seen(1).state, ReplicaState::kDraining);
  EXPECT_EQ(later.draining(x), "0 ");
  EXPECT_EQ(later.draining(y), "1 ");
  EXPECT_EQ(later.assigned(z), "0 ") << "as heir; the drained replica has none";
  EXPECT_TRUE(later.core.drains().is_drained("a"));
  EXPECT_EQ(later.assignments[z].back().drained, std::vector{kOne});
}

TEST_F(MembershipDrain, ANodeThatWasAwayWhenItWasTakenBackDoesNotDrainItAgain) {
  cluster.drain("replica-1");
  cluster.close(a);
  cluster.undo("replica-1");
  a = cluster.node("a");
  cluster.join(a, {1, {}, {kZero}, {MembershipHarness::serving_view(first)}, false, {kOne}});
  EXPECT_FALSE(cluster.core.drains().is_drained(kOne));
  EXPECT_TRUE(cluster.assignments[a].back().drained.empty());
}

// Gateways have seen that it drains, and leave that generation alone for good.
TEST_F(MembershipDrain, ANodeThatNeverHeardThatItWasToDrainMakesTheReplicaAgain) {
  cluster.close(a);
  cluster.drain("replica-0");
  cluster.undo("replica-0");
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kDraining);
  a = cluster.node("a");
  cluster.join(a, {1, {}, {kZero}, {MembershipHarness::serving_view(first)}});
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kLost);
  ASSERT_EQ(cluster.assignments[a].size(), 2U);
  EXPECT_TRUE(cluster.assignments[a].front().replicas.empty()) << "it ends what it has";
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_LT(first.epoch, cluster.asked_and_serving(a, 0).epoch);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
}

TEST_F(MembershipDrain, NobodyIsDrainedForAWrongName) {
  const auto view = cluster.core.view();
  const report::OrderAnswer answer = cluster.drain("replica-7");
  EXPECT_EQ(answer.status.code(), StatusCode::kBadInput);
  EXPECT_TRUE(answer.lines.empty());
  EXPECT_EQ(cluster.core.view(), view);
}

TEST_F(MembershipDrain, EveryNodeInTurnLosesNothingButItsTurn) {
  make_room_at_c();
  std::map<std::string, PeerId> peers{{"a", a}, {"b", b}, {"c", c}};
  std::uint64_t incarnation = 10;
  for (const std::string name : {"a", "b", "c", "a", "b", "c"}) {
    cluster.leave(peers[name]);
    for (std::uint32_t replica = 0; replica < 2; ++replica) {
      if (cluster.line(replica).node != name) continue;
      for (const auto& [other, peer] : peers)
        if (other != name && cluster.assigned(peer).find(std::to_string(replica)) != std::string::npos)
          cluster.asked_and_serving(peer, replica);
      EXPECT_NE(cluster.line(replica).node, name);
    }
    EXPECT_EQ(cluster.assigned(peers[name]), "");
    cluster.close(peers[name]);
    peers[name] = cluster.joined(name, 1, ++incarnation);
    for (std::uint32_t replica = 0; replica < 2; ++replica) EXPECT_EQ(cluster.seen(replica).state, ReplicaState::kServing) << name;
  }
  for (const auto& loss : cluster.losses[gateway]) EXPECT_EQ(loss.cause, LossCause::kStopped);
}

}  // namespace
}  // namespace herd::membership
