#include "cluster/membership/drain_board.h"

#include <gtest/gtest.h>

#include "tests/cluster/membership/membership_harness.h"

namespace herd::membership {
namespace {

constexpr std::uint32_t kReplicas = 2;

NodeJoin keeps(bool drains, std::vector<ReplicaId> drained = {}) {
  NodeJoin join;
  join.drains = drains;
  join.drained = std::move(drained);
  return join;
}

TEST(DrainBoard, WhatNodesKeepHoldsForACoordinatorThatKnowsNothing) {
  DrainBoard board;
  board.on_join("a", keeps(true), true, kReplicas);
  board.on_join("b", keeps(false, {kOne, ReplicaId(9)}), true, kReplicas);
  EXPECT_TRUE(board.takes_nothing("a"));
  EXPECT_FALSE(board.takes_nothing("b"));
  EXPECT_EQ(board.replicas(), std::vector{kOne}) << "what is no replica of the cluster is not heard";
  EXPECT_EQ(board.seconds(kZero, "a"), kDrainSecondsKept);
  EXPECT_EQ(board.seconds(kZero, "b"), std::nullopt);
  EXPECT_EQ(board.seconds(kOne, "b"), kDrainSecondsKept);
}

// Node b was away when the operator took it back.
TEST(DrainBoard, WhatAnOperatorSaidHoldsAgainstWhatANodeKeeps) {
  DrainBoard board;
  board.drain(kOne, 5);
  board.drain("a", 7);
  EXPECT_TRUE(board.undo(kOne));
  EXPECT_TRUE(board.undo("a"));
  EXPECT_FALSE(board.undo("a"));
  board.on_join("b", keeps(false, {kOne}), false, kReplicas);
  board.on_join("a", keeps(true), true, kReplicas);
  EXPECT_FALSE(board.is_drained(kOne));
  EXPECT_FALSE(board.is_drained("a"));
  board.drain("a", 7);
  board.on_join("a", keeps(false), true, kReplicas);
  EXPECT_TRUE(board.is_drained("a")) << "a life that has not heard of it yet";
  EXPECT_EQ(board.seconds(kZero, "a"), 7);
}

TEST(DrainBoard, ANodeThatEndsIsBackInItsNextLife) {
  DrainBoard board;
  board.drain(kZero, 60);
  board.on_leaving("a", 2);
  EXPECT_TRUE(board.takes_nothing("a"));
  EXPECT_FALSE(board.is_drained("a"));
  EXPECT_EQ(board.seconds(kZero, "a"), 2) << "the node ends then, whatever an operator gave it";
  board.on_join("a", keeps(false), false, kReplicas);
  EXPECT_TRUE(board.leaves("a")) << "another connection of the same life";
  board.on_join("a", keeps(false), true, kReplicas);
  EXPECT_FALSE(board.takes_nothing("a"));
}

TEST(DrainBoard, OfTwoTimesTheShorterHolds) {
  DrainBoard board;
  board.drain("a", 60);
  board.drain(kZero, 3);
  EXPECT_EQ(board.seconds(kZero, "a"), 3);
  EXPECT_EQ(board.seconds(kOne, "a"), 60);
}

TEST(DrainBoard, ForgetsNodesThatWillNotComeBackButNotThatTheyAreDrained) {
  DrainBoard board;
  board.drain("x", 1);
  board.on_leaving("x", 1);
  board.forget("x");
  EXPECT_FALSE(board.leaves("x"));
  EXPECT_TRUE(board.is_drained("x"));
}

}  // namespace
}  // namespace herd::membership
