// Numbers that other parts keep, handed in before a scrape: gauges follow them, counters add what is new.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include "tests/observability/toy_metrics.h"

namespace herd::observability {
namespace {

using Snapshot = ServingMetrics::Snapshot;

// Emitted by the replica:   100   150   150   30 (started again)   40
// vllm:generation_tokens    100   150   150   180                  190
TEST(ServingSnapshot, ACounterOfARestartedReplicaGoesOnRising) {
  ServingMetrics metrics(toy());
  const std::pair<std::uint64_t, double> rows[] = {{100, 100}, {150, 150}, {150, 150}, {30, 180}, {40, 190}};
  for (const auto& [emitted, expected] : rows) {
    metrics.set(one_replica(emitted));
    EXPECT_EQ(scraped(metrics).value("vllm:generation_tokens_total", engine(0)), expected);
  }
}

// A replica that is lost hands in nothing; when the same one answers again, nothing is counted twice.
TEST(ServingSnapshot, AnAbsentReplicaLeavesTheCountersAndZeroesTheGauges) {
  ServingMetrics metrics(toy());
  Snapshot snapshot = one_replica(100);
  snapshot.replicas[0].scheduler.num_running = 4;
  metrics.set(snapshot);
  metrics.set({});
  EXPECT_EQ(scraped(metrics).value("vllm:num_requests_running", engine(0)), 0);
  EXPECT_EQ(scraped(metrics).value("herd_replicas_serving", {{"model_name", "toy"}}), 0);
  snapshot.replicas[0].scheduler.tokens_emitted = 101;
  metrics.set(snapshot);
  EXPECT_EQ(scraped(metrics).value("vllm:generation_tokens_total", engine(0)), 101);
  EXPECT_EQ(scraped(metrics).value("vllm:num_requests_running", engine(0)), 4);
}

TEST(ServingSnapshot, TellsAnAutoscalerHowMuchThereIsToDoAndHowMuchCanBeDone) {
  ServingMetricsConfig config = toy(2);
  config.places = 8;
  ServingMetrics metrics(config);
  Snapshot snapshot = one_replica(7);
  snapshot.replicas[0].scheduler.num_running = 4;
  snapshot.replicas[0].scheduler.num_waiting = 2;
  snapshot.replicas[0].scheduler.queue_tokens = 300;
  snapshot.replicas[0].decode_step_s = 0.02;
  snapshot.replicas[0].prompt_token_s = 0.005;
  snapshot.gateway_waiting_tokens = 50;
  snapshot.first_token_s = 2.5;
  snapshot.log_lines_dropped = 6;
  metrics.set(snapshot);
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("herd_replica_waiting_tokens", engine(0)), 300);
  EXPECT_EQ(exposition.value("herd_replica_capacity_tokens_per_second", engine(0)), 200);
  EXPECT_EQ(exposition.value("herd_replica_saturation", engine(0)), 0.75);
  EXPECT_EQ(exposition.value("herd_replica_capacity_tokens_per_second", engine(1)), 0) << "it does not serve";
  EXPECT_EQ(exposition.value("herd_replica_saturation", engine(1)), 1) << "and takes nothing";
  EXPECT_EQ(exposition.value("herd_gateway_waiting_tokens", {{"model_name", "toy"}}), 50);
  EXPECT_EQ(exposition.value("herd_gateway_predicted_first_token_seconds", {{"model_name", "toy"}}), 2.5);
  EXPECT_EQ(exposition.value("herd_log_lines_dropped_total", {{"model_name", "toy"}}), 6);
}

TEST(ServingSnapshot, ASnapshotSetsEveryFamilyItFeeds) {
  ServingMetrics metrics(toy());
  Snapshot snapshot = one_replica(7);
  scheduler::SchedulerStats& stats = snapshot.replicas[0].scheduler;
  stats.num_running = 3;
  stats.num_waiting = 2;
  stats.prefill_rows = 50;
  stats.preemptions = 1;
  stats.tokens_discarded = 5;
  stats.blocks = {.num_blocks = 100,
                  .num_free = 60,
                  .num_idle = 15,
                  .num_held = 25,
                  .query_tokens = 80,
                  .hit_tokens = 32,
                  .evicted_blocks = 9};
  snapshot.gateway_waiting = 4;
  snapshot.gateway_waiting_tokens = 44;
  snapshot.connections_open = 12;
  snapshot.streams_cut = 2;
  snapshot.replayed = 6;
  snapshot.stale_deltas = 4;
  snapshot.ejections = 3;
  snapshot.tokens_delivered = 77;
  snapshot.capacity_tokens_per_s = 123.5;
  snapshot.replicas[0].saved_s = 1.5;
  snapshot.replicas[0].moves = {.fetches = 9,
                                .fetches_whole = 6,
                                .fetches_failed = 2,
                                .blocks_in = 30,
                                .bytes_in = 3000,
                                .blocks_recomputed = 11,
                                .blocks_damaged = 1,
                                .blocks_out = 40,
                                .bytes_out = 4000,
                                .leases_expired = 3,
                                .open = 5,
                                .token_s = 0.1};
  snapshot.routing = {.prompt_tokens = 500, .held_tokens = 300, .news_missed = 8};
  snapshot.spans = {.exported = 90, .dropped = 7, .failed = 2};
  snapshot.directory_blocks = 21;
  snapshot.directory_bytes = 504;
  metrics.set(snapshot);
  const Exposition exposition = scraped(metrics);
  const struct {
    const char* name;
    double value;
    SampleLabels labels;
  } rows[] = {
      {"vllm:num_requests_running", 3, engine(0)},
      {"vllm:num_requests_waiting", 6, engine(0)},
      {"vllm:num_requests_waiting_by_reason", 6, engine(0, {{"reason", "capacity"}})},
      {"vllm:num_requests_waiting_by_reason", 0, engine(0, {{"reason", "deferred"}})},
      {"vllm:kv_cache_usage_perc", 0.25, engine(0)},
      {"vllm:gpu_cache_usage_perc", 0.25, engine(0)},
      {"herd_kv_blocks", 60, engine(0, {{"state", "free"}})},
      {"herd_kv_blocks", 15, engine(0, {{"state", "idle"}})},
      {"herd_kv_blocks", 25, engine(0, {{"state", "held"}})},
      {"vllm:prompt_tokens_total", 82, engine(0)},
      {"vllm:prompt_tokens_cached_total", 32, engine(0)},
      {"vllm:generation_tokens_total", 7, engine(0)},
      {"vllm:num_preemptions_total", 1, engine(0)},
      {"vllm:prefix_cache_queries_total", 80, engine(0)},
      {"vllm:prefix_cache_hits_total", 32, engine(0)},
      {"vllm:gpu_prefix_cache_queries_total", 80, engine(0)},
      {"vllm:gpu_prefix_cache_hits_total", 32, engine(0)},
      {"herd_kv_evicted_blocks_total", 9, engine(0)},
      {"herd_scheduler_discarded_tokens_total", 5, engine(0)},
      {"herd_gateway_waiting_requests", 4, {{"model_name", "toy"}}},
      {"herd_gateway_waiting_tokens", 44, {{"model_name", "toy"}}},
      {"herd_connections_open", 12, {{"model_name", "toy"}}},
      {"herd_replicas_serving", 1, {{"model_name", "toy"}}},
      {"herd_streams_cut_total", 2, {{"model_name", "toy"}}},
      {"herd_requests_replayed_total", 6, {{"model_name", "toy"}}},
      {"herd_stale_deltas_total", 4, {{"model_name", "toy"}}},
      {"herd_replica_ejections_total", 3, {{"model_name", "toy"}}},
      {"herd_tokens_delivered_total", 77, {{"model_name", "toy"}}},
      {"herd_admission_tokens_per_second", 123.5, {{"model_name", "toy"}}},
      {"herd_prefix_cache_saved_seconds_total", 1.5, engine(0)},
      {"herd_kv_moved_blocks_total", 30, engine(0, {{"direction", "in"}})},
      {"herd_kv_moved_blocks_total", 40, engine(0, {{"direction", "out"}})},
      {"herd_kv_moved_bytes_total", 3000, engine(0, {{"direction", "in"}})},
      {"herd_kv_moved_bytes_total", 4000, engine(0, {{"direction", "out"}})},
      {"herd_kv_moves_total", 6, engine(0, {{"outcome", "whole"}})},
      {"herd_kv_moves_total", 2, engine(0, {{"outcome", "cut_short"}})},
      {"herd_kv_recomputed_blocks_total", 11, engine(0)},
      {"herd_kv_damaged_blocks_total", 1, engine(0)},
      {"herd_kv_leases_expired_total", 3, engine(0)},
      {"herd_kv_moves_open", 5, engine(0)},
      {"herd_routed_prompt_tokens_total", 500, {{"model_name", "toy"}}},
      {"herd_routed_cached_tokens_total", 300, {{"model_name", "toy"}}},
      {"herd_prefix_news_missed_total", 8, {{"model_name", "toy"}}},
      {"herd_trace_spans_total", 90, {{"model_name", "toy"}, {"outcome", "exported"}}},
      {"herd_trace_spans_total", 7, {{"model_name", "toy"}, {"outcome", "dropped"}}},
      {"herd_trace_spans_total", 2, {{"model_name", "toy"}, {"outcome", "failed"}}},
      {"herd_prefix_directory_blocks", 21, {{"model_name", "toy"}}},
      {"herd_prefix_directory_bytes", 504, {{"model_name", "toy"}}},
  };
  for (const auto& row : rows) EXPECT_EQ(exposition.value(row.name, row.labels), row.value) << row.name;
}

TEST(ServingSnapshot, WhatWaitsAtTheGatewayIsSharedOutWithoutLoss) {
  ServingMetrics metrics(toy(3));
  Snapshot snapshot;
  snapshot.replicas.resize(3);
  snapshot.replicas[2].scheduler.num_waiting = 10;
  snapshot.gateway_waiting = 8;
  metrics.set(snapshot);
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("vllm:num_requests_waiting", engine(0)), 3);
  EXPECT_EQ(exposition.value("vllm:num_requests_waiting", engine(1)), 3);
  EXPECT_EQ(exposition.value("vllm:num_requests_waiting", engine(2)), 12);
}

// Two scrapes at once. The first has taken its snapshot (1 token) and is slow; the second (2 tokens) must wait for it:
// set the other way round, the older number would look like a restart and make 3.
TEST(ServingSnapshot, ASlowScrapeIsNotOvertaken) {
  ServingMetrics metrics(toy());
  std::atomic<bool> second_is_set{false};
  std::thread second;
  metrics.set_from([&] {
    second = std::thread([&] {
      metrics.set_from([] { return one_replica(2); });
      second_is_set = true;
    });
    for (int i = 0; i < 100 && !second_is_set; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return one_replica(1);
  });
  second.join();
  EXPECT_EQ(scraped(metrics).value("vllm:generation_tokens_total", engine(0)), 2);
}

}  // namespace
}  // namespace herd::observability
