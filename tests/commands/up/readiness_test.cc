#include "commands/up/readiness.h"

#include <gtest/gtest.h>

namespace herd::up {
namespace {

using handshake::Role;
using report::ProcessReport;
using report::ProcessState;
using report::ReplicaCondition;

ProcessReport process(Role role, const std::string& name, const std::string& node = "") {
  ProcessReport it;
  it.role = role;
  it.name = name;
  it.node = node;
  it.state = ProcessState::kServing;
  return it;
}

struct Cluster {
  Cluster() {
    spec.parallelism.data_parallel_size = 2;
    spec.nodes.resize(2);
    spec.nodes[0].name = "a";
    spec.nodes[1].name = "b";
    status.processes = {process(Role::kCoordinator, "c"), process(Role::kNode, "a"), process(Role::kNode, "b"),
                        process(Role::kRank, "replica-0/rank-0", "a"), process(Role::kRank, "replica-1/rank-0", "b"),
                        process(Role::kGateway, "g")};
    status.replicas = {{ReplicaId{0}, ReplicaCondition::kServing, "a", 1, ""}, {ReplicaId{1}, ReplicaCondition::kServing, "b", 2, ""}};
  }
  std::optional<std::string> waits() const { return waits_for(status, spec, here); }

  config::ClusterSpec spec;
  report::ClusterStatusReport status;
  std::vector<HostProcess> here{{Role::kCoordinator, "c"}, {Role::kNode, "a"}, {Role::kNode, "b"}, {Role::kGateway, "g"}};
};

TEST(Readiness, AllThatRunsHereServes) {
  Cluster cluster;
  EXPECT_EQ(cluster.waits(), std::nullopt);
  cluster.status.processes.back().state = ProcessState::kStarting;
  EXPECT_EQ(cluster.waits(), "g: starting");
  cluster.status.processes.pop_back();
  EXPECT_EQ(cluster.waits(), "g: not in the cluster yet");
}

TEST(Readiness, ARankThatLoadsIsWaitedFor) {
  Cluster cluster;
  cluster.status.processes[4].state = ProcessState::kStarting;
  cluster.status.processes[4].loaded_percent = 40;
  cluster.status.processes.back().state = ProcessState::kStarting;
  EXPECT_EQ(cluster.waits(), "replica-1/rank-0: starting, 40 % loaded") << "and not the gateway, which waits for it";
}

TEST(Readiness, EveryReplicaServesWhereAllNodesAreHere) {
  Cluster cluster;
  cluster.status.replicas[1].condition = ReplicaCondition::kReforming;
  cluster.status.replicas[1].why = "rank 0 was killed";
  EXPECT_EQ(cluster.waits(), "replica-1: re-forming, rank 0 was killed");
  cluster.status.replicas.pop_back();
  EXPECT_EQ(cluster.waits(), "1 of 2 replicas serve");
}

// Another host may come later, or never.
TEST(Readiness, OneReplicaIsEnoughWhereOtherNodesAreElsewhere) {
  Cluster cluster;
  cluster.here = {{Role::kCoordinator, "c"}, {Role::kNode, "a"}, {Role::kGateway, "g"}};
  cluster.status.processes[2].state = ProcessState::kStopped;
  cluster.status.processes[4].state = ProcessState::kFailed;
  cluster.status.replicas[1].condition = ReplicaCondition::kLost;
  EXPECT_EQ(cluster.waits(), std::nullopt);
  cluster.status.replicas[0].condition = ReplicaCondition::kReforming;
  EXPECT_EQ(cluster.waits(), "replica-0: re-forming");
}

}  // namespace
}  // namespace herd::up
