#include "observability/role_metrics.h"

#include <gtest/gtest.h>

#include "tests/observability/exposition_parser.h"

namespace herd::observability {
namespace {

using handshake::Role;
using report::ProcessReport;
using report::ProcessState;
using report::ReplicaCondition;

Exposition read(const MetricsPage& page) {
  Exposition exposition = parse_exposition(page.text());
  EXPECT_EQ(exposition.error, "");
  return exposition;
}

TEST(RoleMetrics, EveryProcessSaysWhoItIsAndCountsItsConnections) {
  ProcessReport mine;
  mine.role = Role::kGateway;
  mine.name = "gateway-1";
  mine.node = "node-a";
  mine.epoch = 7;
  MetricsPage page;
  add_process(page, mine,
              {.links = {.accepted = 1, .turned_away = 2, .opened = 3, .refused = 4, .lost = 5, .stale_frames = 6, .half_open = 8},
               .wakeups = 99,
               .log_lines_dropped = 12,
               .certificate_expires = 1'800'000'000});
  const Exposition metrics = read(page);
  EXPECT_EQ(metrics.value("herd_process_info", {{"role", "gateway"}, {"name", "gateway-1"}, {"node", "node-a"}}), 1);
  EXPECT_EQ(metrics.value("herd_process_wakeups_total", {}), 99);
  EXPECT_EQ(metrics.value("herd_links_total", {{"outcome", "accepted"}}), 1);
  EXPECT_EQ(metrics.value("herd_links_total", {{"outcome", "turned_away"}}), 2);
  EXPECT_EQ(metrics.value("herd_links_total", {{"outcome", "opened"}}), 3);
  EXPECT_EQ(metrics.value("herd_links_total", {{"outcome", "refused"}}), 4);
  EXPECT_EQ(metrics.value("herd_links_total", {{"outcome", "lost"}}), 5);
  EXPECT_EQ(metrics.value("herd_stale_frames_total", {}), 6);
  EXPECT_EQ(metrics.value("herd_links_half_open", {}), 8);
  EXPECT_EQ(metrics.value("herd_log_lines_dropped_total", {}), 12);
  EXPECT_EQ(metrics.value("herd_certificate_expiry_timestamp_seconds", {}), 1'800'000'000);
}

TEST(RoleMetrics, AProcessWithoutACertificateHasNoneThatEnds) {
  MetricsPage page;
  add_process(page, {}, {});
  EXPECT_EQ(read(page).family("herd_certificate_expiry_timestamp_seconds"), nullptr);
}

TEST(RoleMetrics, ACoordinatorCountsReplicasAndProcessesThatAreNotThereToo) {
  report::ClusterStatusReport cluster;
  cluster.processes.resize(3);
  for (ProcessReport& process : cluster.processes) process.role = Role::kRank;
  cluster.processes[0].state = cluster.processes[1].state = ProcessState::kServing;
  cluster.replicas = {{ReplicaId{0}, ReplicaCondition::kServing, "node-a", 11, ""}, {ReplicaId{1}, ReplicaCondition::kLost, "", 12, "no room"}};
  MetricsPage page;
  add_cluster(page, cluster, 1234567890123);
  const Exposition metrics = read(page);
  EXPECT_EQ(metrics.value("herd_cluster_epoch", {}), 1234567890123);
  EXPECT_EQ(metrics.value("herd_cluster_replicas", {{"state", "serving"}}), 1);
  EXPECT_EQ(metrics.value("herd_cluster_replicas", {{"state", "lost"}}), 1);
  EXPECT_EQ(metrics.value("herd_cluster_replicas", {{"state", "re-forming"}}), 0);
  EXPECT_EQ(metrics.value("herd_cluster_processes", {{"role", "rank"}, {"state", "serving"}}), 2);
  EXPECT_EQ(metrics.value("herd_cluster_processes", {{"role", "rank"}, {"state", "starting"}}), 1);
  EXPECT_EQ(metrics.value("herd_cluster_processes", {{"role", "gateway"}, {"state", "serving"}}), 0);
  EXPECT_EQ(metrics.value("herd_replica_serving", {{"engine", "0"}}), 1);
  EXPECT_EQ(metrics.value("herd_replica_serving", {{"engine", "1"}}), 0);
}

TEST(RoleMetrics, AReplicaThatDrainsByOrderIsNotDown) {
  report::ClusterStatusReport cluster;
  cluster.replicas = {{ReplicaId{0}, ReplicaCondition::kDraining, "node-a", 11, ""}, {ReplicaId{1}, ReplicaCondition::kReforming, "", 12, ""}};
  MetricsPage page;
  add_cluster(page, cluster, 1);
  EXPECT_EQ(read(page).value("herd_replica_serving", {{"engine", "0"}}), 1);
  EXPECT_EQ(read(page).value("herd_replica_serving", {{"engine", "1"}}), 0);
}

TEST(RoleMetrics, ANodeSpeaksForItsRanksAlone) {
  report::ProcessReports mine;
  mine.processes.resize(3);
  mine.processes[0].name = "node-a";
  mine.processes[1].role = mine.processes[2].role = Role::kRank;
  mine.processes[1].name = "replica-0/rank-0";
  mine.processes[1].restarts = 2;
  mine.processes[1].state = ProcessState::kServing;
  mine.processes[2].name = "replica-0/rank-1";
  mine.processes[2].loaded_percent = 40;
  MetricsPage page;
  add_ranks(page, mine, {{"killed by signal 9 (SIGKILL)", 2}});
  const Exposition metrics = read(page);
  EXPECT_EQ(metrics.family("herd_rank_process_restarts_total")->samples.size(), 2U);
  EXPECT_EQ(metrics.value("herd_rank_process_restarts_total", {{"name", "replica-0/rank-0"}}), 2);
  EXPECT_EQ(metrics.value("herd_rank_process_serving", {{"name", "replica-0/rank-0"}}), 1);
  EXPECT_EQ(metrics.value("herd_rank_process_serving", {{"name", "replica-0/rank-1"}}), 0);
  EXPECT_EQ(metrics.value("herd_rank_loaded_ratio", {{"name", "replica-0/rank-1"}}), 0.4);
  EXPECT_EQ(metrics.family("herd_rank_loaded_ratio")->samples.size(), 1U) << "the other one has loaded";
  EXPECT_EQ(metrics.value("herd_rank_process_deaths_total", {{"how", "killed by signal 9 (SIGKILL)"}}), 2);
}

}  // namespace
}  // namespace herd::observability
