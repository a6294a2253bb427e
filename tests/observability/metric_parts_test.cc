// Whose each family is where a cluster is several processes.
#include <gtest/gtest.h>

#include <set>

#include "tests/observability/toy_metrics.h"

namespace herd::observability {
namespace {

std::set<std::string> names(MetricPart part) {
  ServingMetricsConfig config = toy();
  config.part = part;
  std::set<std::string> found;
  for (const ExposedFamily& family : scraped(ServingMetrics(config)).families) found.insert(family.name);
  return found;
}

// Of the two that gateways and leaders share no request is in both.
TEST(MetricParts, EachFamilyIsOneRoles) {
  const std::set<std::string> shared{"vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason"};
  std::set<std::string> together;
  std::size_t count = 0;
  for (const MetricPart part : {MetricPart::kGateway, MetricPart::kLeader, MetricPart::kNode}) {
    const std::set<std::string> mine = names(part);
    EXPECT_FALSE(mine.empty());
    count += mine.size();
    together.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(count, together.size() + shared.size());
  together.insert("herd_log_lines_dropped_total");  // every process's, see role_metrics.h
  EXPECT_EQ(together, names(MetricPart::kAll));
}

TEST(MetricParts, WhoWaitsIsCountedWhereItWaits) {
  ServingMetrics::Snapshot snapshot = one_replica(0);
  snapshot.replicas[0].scheduler.num_waiting = 3;
  snapshot.gateway_waiting = 4;
  const auto waiting = [&](MetricPart part) {
    ServingMetricsConfig config = toy();
    config.part = part;
    ServingMetrics metrics(config);
    metrics.set(snapshot);
    return scraped(metrics).value("vllm:num_requests_waiting", engine(0));
  };
  EXPECT_EQ(waiting(MetricPart::kAll), 7);
  EXPECT_EQ(waiting(MetricPart::kGateway), 4) << "its replicas' leaders say the others";
  snapshot.gateway_waiting = 0;  // a leader knows of none
  EXPECT_EQ(waiting(MetricPart::kLeader), 3);
}

TEST(MetricParts, RequestsAreTheGatewaysStepsTheLeadersDeathsTheNodes) {
  EXPECT_TRUE(names(MetricPart::kGateway).contains("vllm:time_to_first_token_seconds"));
  EXPECT_TRUE(names(MetricPart::kGateway).contains("vllm:request_success_total"));
  EXPECT_TRUE(names(MetricPart::kLeader).contains("vllm:num_requests_running"));
  EXPECT_TRUE(names(MetricPart::kLeader).contains("vllm:gpu_cache_usage_perc")) << "the retired name of a leader's";
  EXPECT_TRUE(names(MetricPart::kNode).contains("herd_replica_pause_seconds"));
}

TEST(MetricParts, ALeaderIsTheEngineOfItsReplica) {
  ServingMetricsConfig config = toy();
  config.part = MetricPart::kLeader;
  config.first_engine = 3;
  ServingMetrics metrics(config);
  ServingMetrics::Snapshot snapshot = one_replica(5);
  snapshot.replicas[0].scheduler.num_running = 2;
  metrics.set(snapshot);
  metrics.on_step(0, {.rows = 7}, 0.1);
  const Exposition read = scraped(metrics);
  EXPECT_EQ(read.value("vllm:num_requests_running", engine(3)), 2);
  EXPECT_EQ(read.value("vllm:iteration_tokens_total_count", engine(3)), 1);
  EXPECT_EQ(read.family("vllm:num_requests_running")->samples.size(), 1U);
}

}  // namespace
}  // namespace herd::observability
