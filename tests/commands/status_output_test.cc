#include "commands/status_output.h"

#include <gtest/gtest.h>

namespace herd::commands {
namespace {

using handshake::Role;

report::ClusterStatusReport small_cluster() {
  report::ClusterStatusReport cluster;
  cluster.cluster = "demo";
  report::ProcessReport coordinator;
  coordinator.role = Role::kCoordinator;
  coordinator.name = "coordinator";
  coordinator.node = "node-a";
  coordinator.pid = 10;
  coordinator.state = report::ProcessState::kServing;
  coordinator.epoch = 1700;
  coordinator.metrics_url = "http://127.0.0.1:9100/metrics";
  report::ProcessReport node;
  node.role = Role::kNode;
  node.name = "node-b";
  node.node = "node-b";
  node.state = report::ProcessState::kStopped;
  node.weights_digest = "0123456789abcdef";
  report::ProcessReport rank;
  rank.role = Role::kRank;
  rank.name = "replica-0/rank-0";
  rank.node = "node-a";
  rank.pid = 12;
  rank.leader = true;
  rank.state = report::ProcessState::kStarting;
  rank.epoch = 99;
  rank.restarts = 2;
  rank.last_death = "killed by signal 9 (SIGKILL)";
  rank.loaded_percent = 40;
  report::ProcessReport gateway;
  gateway.role = Role::kGateway;
  gateway.name = "gateway-1";
  gateway.pid = 13;
  gateway.state = report::ProcessState::kServing;
  gateway.endpoint_url = "http://127.0.0.1:8000";
  cluster.processes = {coordinator, node, rank, gateway};
  cluster.replicas = {{ReplicaId(0), report::ReplicaCondition::kReforming, "node-a", 99, "its ranks start"},
                      {ReplicaId(1), report::ReplicaCondition::kLost, "", 0, "no node has room for it"}};
  cluster.replicas[0].cache = report::CacheReport{
      .replica = ReplicaId(0), .epoch = 99, .query_tokens = 900, .hit_tokens = 600, .evicted_blocks = 3, .saved_s = 2.5,
      .bytes_in = 4'600'000, .bytes_out = 1, .blocks_recomputed = 7};
  return cluster;
}

TEST(StatusOutput, JsonIsOneLineOfThePromisedShape) {
  EXPECT_EQ(cluster_status_json("/etc/herd/c.yaml", small_cluster()),
            R"({"config":"/etc/herd/c.yaml","endpoints":[{"name":"gateway-1","url":"http://127.0.0.1:8000"}],)"
            R"("metrics":[{"role":"coordinator","name":"coordinator","url":"http://127.0.0.1:9100/metrics"}],)"
            R"("processes":[{"role":"coordinator","name":"coordinator","pid":10,"node":"node-a","leader":false,"state":"serving",)"
            R"("epoch":1700,"restarts":0,"last_death":null,"loaded_percent":null,"weights_digest":null,"tokenizer_digest":null},)"
            R"({"role":"node","name":"node-b","pid":null,"node":"node-b","leader":false,"state":"stopped","epoch":0,"restarts":0,)"
            R"("last_death":null,"loaded_percent":null,"weights_digest":"0123456789abcdef","tokenizer_digest":null},)"
            R"({"role":"rank","name":"replica-0/rank-0","pid":12,"node":"node-a","leader":true,"state":"starting","epoch":99,)"
            R"|("restarts":2,"last_death":"killed by signal 9 (SIGKILL)","loaded_percent":40,"weights_digest":null,"tokenizer_digest":null},)|"
            R"({"role":"gateway","name":"gateway-1","pid":13,"node":null,"leader":false,"state":"serving","epoch":0,"restarts":0,)"
            R"("last_death":null,"loaded_percent":null,"weights_digest":null,"tokenizer_digest":null}],)"
            R"("replicas":[{"name":"replica-0","state":"re-forming","node":"node-a","epoch":99,)"
            R"("cache":{"query_tokens":900,"hit_tokens":600,"saved_seconds":2.5E0,"evicted_blocks":3,"moved_in_bytes":4600000,)"
            R"("moved_out_bytes":1,"recomputed_blocks":7},"why":"its ranks start"},)"
            R"({"name":"replica-1","state":"lost","node":null,"epoch":0,"cache":null,"why":"no node has room for it"}],)"
            R"("may_be_stopped":[],"notices":[]})"
            "\n");
}

// node-b has drained, node-a is about to; replica 1 has drained.
TEST(StatusOutput, WhatHasDrainedSaysThatItMayBeStopped) {
  report::ClusterStatusReport cluster = small_cluster();
  report::ProcessReport node;
  node.role = Role::kNode;
  node.name = node.node = "node-a";
  node.pid = 11;
  node.state = report::ProcessState::kDraining;
  cluster.processes[1].pid = 14;
  cluster.processes[1].state = report::ProcessState::kDraining;
  cluster.processes.insert(cluster.processes.begin() + 1, node);
  cluster.replicas[1] = {ReplicaId(1), report::ReplicaCondition::kDraining, "", 7, "it is drained"};
  cluster.notices = {"gateway-2 has no resume key, gateway-1 does"};
  const std::string json = cluster_status_json("", cluster);
  EXPECT_NE(json.find(R"("may_be_stopped":["node-b","replica-1"],"notices":["gateway-2 has no resume key, gateway-1 does"])"),
            std::string::npos)
      << json;
  const std::string text = cluster_status_text(cluster);
  EXPECT_NE(text.find("node         node-a            draining  11   node-a  0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("node         node-b            draining  14   node-b  0         weights 0123456789abcdef, drained: may be stopped\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\n\ngateway-2 has no resume key, gateway-1 does\n")) << text;
}

TEST(StatusOutput, TextIsTwoTables) {
  EXPECT_EQ(cluster_status_text(small_cluster()),
            "cluster demo\n"
            "\n"
            "REPLICA    STATE       NODE    EPOCH  CACHE HITS  SAVED  KV IN  KV OUT  WHY\n"
            "replica-0  re-forming  node-a  99     66 %        3 s    5 MB   0 MB    its ranks start\n"
            "replica-1  lost        -       -      -           -      -      -       no node has room for it\n"
            "\n"
            "ROLE         NAME              STATE     PID  NODE    RESTARTS  ABOUT\n"
            "coordinator  coordinator       serving   10   node-a  0\n"
            "node         node-b            stopped   -    node-b  0         weights 0123456789abcdef\n"
            "rank         replica-0/rank-0  starting  12   node-a  2         loaded 40 %, leader, last death: killed by signal 9 (SIGKILL)\n"
            "gateway      gateway-1         serving   13   -       0         http://127.0.0.1:8000\n");
}

TEST(ScrapeTargets, AreAllWhoSayWhereTheirMetricsAre) {
  report::ClusterStatusReport cluster = small_cluster();
  EXPECT_EQ(scrape_targets_json(cluster, {.nodes = {}, .gateways = {}, .coordinator = "127.0.0.1", .metrics_host = {}}),
            R"([{"targets":["127.0.0.1:9100"],"labels":{"__meta_herd_cluster":"demo","__meta_herd_role":"coordinator",)"
            R"("__meta_herd_name":"coordinator","__meta_herd_node":"node-a"}}])"
            "\n");
  cluster.processes.clear();
  EXPECT_EQ(scrape_targets_json(cluster, {}), "[]\n");
}

struct ScrapeTargetsOfOne : testing::Test {
  std::string target(const std::string& url, const std::string& node, handshake::Role role = handshake::Role::kNode) {
    report::ClusterStatusReport cluster;
    report::ProcessReport& process = cluster.processes.emplace_back();
    process.role = role;
    process.name = "gateway-1";
    process.node = node;
    process.metrics_url = url;
    const std::string json = scrape_targets_json(cluster, hosts);
    const std::string begin = "\"targets\":[\"";
    const std::size_t at = json.find(begin);
    return at == std::string::npos ? json : json.substr(at + begin.size(), json.find('"', at + begin.size()) - at - begin.size());
  }
  ScrapeHosts hosts{.nodes = {{"node-a", "node-a.example"}, {"node-b", "fd00::2"}},
                    .gateways = {{"gateway-1", "10.0.0.5"}},
                    .coordinator = "10.0.0.1",
                    .metrics_host = {}};
};

TEST_F(ScrapeTargetsOfOne, AProcessOnEveryAddressIsAskedAtItsMachines) {
  EXPECT_EQ(target("http://0.0.0.0:9101/metrics", "node-a"), "node-a.example:9101");
  EXPECT_EQ(target("http://[::]:9101/metrics", "node-b"), "[fd00::2]:9101");
  EXPECT_EQ(target("http://0.0.0.0:9101/metrics", ""), "10.0.0.1:9101") << "the coordinator's machine";
  EXPECT_EQ(target("http://0.0.0.0:9101/metrics", "node-z"), "node-z:9101") << "a node that no file lists";
  EXPECT_EQ(target("http://10.0.0.5:9101/metrics", "", handshake::Role::kGateway), "10.0.0.5:9101");
  EXPECT_EQ(target("http://10.0.0.1:9101/metrics", "node-a", handshake::Role::kCoordinator), "10.0.0.1:9101");
}

// Whoever has a node's certificate could else send the scraper wherever it reaches.
TEST_F(ScrapeTargetsOfOne, AProcessIsScrapedOnItsOwnMachineWhateverItSays) {
  for (const char* host : {"169.254.169.254", "127.0.0.1", "10.0.0.1", "[::1]", "node-b.example", "user@10.0.0.9"})
    EXPECT_EQ(target("http://" + std::string(host) + ":9101/metrics", "node-a"), "node-a.example:9101") << host;
  EXPECT_EQ(target("http://10.0.0.9:9101/metrics", "", handshake::Role::kGateway), "10.0.0.5:9101");
  hosts.metrics_host = "192.168.0.1";
  EXPECT_EQ(target("http://192.168.0.1:9101/metrics", "node-a"), "192.168.0.1:9101") << "as the file says of all";
}

TEST_F(ScrapeTargetsOfOne, WhatIsNoAddressIsNoTarget) {
  for (const char* url : {"", "nonsense", "https://10.0.0.7:9101/metrics", "http://10.0.0.7/metrics", "http://10.0.0.7:0/metrics",
                          "http://10.0.0.7:99999/metrics", "http://10.0.0.7:91x/metrics", "http://[::1:9101/metrics"})
    EXPECT_EQ(target(url, "node-a"), "[]\n") << url;
}

}  // namespace
}  // namespace herd::commands
