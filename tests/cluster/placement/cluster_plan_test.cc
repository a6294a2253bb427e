// Where ranks are placed, without a machine: each test says nodes by their devices and memory.

#include "cluster/placement/cluster_plan.h"

#include <gtest/gtest.h>

#include "tests/cluster/placement/small_model.h"

namespace herd::placement {
namespace {

config::NodeSpec node(const std::string& name, std::size_t cpu_ranks, std::int64_t memory = 0) {
  config::NodeSpec node;
  node.name = name;
  node.devices.assign(cpu_ranks, "cpu");
  node.memory = memory;
  return node;
}

config::ClusterSpec cluster(std::vector<config::NodeSpec> nodes, std::int64_t tp, std::int64_t dp) {
  config::ClusterSpec spec;
  spec.nodes = std::move(nodes);
  spec.parallelism.tensor_parallel_size = tp;
  spec.parallelism.data_parallel_size = dp;
  return spec;
}

// "0@a[0,1] 1@b[0,1]": replica, node, devices of its ranks in order.
std::string places(const config::ClusterSpec& spec, const std::vector<std::int64_t>& rank_bytes = {}) {
  const auto plan = plan_cluster(spec, rank_bytes);
  if (!plan) return plan.error().message();
  std::string text;
  for (const PlacedReplica& replica : plan->replicas) {
    if (!text.empty()) text += ' ';
    text += std::to_string(replica.replica.value) + "@" + spec.nodes[replica.node].name + "[";
    for (const PlacedRank& rank : replica.ranks) {
      if (rank.rank > 0) text += ',';
      text += std::to_string(rank.device);
    }
    text += ']';
  }
  return text;
}

TEST(ClusterPlan, ReplicasAreSpreadOverNodesAndRanksStayTogether) {
  EXPECT_EQ(places(cluster({node("a", 2), node("b", 2), node("c", 2)}, 2, 2)), "0@a[0,1] 1@b[0,1]");
  EXPECT_EQ(places(cluster({node("a", 4), node("b", 2)}, 2, 3)), "0@a[0,1] 1@b[0,1] 2@a[2,3]");
  EXPECT_EQ(places(cluster({node("a", 1), node("b", 8)}, 8, 1)), "0@b[0,1,2,3,4,5,6,7]");
}

TEST(ClusterPlan, ADeviceHoldsOneRank) {
  EXPECT_EQ(places(cluster({node("a", 3), node("b", 1)}, 2, 2)),
            "replica 1 of 2 (2 ranks on one node) has no place: a has 1 of its 3 devices left, 2 are needed; b has 1 of its 1 device "
            "left, 2 are needed. Lower parallelism.data_parallel_size or tensor_parallel_size, or give nodes more devices");
  EXPECT_EQ(plan_cluster(cluster({node("a", 1)}, 2, 1), {}).error().code(), StatusCode::kMissing);
}

TEST(ClusterPlan, MemoryOfANodeIsRespectedWhereItIsSaid) {
  const std::vector<std::int64_t> bytes{300 * kMegabyte, 200 * kMegabyte};
  EXPECT_EQ(places(cluster({node("a", 4, 600 * kMegabyte), node("b", 4, 2000 * kMegabyte)}, 2, 3), bytes),
            "0@a[0,1] 1@b[0,1] 2@b[2,3]");
  EXPECT_EQ(places(cluster({node("a", 4, 999 * kMegabyte)}, 2, 2), bytes),
            "replica 1 of 2 (2 ranks on one node) has no place: a has 0.50 GB of its 1.00 GB memory left, a replica takes 0.50 GB. "
            "Lower parallelism.data_parallel_size or tensor_parallel_size, or give nodes more devices or memory");
  EXPECT_EQ(places(cluster({node("a", 4, 999 * kMegabyte)}, 2, 2)), "0@a[0,1] 1@a[2,3]") << "what is not known decides nothing";
  EXPECT_EQ(places(cluster({node("a", 4)}, 2, 2), bytes), "0@a[0,1] 1@a[2,3]");
}

TEST(ClusterPlan, WeightsOnAGpuTakeNoneOfTheNodesOwnMemory) {
  config::NodeSpec gpus = node("a", 0, kMegabyte * 2);
  gpus.devices = {"gpu-0", "gpu-1"};
  EXPECT_EQ(places(cluster({gpus}, 2, 1), {kMegabyte * 900, kMegabyte * 900}), "0@a[0,1]");
}

TEST(ClusterPlan, ThreadsOfANodeAreSharedOutAmongItsRanks) {
  config::NodeSpec wide = node("a", 4);
  wide.cpus = 9;
  config::NodeSpec narrow = node("b", 2);
  narrow.cpu_set = "0-3,8";
  narrow.threads = 3;
  const auto plan = plan_cluster(cluster({wide, narrow}, 2, 3), {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->replicas[0].ranks[0].threads, 2);
  EXPECT_EQ(plan->replicas[1].ranks[1].threads, 1);
  EXPECT_EQ(plan->replicas[2].ranks[1].threads, 2);
  EXPECT_EQ(plan_cluster(cluster({node("a", 2)}, 2, 1), {})->replicas[0].ranks[0].threads, 0) << "as many as the node finds";
}

TEST(ClusterPlan, SaysWhatIsInReserveAndWhatDoesNotMix) {
  config::NodeSpec gpus = node("g", 0);
  gpus.devices = {"gpu-0"};
  const auto mixed = plan_cluster(cluster({node("a", 2), gpus}, 1, 2), {});
  ASSERT_TRUE(mixed.has_value());
  ASSERT_EQ(mixed->notes.size(), 2U);
  EXPECT_NE(mixed->notes[0].find("on CPUs and on GPUs compute different bits"), std::string::npos);
  EXPECT_EQ(mixed->notes[1], "a: 1 device without a rank, in reserve for replicas that lose theirs");
}

TEST(ClusterPlan, SaysWhoseMemoryWasNotChecked) {
  config::NodeSpec gpus = node("g", 0);
  gpus.devices = {"gpu-0"};
  const config::ClusterSpec spec = cluster({node("a", 1), node("b", 1, kMegabyte * 9), gpus}, 1, 3);
  const std::string not_checked = "a: whether its ranks fit was not checked: the file does not say its memory";
  EXPECT_EQ(plan_cluster(spec, std::vector<std::int64_t>{kMegabyte})->notes.back(), not_checked);
  EXPECT_EQ(plan_cluster(spec, std::vector<std::int64_t>{kMegabyte})->notes.size(), 2U);
  EXPECT_EQ(plan_cluster(spec, {})->notes.size(), 1U) << "without sizes nothing was checked, which is said elsewhere";
}

TEST(ClusterPlan, NodesThatJoinUnlistedArePlacedAsTheyCome) {
  config::ClusterSpec spec = cluster({}, 8, 4);
  spec.any_node_with_certificate = true;
  const auto plan = plan_cluster(spec, {});
  ASSERT_TRUE(plan.has_value());
  EXPECT_TRUE(plan->replicas.empty());
  EXPECT_EQ(plan->notes.size(), 1U);
}

}  // namespace
}  // namespace herd::placement
