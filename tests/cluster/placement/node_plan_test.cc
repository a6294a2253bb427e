// What a node makes of its machine, without one: each test changes one thing of a small model on eight CPUs.

#include "cluster/placement/node_plan.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/cluster/placement/small_model.h"

namespace herd::placement {
namespace {

config::NodeSpec node(std::size_t devices) {
  config::NodeSpec node;
  node.name = "a";
  node.address = "10.0.0.1:9000";
  node.devices.assign(devices, "cpu");
  return node;
}

ReplicaWishes replicas(int count) {
  ReplicaWishes wishes;
  wishes.data_parallel = count;
  wishes.scheduler.max_num_seqs = 8;
  wishes.scheduler.max_num_batched_tokens = 128;
  return wishes;
}

NodeMachine machine(int cpus) {
  NodeMachine machine;
  machine.cpus.resize(static_cast<std::size_t>(cpus));
  std::iota(machine.cpus.begin(), machine.cpus.end(), 0);
  machine.usable_cpus = cpus;
  machine.free_bytes = 4000 * kMegabyte;
  return machine;
}

NodePlan planned(const config::NodeSpec& node, int ranks, const ReplicaWishes& wishes, const NodeMachine& machine) {
  auto plan = plan_node(node, sharded(ranks), wishes, StepSpeed::kCpu, machine);
  EXPECT_TRUE(plan.has_value()) << plan.error().message();
  return plan ? std::move(*plan) : NodePlan{};
}

Status refused(const config::NodeSpec& node, int ranks, const ReplicaWishes& wishes, const NodeMachine& machine) {
  const auto plan = plan_node(node, sharded(ranks), wishes, StepSpeed::kCpu, machine);
  EXPECT_FALSE(plan.has_value());
  return plan ? Status() : plan.error();
}

// "[0-1]x2 [2-3]x2 | …": each rank's CPUs and threads, a slot between bars; "*" runs anywhere.
std::string places(const NodePlan& plan) {
  std::string text;
  for (const ReplicaSlot& slot : plan.slots) {
    if (!text.empty()) text += " |";
    for (const RankPlace& rank : slot.ranks) {
      std::string cpus;
      for (const int cpu : rank.cpus) cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
      text += (text.empty() ? "" : " ") + (cpus.empty() ? "*" : cpus) + "x" + std::to_string(rank.threads);
    }
  }
  return text;
}

TEST(NodePlan, RanksOfANodeAloneOnItsMachineHaveCpusOfTheirOwn) {
  const NodePlan plan = planned(node(4), 2, replicas(2), machine(8));
  EXPECT_EQ(places(plan), "0,1x2 2,3x2 | 4,5x2 6,7x2");
  EXPECT_EQ(plan.cpu_sharers, 1);
  EXPECT_EQ(plan.slots[1].ranks[1].device, 3U);
}

TEST(NodePlan, NoCpuIsGivenTwiceAndNoneIsLeft) {
  EXPECT_EQ(places(planned(node(3), 1, replicas(3), machine(8))), "0,1x2 | 2,3,4x2 | 5,6,7x2");
}

TEST(NodePlan, MoreRanksThanCpusShareThemAndHaveAThreadEach) {
  const NodePlan plan = planned(node(4), 4, replicas(1), machine(2));
  EXPECT_EQ(places(plan), "*x1 *x1 *x1 *x1");
  EXPECT_EQ(plan.cpu_sharers, 4);
}

TEST(NodePlan, ARankIsBoundToASingleCpuOnlyWhereTheFileSaysSo) {
  const NodePlan plan = planned(node(2), 2, replicas(1), machine(2));
  EXPECT_EQ(places(plan), "*x1 *x1");
  EXPECT_EQ(plan.cpu_sharers, 1);  // there is one for each
  config::NodeSpec bound = node(2);
  bound.cpu_set = "0-1";
  EXPECT_EQ(places(planned(bound, 2, replicas(1), machine(2))), "0x1 1x1");
}

TEST(NodePlan, NodesOfOneMachineShareItUnlessTheFileGivesThemCpus) {
  NodeMachine shared = machine(8);
  shared.nodes = 2;
  const NodePlan plan = planned(node(2), 2, replicas(2), shared);
  EXPECT_EQ(places(plan), "*x2 *x2");
  EXPECT_EQ(plan.cpu_sharers, 4);
  config::NodeSpec own = node(2);
  own.cpu_set = "6-7,2-3";
  EXPECT_EQ(places(planned(own, 2, replicas(2), shared)), "2,3x2 6,7x2");
  EXPECT_EQ(planned(own, 2, replicas(2), shared).cpu_sharers, 1);
}

TEST(NodePlan, AQuotaBoundsThreadsAndPinsNobodyAndACountOfCpusBoundsBoth) {
  NodeMachine quota = machine(8);
  quota.usable_cpus = 4;
  EXPECT_EQ(places(planned(node(2), 2, replicas(1), quota)), "*x2 *x2");
  config::NodeSpec counted = node(2);
  counted.cpus = 6;
  EXPECT_EQ(places(planned(counted, 2, replicas(1), machine(8))), "0,1,2x3 3,4,5x3");
  counted.cpus = 16;
  EXPECT_EQ(places(planned(counted, 2, replicas(1), machine(8))), "0,1,2,3x4 4,5,6,7x4");
}

TEST(NodePlan, ThreadsThatTheFileGivesAreSharedOut) {
  config::NodeSpec given = node(2);
  given.threads = 6;
  EXPECT_EQ(places(planned(given, 2, replicas(1), machine(8))), "0,1,2,3x3 4,5,6,7x3");
}

TEST(NodePlan, CpusThatThisProcessMayNotRunOnAreRefused) {
  config::NodeSpec elsewhere = node(1);
  elsewhere.cpu_set = "6-9";
  EXPECT_EQ(refused(elsewhere, 1, replicas(1), machine(8)),
            usage_error("node a: cpu_set 6-9: CPU 8 is none that this process may run on"));
}

TEST(NodePlan, HasNoMoreSlotsThanTheClusterHasReplicas) {
  EXPECT_EQ(planned(node(8), 2, replicas(2), machine(8)).slots.size(), 2U);
}

TEST(NodePlan, GpusAreRefusedPlainly) {
  config::NodeSpec gpus = node(1);
  gpus.devices = {"gpu-0"};
  const Status status = refused(gpus, 1, replicas(1), machine(8));
  EXPECT_EQ(status.code(), StatusCode::kUsage);
  EXPECT_TRUE(status.message().starts_with("node a: device gpu-0: ranks on GPUs are no processes yet")) << status.message();
}

TEST(NodePlan, TooFewDevicesForAReplicaAreRefused) {
  EXPECT_EQ(refused(node(1), 2, replicas(1), machine(8)),
            missing("node a: 1 device, a replica needs 2; lower parallelism.tensor_parallel_size or give it more devices"));
}

// Weights, step buffers and RoPE tables of both ranks.
std::int64_t replica_bytes() {
  std::int64_t bytes = 0;
  const auto ranks = rank_memories(sharded(2), replicas(1)).value();
  for (const model::RankMemory& rank : ranks) bytes += rank.total();
  return bytes;
}

TEST(NodePlan, MemoryDecidesHowManyReplicasThereAreAndWhatIsLeftIsSharedForKv) {
  config::NodeSpec tight = node(4);
  tight.memory = 2 * replica_bytes();
  const NodePlan plan = planned(tight, 2, replicas(2), machine(8));
  EXPECT_EQ(plan.slots.size(), 1U);
  ASSERT_FALSE(plan.notes.empty());
  EXPECT_EQ(plan.notes.back(), "memory for 1 replica, devices for 2");
  tight.memory = 2 * replica_bytes() + 40 * kMegabyte;
  const std::int64_t half = planned(tight, 2, replicas(2), machine(8)).replica.rank.blocks;
  const std::int64_t whole = planned(tight, 2, replicas(1), machine(8)).replica.rank.blocks;
  EXPECT_GT(half, 0);
  EXPECT_GE(whole, 2 * half);
}

TEST(NodePlan, MemoryThatIsNotSaidIsWhatIsFreeAndSharedByTheNodesOfAMachine) {
  NodeMachine small = machine(8);
  small.free_bytes = replica_bytes() * 3 / 2;
  EXPECT_EQ(planned(node(2), 2, replicas(1), small).slots.size(), 1U);
  small.nodes = 2;
  const Status status = refused(node(2), 2, replicas(1), small);
  EXPECT_EQ(status.code(), StatusCode::kMissing);
  EXPECT_TRUE(status.message().starts_with("node a: a replica takes ")) << status.message();
}

TEST(NodePlan, NodesAreOnOneMachineWhenTheirAddressesHaveOneHost) {
  config::ClusterSpec spec;
  spec.nodes = {node(1), node(1), node(1)};
  spec.nodes[1].address = "10.0.0.2:9000";
  spec.nodes[2].address = "10.0.0.1:9100";
  EXPECT_EQ(nodes_on_machine_of(spec, spec.nodes[0]), 2);
  EXPECT_EQ(nodes_on_machine_of(spec, spec.nodes[1]), 1);
  config::NodeSpec unlisted = node(1);
  unlisted.address = "10.0.0.3:9000";
  EXPECT_EQ(nodes_on_machine_of(spec, unlisted), 1);
}

}  // namespace
}  // namespace herd::placement
