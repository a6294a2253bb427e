// What events of steps, tokens, requests and responses become in the text that Prometheus reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/observability/toy_metrics.h"

namespace herd::observability {
namespace {

std::vector<std::string> bounds(const Exposition& exposition, const std::string& name) {
  std::vector<std::string> found;
  for (const Sample& sample : exposition.family(name)->samples) {
    if (sample.name == name + "_bucket") found.push_back(sample.labels.at("le"));
  }
  return found;
}

// Every family that dashboards query, with its type, is there before the first request, at zero; but for what is always 1, and for
// losses that a replica may have.
TEST(ServingMetrics, AllFamiliesExistFromTheStart) {
  const struct {
    const char* type;
    std::vector<std::string> names;
  } rows[] = {
      {"gauge",
       {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason",
        "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "vllm:cache_config_info", "herd_step_bandwidth_ratio",
        "herd_connections_open", "herd_replicas_serving", "herd_admission_tokens_per_second", "herd_kv_blocks",
        "herd_gateway_waiting_requests", "herd_gateway_waiting_tokens", "herd_replica_given_up",
        "herd_prefix_directory_blocks", "herd_prefix_directory_bytes", "herd_kv_moves_open", "herd_restart_budget_left",
        "herd_replica_waiting_tokens", "herd_replica_capacity_tokens_per_second", "herd_replica_saturation",
        "herd_gateway_predicted_first_token_seconds"}},
      {"counter",
       {"vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:prompt_tokens_cached_total",
        "vllm:num_preemptions_total", "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_hits_total", "vllm:request_success_total",
        "vllm:admission_rejections_total", "herd_streams_cut_total", "herd_streams_resumed_total",
        "herd_requests_replayed_total", "herd_stale_deltas_total", "herd_replica_ejections_total",
        "herd_tokens_delivered_total", "herd_kv_evicted_blocks_total",
        "herd_scheduler_discarded_tokens_total", "herd_rank_restarts_total", "herd_rank_suspicions_total",
        "herd_replica_generations_total", "herd_token_mismatches_total", "herd_prefix_cache_saved_seconds_total",
        "herd_routed_prompt_tokens_total", "herd_routed_cached_tokens_total", "herd_prefix_news_missed_total",
        "herd_kv_moved_blocks_total", "herd_kv_moved_bytes_total", "herd_kv_moves_total", "herd_kv_recomputed_blocks_total",
        "herd_kv_damaged_blocks_total", "herd_kv_leases_expired_total", "herd_step_deadline_misses_total",
        "herd_log_lines_dropped_total", "herd_trace_spans_total"}},
      {"histogram",
       {"vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds",
        "vllm:request_time_per_output_token_seconds", "vllm:e2e_request_latency_seconds",
        "vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds", "vllm:request_decode_time_seconds",
        "vllm:request_inference_time_seconds", "vllm:iteration_tokens_total", "vllm:request_prompt_tokens",
        "vllm:request_prefill_kv_computed_tokens", "vllm:request_generation_tokens",
        "vllm:request_max_num_generation_tokens", "vllm:request_params_n", "vllm:request_params_max_tokens",
        "herd_scheduler_step_seconds", "herd_step_bytes", "herd_step_bandwidth_share", "herd_replica_pause_seconds"}},
  };
  const Exposition exposition = scraped(ServingMetrics(toy()));
  std::size_t expected = 0;
  for (const auto& row : rows) {
    expected += row.names.size();
    for (const std::string& name : row.names) {
      const ExposedFamily* family = exposition.family(name);
      ASSERT_NE(family, nullptr) << name;
      EXPECT_EQ(family->type, row.type) << name;
      for (const Sample& sample : family->samples) {
        EXPECT_EQ(sample.value, name == "vllm:cache_config_info" ? 1 : name == "herd_restart_budget_left" ? 3 : 0) << sample.name;
        EXPECT_TRUE(sample.labels.contains("model_name")) << name;
        EXPECT_TRUE(sample.labels.contains("engine") || name.starts_with("herd_")) << name;
      }
    }
  }
  EXPECT_EQ(exposition.families.size(), expected);
}

// A rank that is lost counts as restarted when its replica serves again, however many were lost meanwhile.
TEST(ServingMetrics, TellWhatBecameOfRanks) {
  using membership::Note;
  using membership::NoteKind;
  ServingMetricsConfig config = toy(2);
  config.ranks = 2;
  ServingMetrics metrics(config);
  metrics.on_note(1, {.kind = NoteKind::kRankSuspected, .rank = 1, .text = "makes no progress"});
  metrics.on_note(1, {.kind = NoteKind::kRankHangs, .rank = 1, .text = "hangs"});
  metrics.on_note(1, {.kind = NoteKind::kGenerationLost, .rank = std::nullopt, .text = "stops"});
  for (const std::uint32_t rank : {0U, 1U, 1U}) metrics.on_note(1, {.kind = NoteKind::kRankLost, .rank = rank, .text = "lost"});
  EXPECT_EQ(scraped(metrics).value("herd_rank_restarts_total", engine(1)), 0) << "they are not back";
  metrics.on_note(1, {.kind = NoteKind::kForming, .rank = std::nullopt, .text = "forms"});
  metrics.on_note(1, {.kind = NoteKind::kServing, .rank = std::nullopt, .text = "serves", .pause_s = 0.4});
  metrics.on_note(1, {.kind = NoteKind::kTokensDiffer, .rank = 1, .text = "differs"});
  metrics.on_note(1, {.kind = NoteKind::kServing, .rank = std::nullopt, .text = "serves", .pause_s = 1.6});
  metrics.on_note(0, {.kind = NoteKind::kGivenUp, .rank = std::nullopt, .text = "given up"});
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("herd_rank_suspicions_total", engine(1)), 1);
  EXPECT_EQ(exposition.value("herd_rank_restarts_total", engine(1)), 2);
  EXPECT_EQ(exposition.value("herd_rank_restarts_total", engine(0)), 0);
  EXPECT_EQ(exposition.value("herd_replica_generations_total", engine(1)), 2);
  EXPECT_EQ(exposition.value("herd_replica_pause_seconds_count", engine(1)), 2);
  EXPECT_EQ(exposition.value("herd_replica_pause_seconds_sum", engine(1)), 2.0);
  EXPECT_EQ(exposition.value("herd_token_mismatches_total", engine(1, {{"rank", "1"}})), 1);
  EXPECT_EQ(exposition.value("herd_token_mismatches_total", engine(1, {{"rank", "0"}})), 0);
  EXPECT_EQ(exposition.value("herd_replica_given_up", engine(0)), 1);
  EXPECT_EQ(exposition.value("herd_replica_given_up", engine(1)), 0);
}

TEST(ServingMetrics, ALossByAnOverdueStepIsADeadlineMiss) {
  using membership::NoteKind;
  ServingMetrics metrics(toy(2));
  metrics.on_note(0, {.kind = NoteKind::kGenerationLost, .rank = std::nullopt, .text = "a rank died"});
  metrics.on_note(1, {.kind = NoteKind::kGenerationLost, .rank = std::nullopt, .text = "step 7 is overdue", .overdue = true});
  EXPECT_EQ(scraped(metrics).value("herd_step_deadline_misses_total", engine(0)), 0);
  EXPECT_EQ(scraped(metrics).value("herd_step_deadline_misses_total", engine(1)), 1);
}

TEST(ServingMetrics, TheRestartBudgetIsSpentByLossesAndComesBackByTime) {
  using membership::NoteKind;
  constexpr auto at = [](double seconds) { return seconds_after(Instant{}, seconds); };
  ServingMetricsConfig config = toy(2);
  config.restart_budget = {.restarts = 2, .window_s = 60};
  ServingMetrics metrics(config);
  const auto left = [&metrics](int replica, Instant now) {
    metrics.on_time(now);
    return scraped(metrics).value("herd_restart_budget_left", engine(replica));
  };
  membership::RestartLog log(config.restart_budget);
  const auto lose = [&](double seconds) {
    (void)log.on_ended(at(seconds));
    metrics.on_note(1, {.kind = NoteKind::kRestartSpent, .rank = std::nullopt, .text = "lost", .restarts = log});
  };
  EXPECT_EQ(left(1, at(1)), 2);
  lose(10);
  EXPECT_EQ(left(1, at(20)), 1);
  lose(40);
  EXPECT_EQ(left(1, at(40)), 0);
  EXPECT_EQ(left(0, at(40)), 2) << "another replica's is its own";
  EXPECT_EQ(left(1, at(75)), 1) << "the first loss is old";
  metrics.set_restart_budget({.restarts = 5, .window_s = 60});
  EXPECT_EQ(left(1, at(75)), 4) << "another budget, of which as much is spent";
  metrics.on_note(1, {.kind = NoteKind::kGivenUp, .rank = std::nullopt, .text = "given up"});
  metrics.on_note(1, {.kind = NoteKind::kTaken, .rank = std::nullopt, .text = "here again"});
  EXPECT_EQ(left(1, at(75)), 5);
  EXPECT_EQ(scraped(metrics).value("herd_replica_given_up", engine(1)), 0);
}

TEST(ServingMetrics, EachReplicaIsAnEngine) {
  ServingMetrics metrics(toy(2));
  metrics.on_first_token(0.5, 1);
  metrics.on_token_gap(0.5, 1);
  metrics.on_request_end({.finished_reason = "length", .engine = 1});
  const Exposition exposition = scraped(metrics);
  for (const char* name : {"vllm:time_to_first_token_seconds_count", "vllm:inter_token_latency_seconds_count",
                           "vllm:time_per_output_token_seconds_count", "vllm:e2e_request_latency_seconds_count"}) {
    EXPECT_EQ(exposition.value(name, engine(0)), 0) << name;
    EXPECT_EQ(exposition.value(name, engine(1)), 1) << name;
  }
  EXPECT_EQ(exposition.value("vllm:request_success_total", engine(1, {{"finished_reason", "length"}})), 1);
  EXPECT_EQ(exposition.value("vllm:request_success_total", engine(0, {{"finished_reason", "length"}})), 0);
  EXPECT_EQ(
      exposition.value("vllm:cache_config_info",
                       engine(1, {{"block_size", "16"}, {"num_gpu_blocks", "100"}, {"enable_prefix_caching", "True"}})),
      1);
}

TEST(ServingMetrics, AnEventOfAnUnknownEngineIsNotLost) {
  ServingMetrics metrics(toy(2));
  metrics.on_first_token(0.5, 7);
  metrics.on_request_end({.finished_reason = "stop", .engine = 7});
  metrics.on_step(7, {.rows = 1}, 0.1);
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("vllm:time_to_first_token_seconds_count", engine(1)), 1);
  EXPECT_EQ(exposition.value("vllm:request_success_total", engine(1, {{"finished_reason", "stop"}})), 1);
  EXPECT_EQ(exposition.value("vllm:iteration_tokens_total_count", engine(1)), 1);
}

TEST(ServingMetrics, BucketsAreVllmsWhereItHasTheFamily) {
  const Exposition exposition = scraped(ServingMetrics(toy()));
  const std::vector<std::string> first_token = {"0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1",
                                                "0.25",  "0.5",   "0.75", "1",    "2.5",  "5",    "7.5",  "10",
                                                "20",    "40",    "80",   "160",  "640",  "2560", "+Inf"};
  EXPECT_EQ(bounds(exposition, "vllm:time_to_first_token_seconds"), first_token);
  const std::vector<std::string> iteration = {"1",   "8",    "16",   "32",   "64",   "128",   "256",
                                              "512", "1024", "2048", "4096", "8192", "16384", "+Inf"};
  EXPECT_EQ(bounds(exposition, "vllm:iteration_tokens_total"), iteration);
  const std::vector<std::string> counts = {"1", "2", "5", "10", "20", "50", "100", "200", "+Inf"};
  EXPECT_EQ(bounds(exposition, "vllm:request_prompt_tokens"), counts);
  EXPECT_EQ(bounds(exposition, "vllm:request_params_max_tokens"), counts);
  const auto includes = [&](const char* family, const std::set<std::string>& wanted) {
    const auto found = bounds(exposition, family);
    for (const std::string& bound : wanted) EXPECT_EQ(std::count(found.begin(), found.end(), bound), 1) << bound;
  };
  includes("vllm:inter_token_latency_seconds", {"0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3", "0.4",
                                                "0.5", "0.75", "1", "2.5", "5", "7.5", "10", "20", "40", "80"});
  includes("vllm:e2e_request_latency_seconds",
           {"0.3", "0.5", "0.8", "1",  "1.5", "2",   "2.5", "5",   "10",   "15",  "20",
            "30",  "40",  "50",  "60", "120", "240", "480", "960", "1920", "7680"});
}

TEST(ServingMetrics, TheLastCountBucketIsTheModelsLength) {
  ServingMetricsConfig config = toy();
  config.max_model_len = 2000;
  EXPECT_EQ(bounds(scraped(ServingMetrics(config)), "vllm:request_prompt_tokens").end()[-2], "2000");
  config.max_model_len = 0;
  EXPECT_EQ(bounds(scraped(ServingMetrics(config)), "vllm:request_prompt_tokens"),
            (std::vector<std::string>{"1", "+Inf"}));
}

TEST(ServingMetrics, AValueOnABoundCountsBelowIt) {
  ServingMetrics metrics(toy());
  metrics.on_first_token(0.25);
  metrics.on_first_token(0.2500001);
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("vllm:time_to_first_token_seconds_bucket", engine(0, {{"le", "0.25"}})), 1);
  EXPECT_EQ(exposition.value("vllm:time_to_first_token_seconds_bucket", engine(0, {{"le", "0.5"}})), 2);
}

TEST(ServingMetrics, ARequestsRecordReachesEveryFamilyItFeeds) {
  ServingMetrics metrics(toy());
  metrics.on_request_end({.finished_reason = "stop",
                          .n = 2,
                          .max_tokens = 64,
                          .prompt_tokens = 30,
                          .generation_tokens = 18,
                          .cached_tokens = 16,
                          .longest_choice_tokens = 11,
                          .queue_s = 1,
                          .prefill_s = 2,
                          .decode_s = 5,
                          .e2e_s = 8,
                          .resumed = true});
  const Exposition exposition = scraped(metrics);
  const struct {
    const char* family;
    double sum;
  } rows[] = {
      {"vllm:e2e_request_latency_seconds", 8},
      {"vllm:request_queue_time_seconds", 1},
      {"vllm:request_prefill_time_seconds", 2},
      {"vllm:request_decode_time_seconds", 5},
      {"vllm:request_inference_time_seconds", 7},
      {"vllm:request_time_per_output_token_seconds", 0.5},
      {"vllm:request_prompt_tokens", 30},
      {"vllm:request_prefill_kv_computed_tokens", 14},
      {"vllm:request_generation_tokens", 18},
      {"vllm:request_max_num_generation_tokens", 11},
      {"vllm:request_params_n", 2},
      {"vllm:request_params_max_tokens", 64},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(exposition.value(std::string(row.family) + "_sum", engine(0)), row.sum) << row.family;
    EXPECT_EQ(exposition.value(std::string(row.family) + "_count", engine(0)), 1) << row.family;
  }
  EXPECT_EQ(exposition.value("vllm:request_success_total", engine(0, {{"finished_reason", "stop"}})), 1);
  EXPECT_EQ(exposition.value("herd_streams_resumed_total", {{"model_name", "toy"}}), 1);
}

// Aborted while it waited: it has an end, but neither queue time nor prefill nor decode.
TEST(ServingMetrics, APhaseThatNeverBeganIsNotObserved) {
  ServingMetrics metrics(toy());
  metrics.on_request_end({.finished_reason = "abort", .e2e_s = 3});
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("vllm:e2e_request_latency_seconds_count", engine(0)), 1);
  for (const char* name : {"queue_time", "prefill_time", "decode_time", "inference_time", "time_per_output_token"}) {
    EXPECT_EQ(exposition.value(std::string("vllm:request_") + name + "_seconds_count", engine(0)), 0) << name;
  }
  EXPECT_EQ(exposition.value("vllm:request_params_max_tokens_count", engine(0)), 0);
  EXPECT_EQ(exposition.value("vllm:request_success_total", engine(0, {{"finished_reason", "abort"}})), 1);
}

TEST(ServingMetrics, NumbersThatAreNoneDoNotPoisonASum) {
  ServingMetrics metrics(toy());
  for (const double bad : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    metrics.on_first_token(bad);
    metrics.on_token_gap(bad);
    metrics.on_step(0, {.rows = 1}, bad);
    metrics.on_http_response("/health", 200, bad);
    metrics.on_request_end(
        {.finished_reason = "stop", .queue_s = bad, .prefill_s = bad, .decode_s = bad, .e2e_s = bad});
  }
  for (const ExposedFamily& family : scraped(metrics).families) {
    for (const Sample& sample : family.samples) EXPECT_TRUE(std::isfinite(sample.value)) << sample.name;
  }
}

// Weights 1 MB, KV 1 kB a token, bandwidth 1 GB/s. 1000 tokens of context: 2 MB in 4 ms is half of it.
TEST(ServingMetrics, AStepsBytesOverItsTimeAreAShareOfTheBandwidth) {
  ServingMetrics metrics(toy());
  for (int i = 0; i < 3; ++i) metrics.on_step(0, {.rows = 8, .sequences = 8, .context_tokens = 1000}, 0.004);
  metrics.on_step(0, {.rows = 0}, 0.004);  // released sequences, read nothing
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("herd_step_bytes_sum", engine(0)), 6e6);
  EXPECT_EQ(exposition.value("herd_step_bytes_count", engine(0)), 3);
  EXPECT_EQ(exposition.value("vllm:iteration_tokens_total_sum", engine(0)), 24);
  EXPECT_EQ(exposition.value("herd_scheduler_step_seconds_count", engine(0)), 3);
  EXPECT_DOUBLE_EQ(exposition.value("herd_step_bandwidth_ratio", engine(0)), 0.5);
  EXPECT_EQ(exposition.value("herd_step_bandwidth_share_bucket", engine(0, {{"le", "0.6"}})), 3);
  EXPECT_EQ(exposition.value("herd_step_bandwidth_share_bucket", engine(0, {{"le", "0.4"}})), 0);
}

// 1 step at 100 % of 1 ms beside 1 at 10 % of 10 ms: 2 MB in 11 ms, not the mean of the two shares.
TEST(ServingMetrics, TheRecentShareWeighsStepsByTheirTime) {
  ServingMetricsConfig config = toy();
  config.kv_bytes_per_token = 0;
  ServingMetrics metrics(config);
  for (int i = 0; i < 2000; ++i) metrics.on_step(0, {.rows = 1}, i % 2 == 0 ? 0.001 : 0.01);
  const double ratio = scraped(metrics).value("herd_step_bandwidth_ratio", engine(0));
  // The last step weighs 2 % more than the one before: seconds between 0.98 and 1.02 of their mean, 5.5 ms.
  EXPECT_GT(ratio, 1e6 / 0.0055 / 1e9 / 1.02);
  EXPECT_LT(ratio, 1e6 / 0.0055 / 1e9 / 0.98);
}

TEST(ServingMetrics, WithoutAMeasuredBandwidthThereIsNoShare) {
  ServingMetricsConfig config = toy();
  config.read_bytes_per_s = 0;
  ServingMetrics metrics(config);
  metrics.on_step(0, {.rows = 1}, 0.1);
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.family("herd_step_bandwidth_ratio"), nullptr);
  EXPECT_EQ(exposition.family("herd_step_bandwidth_share"), nullptr);
  EXPECT_EQ(exposition.value("herd_step_bytes_count", engine(0)), 1);
}

TEST(ServingMetrics, HttpResponsesAreCountedByRouteMethodAndClass) {
  ServingMetrics metrics(toy());
  metrics.on_http_response("/v1/completions", 200, 0.2, "POST");
  metrics.on_http_response("/v1/completions", 201, 0.2, "POST");
  metrics.on_http_response("/v1/completions", 503, 0.001, "POST");
  metrics.on_http_response("/v1/completions", 999, 0.001, "BREW");
  metrics.on_http_response("/health", 200, 0.001);
  const Exposition exposition = scraped(metrics);
  const auto responses = [&](const char* handler, const char* method, const char* status) {
    return exposition.value("http_requests_total", {{"handler", handler}, {"method", method}, {"status", status}});
  };
  EXPECT_EQ(responses("/v1/completions", "POST", "2xx"), 2);
  EXPECT_EQ(responses("/v1/completions", "POST", "5xx"), 1);
  EXPECT_EQ(responses("/v1/completions", "other", "other"), 1);
  EXPECT_EQ(responses("/health", "", "2xx"), 1);
  EXPECT_EQ(
      exposition.value("http_request_duration_seconds_count", {{"handler", "/v1/completions"}, {"method", "POST"}}), 3);
}

TEST(ServingMetrics, LabelsThatEventsBringAreBounded) {
  ServingMetrics metrics(toy());
  for (int i = 0; i < 1000; ++i) {
    metrics.on_http_response(("/invented/" + std::to_string(i)).c_str(), 404, 0.001, "GET");
    metrics.on_refused(("reason" + std::to_string(i)).c_str());
  }
  const Exposition exposition = scraped(metrics);
  double total = 0;
  for (const Sample& sample : exposition.family("http_requests_total")->samples) total += sample.value;
  EXPECT_EQ(total, 1000);
  EXPECT_EQ(exposition.family("http_requests_total")->samples.size(), 257U);
  EXPECT_EQ(exposition.value("http_requests_total", {{"handler", "other"}, {"method", "other"}, {"status", "other"}}),
            1000 - 256);
  EXPECT_EQ(exposition.family("vllm:admission_rejections_total")->samples.size(), 257U);
}

TEST(ServingMetrics, RefusalsAreCountedByReason) {
  ServingMetrics metrics(toy());
  metrics.on_refused("queue_tokens");
  metrics.on_refused("draining");
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("vllm:admission_rejections_total", engine(0, {{"reason", "queue_tokens"}})), 1);
  EXPECT_EQ(exposition.value("vllm:admission_rejections_total", engine(0, {{"reason", "draining"}})), 1);
  EXPECT_EQ(exposition.value("vllm:admission_rejections_total", engine(0, {{"reason", "deadline"}})), 0);
}

TEST(ServingMetrics, AModelsNameMayHoldAnything) {
  ServingMetricsConfig config = toy();
  config.model_name = "a\"b\\c\nd\xFF";
  const Exposition exposition = scraped(ServingMetrics(config));
  EXPECT_EQ(exposition.value("vllm:num_requests_running", {{"model_name", "a\"b\\c\nd\uFFFD"}, {"engine", "0"}}), 0);
}

TEST(ServingMetrics, ThreadsLoseNothingAndScrapesAreAlwaysWhole) {
  constexpr int kThreads = 4;
  constexpr int kEvents = 5000;
  ServingMetrics metrics(toy());
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&metrics, t] {
      for (int i = 1; i <= kEvents; ++i) {
        metrics.on_token_gap(0.001);
        metrics.on_step(0, {.rows = 1, .context_tokens = 10}, 0.001);
        metrics.on_http_response(i % 2 == 0 ? "/health" : "/v1/models", 200, 0.001, "GET");
        metrics.on_request_end({.finished_reason = "stop"});
        if (t == 0 && i % 100 == 0) metrics.set(one_replica(static_cast<std::uint64_t>(i)));
      }
    });
  }
  for (int i = 0; i < 20; ++i) scraped(metrics);
  for (std::thread& thread : threads) thread.join();
  const Exposition exposition = scraped(metrics);
  EXPECT_EQ(exposition.value("vllm:inter_token_latency_seconds_count", engine(0)), kThreads * kEvents);
  EXPECT_EQ(exposition.value("herd_scheduler_step_seconds_count", engine(0)), kThreads * kEvents);
  EXPECT_EQ(exposition.value("vllm:request_success_total", engine(0, {{"finished_reason", "stop"}})),
            kThreads * kEvents);
  EXPECT_EQ(exposition.value("vllm:generation_tokens_total", engine(0)), kEvents);
  EXPECT_EQ(exposition.value("http_requests_total", {{"handler", "/health"}, {"method", "GET"}, {"status", "2xx"}}),
            kThreads * kEvents / 2);
}

}  // namespace
}  // namespace herd::observability
