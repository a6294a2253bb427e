#include "commands/up/demo_file.h"

#include <gtest/gtest.h>

#include "cluster/config/cluster_file.h"

namespace herd::up {
namespace {

config::ClusterSpec parsed(const DemoCluster& demo) {
  const std::string text = demo_file_text(demo);
  config::ClusterFile file = config::parse_cluster_file(text);
  for (const config::Problem& problem : file.problems) ADD_FAILURE() << problem.line << ": " << problem.key << ": " << problem.what << "\n" << text;
  return file.spec;
}

DemoCluster demo() {
  DemoCluster it;
  it.folder = "/tmp/herd-demo-1000";
  it.model_path = "/models/\"odd\" \\ name";
  it.tensor_parallel = 2;
  it.kv_cache_mib = 64;
  it.coordinator_port = 7100;
  it.gateway_ports = {8000, 8001};
  it.node_ports = {7101, 7102};
  it.cpus = {0, 1, 2, 3, 8};
  return it;
}

TEST(DemoFile, IsAClusterFileThatSaysWhatWasAskedFor) {
  const config::ClusterSpec spec = parsed(demo());
  EXPECT_EQ(spec.name, kDemoName);
  EXPECT_EQ(spec.model.model_path, "/models/\"odd\" \\ name");
  EXPECT_EQ(spec.parallelism.tensor_parallel_size, 2);
  EXPECT_EQ(spec.parallelism.data_parallel_size, 2);
  EXPECT_EQ(spec.kv.kv_cache_memory, 64 << 20);
  EXPECT_EQ(spec.tls.cert_file, "/tmp/herd-demo-1000/tls/{name}.pem");
  ASSERT_EQ(spec.gateways.size(), 2U);
  EXPECT_EQ(spec.gateways[1].name, "gateway-2");
  EXPECT_EQ(spec.gateways[1].port, 8001);
  ASSERT_EQ(spec.nodes.size(), 2U);
  EXPECT_EQ(spec.nodes[1].address, "127.0.0.1:7102");
  EXPECT_EQ(spec.nodes[1].devices, (std::vector<std::string>{"cpu", "cpu"}));
}

TEST(DemoFile, PagesAreThereWhenTheyWereAskedFor) {
  DemoCluster it = demo();
  EXPECT_FALSE(parsed(it).http.ui);
  it.ui = true;
  EXPECT_TRUE(parsed(it).http.ui);
}

TEST(DemoFile, NodesShareCpusOutWhereThereAreEnough) {
  DemoCluster it = demo();
  EXPECT_EQ(config::cpus_of_set(parsed(it).nodes[0].cpu_set), (std::vector<int>{0, 1}));
  EXPECT_EQ(config::cpus_of_set(parsed(it).nodes[1].cpu_set), (std::vector<int>{2, 3}));
  it.cpus = {0, 1};
  EXPECT_EQ(parsed(it).nodes[0].cpu_set, "");
  EXPECT_EQ(parsed(it).nodes[0].threads, 2) << "one a rank: they share the CPUs as it is";
}

}  // namespace
}  // namespace herd::up
