#include "cluster/report/drain_progress.h"

#include <gtest/gtest.h>

namespace herd::report {
namespace {

using handshake::Role;

ProcessReport process(Role role, const std::string& name, ProcessState state) {
  ProcessReport report;
  report.role = role;
  report.name = name;
  report.node = "a";
  report.state = state;
  return report;
}

// Node a drains with a replica and a rank; replica 1 is on no node.
struct DrainProgress : testing::Test {
  DrainProgress() {
    cluster.processes = {process(Role::kNode, "a", ProcessState::kDraining),
                         process(Role::kRank, "replica-0/rank-0", ProcessState::kServing)};
    cluster.replicas = {{ReplicaId(0), ReplicaCondition::kDraining, "a", 3, "node a is drained"},
                        {ReplicaId(1), ReplicaCondition::kLost, "", 0, "no node has room for it"}};
  }
  ClusterStatusReport cluster;
};

TEST_F(DrainProgress, ANodeHasItsReplicasAndTheirProcessesToEnd) {
  EXPECT_EQ(still_at_work(cluster, "a"),
            (std::vector<std::string>{"replica-0 is draining on node a: node a is drained", "replica-0/rank-0 has not ended"}));
  cluster.replicas[0].node = "b";
  EXPECT_EQ(still_at_work(cluster, "a").size(), 1U);
  EXPECT_FALSE(may_be_stopped(cluster, "a"));
  cluster.processes[1].state = ProcessState::kStopped;
  EXPECT_TRUE(may_be_stopped(cluster, "a"));
}

TEST_F(DrainProgress, ANodeThatServesAndTakesNothingNewIsShownDraining) {
  cluster.processes[0].state = ProcessState::kServing;
  const ClusterStatusReport before = cluster;
  show_draining(cluster, {"b"});
  EXPECT_EQ(cluster, before);
  show_draining(cluster, {"a", "b"});
  EXPECT_EQ(cluster.processes[0].state, ProcessState::kDraining);
  cluster.processes[0].state = ProcessState::kFailed;
  show_draining(cluster, {"a"});
  EXPECT_EQ(cluster.processes[0].state, ProcessState::kFailed) << "it is not there";
}

TEST_F(DrainProgress, AReplicaHasToLeaveItsNode) {
  EXPECT_EQ(still_at_work(cluster, "replica-0").size(), 1U);
  EXPECT_FALSE(may_be_stopped(cluster, "replica-0"));
  cluster.replicas[0].node.clear();
  EXPECT_TRUE(may_be_stopped(cluster, "replica-0"));
}

TEST_F(DrainProgress, OnlyWhatDrainsMayBeStopped) {
  EXPECT_FALSE(may_be_stopped(cluster, "replica-1")) << "it is lost, and comes back as soon as there is room";
  EXPECT_FALSE(may_be_stopped(cluster, "replica-2"));
  cluster.replicas.clear();
  cluster.processes.pop_back();
  EXPECT_TRUE(may_be_stopped(cluster, "a"));
  cluster.processes[0].state = ProcessState::kServing;
  EXPECT_FALSE(may_be_stopped(cluster, "a"));
  cluster.processes[0].state = ProcessState::kFailed;
  EXPECT_TRUE(may_be_stopped(cluster, "a")) << "it is not there";
}

}  // namespace
}  // namespace herd::report
