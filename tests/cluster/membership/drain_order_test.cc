#include "cluster/membership/drain_order.h"

#include <gtest/gtest.h>

namespace herd::membership {
namespace {

// Two replicas: one on a, one on b; c is there with room.
struct DrainOrderTest : testing::Test {
  DrainOrderTest() {
    places.on_here("a", 1, true);
    places.on_here("b", 1, true);
    (void)places.fill();
    places.on_here("c", 1, true);
  }
  std::vector<std::string> told(const report::DrainAsk& ask) {
    DrainOrder order(places, ask);
    EXPECT_TRUE(order.check().ok()) << order.check().message();
    const bool changed = order.carry_out();
    (void)places.fill();
    return order.lines(changed);
  }

  using Lines = std::vector<std::string>;
  ReplicaPlaces places{2, {"a", "b", "c"}, false};
};

TEST_F(DrainOrderTest, ANodeIsDrainedWithWhatItHolds) {
  EXPECT_EQ(told({.target = "a"}),
            (Lines{"a takes nothing new from here on",
                   "replica-0 on node a: its streams move to other replicas, or finish there until node c has it ready"}));
  EXPECT_EQ(told({.target = "a"}).front(), "a was drained already");
  EXPECT_EQ(told({.target = "b"}),
            (Lines{"b takes nothing new from here on", "replica-1 on node b: its streams move to other replicas, or finish there"}));
  EXPECT_EQ(told({.target = "a", .undo = true}), Lines{"a takes work again"});
  EXPECT_EQ(told({.target = "a", .undo = true}), Lines{"a was not drained"});
  EXPECT_EQ(places.heir_of(ReplicaId(1)), "c") << "there is room for it now";
}

TEST_F(DrainOrderTest, AReplicaIsDrainedWhereverItIs) {
  EXPECT_EQ(told({.target = "replica-1", .drain_s = 9}),
            (Lines{"replica-1 takes nothing new from here on",
                   "replica-1 on node b: its streams move to other replicas, or finish there"}));
  EXPECT_EQ(places.assignment("b").drain_s, 9);
  places.release(ReplicaId(1));
  EXPECT_EQ(told({.target = "replica-1"}).back(), "replica-1 is on no node");
  EXPECT_EQ(told({.target = "replica-1", .undo = true}), Lines{"replica-1 takes work again"});
  EXPECT_EQ(places.node_of(ReplicaId(1)), "b");
}

TEST_F(DrainOrderTest, WhomNobodyKnowsIsRefusedWithThoseThatAreThere) {
  for (const char* target : {"d", "replica-2", "replica-", "replica-1x", "replica--1", ""}) {
    const report::DrainAsk ask{.target = target};
    const Status status = DrainOrder(places, ask).check();
    EXPECT_EQ(status.code(), StatusCode::kBadInput);
    EXPECT_EQ(status.message(), "no node or replica \"" + std::string(target) +
                                    "\": the cluster has nodes a, b, c and replica-0 to replica-1; gateways and coordinators drain when "
                                    "they are told to end (SIGTERM)");
  }
}

}  // namespace
}  // namespace herd::membership
