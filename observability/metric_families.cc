// Names, labels and meanings of `vllm:*` follow vllm/v1/metrics/loggers.py; a counter's name ends in `_total` here
// because that is how Prometheus clients expose it. Labels of every one: model_name, engine (the replica's index).
#include "observability/metric_families.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <utility>

#include "observability/clean_text.h"
#include "observability/metric_buckets.h"
#include "runtime/text/utf8.h"

namespace herd::observability {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;

constexpr std::size_t kCombinationsMax = 256;  // of labels that events bring; our own code makes far fewer

// Families merge by name: asking again gives the same one.
struct Adder {
  prometheus::Registry& registry;
  Labels labels;

  Labels with(const Labels& more) const {
    Labels all = labels;
    all.insert(more.begin(), more.end());
    return all;
  }
  Counter* counter(const char* name, const char* help, const Labels& more = {}) const {
    return &prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(with(more));
  }
  Gauge* gauge(const char* name, const char* help, const Labels& more = {}) const {
    return &prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(with(more));
  }
  Histogram* histogram(const char* name, const char* help, const Buckets& buckets, const Labels& more = {}) const {
    return &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(with(more), buckets);
  }
};

// The same numbers under the names that vLLM had before; dashboards made then go on working.
struct RetiredName {
  const char* name;
  const char* now;
};
constexpr RetiredName kRetiredNames[] = {
    {"vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"},
    {"vllm:gpu_prefix_cache_queries_total", "vllm:prefix_cache_queries_total"},
    {"vllm:gpu_prefix_cache_hits_total", "vllm:prefix_cache_hits_total"},
    {"vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds"},
};

// Whose a family is where the cluster has several processes: what is in none of these lists is a gateway's.
constexpr std::string_view kOfLeaders[] = {
    "herd_kv_blocks",
    "herd_kv_damaged_blocks_total",
    "herd_kv_evicted_blocks_total",
    "herd_kv_leases_expired_total",
    "herd_kv_moved_blocks_total",
    "herd_kv_moved_bytes_total",
    "herd_kv_moves_open",
    "herd_kv_moves_total",
    "herd_kv_recomputed_blocks_total",
    "herd_prefix_cache_saved_seconds_total",
    "herd_replica_capacity_tokens_per_second",
    "herd_replica_saturation",
    "herd_replica_waiting_tokens",
    "herd_scheduler_discarded_tokens_total",
    "herd_scheduler_step_seconds",
    "herd_step_bandwidth_ratio",
    "herd_step_bandwidth_share",
    "herd_step_bytes",
    "vllm:cache_config_info",
    "vllm:generation_tokens_total",
    "vllm:iteration_tokens_total",
    "vllm:kv_cache_usage_perc",
    "vllm:num_preemptions_total",
    "vllm:num_requests_running",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prompt_tokens_cached_total",
    "vllm:prompt_tokens_total",
};
constexpr std::string_view kOfNodes[] = {
    "herd_rank_restarts_total",   "herd_rank_suspicions_total", "herd_replica_generations_total", "herd_replica_given_up",
    "herd_replica_pause_seconds", "herd_restart_budget_left",   "herd_step_deadline_misses_total", "herd_token_mismatches_total",
};
// A request waits at one of them at a time, so that sums over all of these are right too.
constexpr std::string_view kOfGatewaysAndLeaders[] = {"vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason"};
// What each process of a cluster says with who it is (role_metrics.h).
constexpr std::string_view kOfEveryProcess[] = {"herd_log_lines_dropped_total"};

bool is_of(MetricPart part, std::string_view family) {
  if (part == MetricPart::kAll) return true;
  if (std::ranges::count(kOfEveryProcess, family) > 0) return false;
  if (std::ranges::count(kOfGatewaysAndLeaders, family) > 0) return part != MetricPart::kNode;
  if (std::ranges::count(kOfLeaders, family) > 0) return part == MetricPart::kLeader;
  if (std::ranges::count(kOfNodes, family) > 0) return part == MetricPart::kNode;
  return part == MetricPart::kGateway;
}

constexpr const char* kWaitingByReason = "vllm:num_requests_waiting_by_reason";
constexpr const char* kWaitingByReasonHelp =
    "Requests waiting, by reason: capacity (for room in the batch or KV blocks), deferred (for anything else).";
constexpr const char* kKvBlocks = "herd_kv_blocks";
constexpr const char* kKvBlocksHelp =
    "KV blocks by state: free (without content), idle (cached, held by nobody), held (by a sequence).";

void add_moves(const Adder& add, ReplicaMetrics& m) {
  const char* blocks = "KV blocks that came from other replicas' prefix caches (in), or went to theirs (out).";
  const char* bytes = "Bytes of the KV blocks that came from other replicas (in), or went to them (out).";
  const char* moves = "Times that the replica asked another one for KV blocks: whole, or cut_short (some did not come).";
  m.blocks_in = add.counter("herd_kv_moved_blocks_total", blocks, {{"direction", "in"}});
  m.blocks_out = add.counter("herd_kv_moved_blocks_total", blocks, {{"direction", "out"}});
  m.bytes_in = add.counter("herd_kv_moved_bytes_total", bytes, {{"direction", "in"}});
  m.bytes_out = add.counter("herd_kv_moved_bytes_total", bytes, {{"direction", "out"}});
  m.moves_whole = add.counter("herd_kv_moves_total", moves, {{"outcome", "whole"}});
  m.moves_cut_short = add.counter("herd_kv_moves_total", moves, {{"outcome", "cut_short"}});
  m.blocks_recomputed =
      add.counter("herd_kv_recomputed_blocks_total", "KV blocks that were asked for, did not come, and were computed.");
  m.blocks_damaged = add.counter("herd_kv_damaged_blocks_total", "KV blocks that did not come as they were sent: not used.");
  m.leases_expired = add.counter("herd_kv_leases_expired_total", "Replicas that asked for KV blocks and were silent for too long.");
  m.moves_open = add.gauge("herd_kv_moves_open", "Moves of KV blocks under way, in and out.");
}

ReplicaMetrics gauges_and_counters(const Adder& add) {
  ReplicaMetrics m{};
  m.running = add.gauge("vllm:num_requests_running", "Sequences in the replica's batch.");
  m.waiting = add.gauge("vllm:num_requests_waiting",
                        "Requests waiting: at the replica, and an even share of those at the gateway. In a cluster the gateways and the "
                        "leaders say it, each of those that it has.");
  m.waiting_capacity = add.gauge(kWaitingByReason, kWaitingByReasonHelp, {{"reason", "capacity"}});
  m.waiting_deferred = add.gauge(kWaitingByReason, kWaitingByReasonHelp, {{"reason", "deferred"}});
  m.kv_usage = add.gauge("vllm:kv_cache_usage_perc", "Share of the KV blocks that sequences hold; 1 is all of them.");
  m.kv_free = add.gauge(kKvBlocks, kKvBlocksHelp, {{"state", "free"}});
  m.kv_idle = add.gauge(kKvBlocks, kKvBlocksHelp, {{"state", "idle"}});
  m.kv_held = add.gauge(kKvBlocks, kKvBlocksHelp, {{"state", "held"}});
  m.waiting_tokens = add.gauge("herd_replica_waiting_tokens", "Tokens of the prompts of those that wait at the replica.");
  m.capacity = add.gauge(
      "herd_replica_capacity_tokens_per_second",
      "Tokens a second that the replica would make with its batch full: a token for each place over the predicted time of such "
      "a step. Rather below the truth where reading weights is the bound; 0: not known.");
  m.saturation = add.gauge(
      "herd_replica_saturation",
      "Share of the places in the replica's batch that are taken, those that wait included, or of its KV blocks that are held, "
      "whichever is larger; at most 1, and 1 while it takes nothing.");
  m.prompt_tokens = add.counter(
      "vllm:prompt_tokens_total",
      "Prompt tokens processed: computed (again after a preemption or failover, too) or found in the prefix cache.");
  m.prompt_tokens_cached = add.counter("vllm:prompt_tokens_cached_total", "Prompt tokens found in the prefix cache.");
  m.generation_tokens = add.counter("vllm:generation_tokens_total", "Tokens generated.");
  m.preemptions = add.counter("vllm:num_preemptions_total", "Sequences whose KV blocks were taken away for others.");
  m.prefix_queries = add.counter("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache.");
  m.prefix_hits = add.counter("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache.");
  m.evicted_blocks = add.counter("herd_kv_evicted_blocks_total", "Cached KV blocks given up for new content.");
  m.saved_seconds = add.counter("herd_prefix_cache_saved_seconds_total",
                                "What the tokens found in the prefix cache would have taken to compute, as predicted.");
  m.discarded_tokens = add.counter("herd_scheduler_discarded_tokens_total",
                                   "Tokens computed past the end of a sequence and dropped (steps run ahead).");
  add_moves(add, m);
  return m;
}

SupervisionMetrics supervision_metrics(const Adder& add) {
  return {.restarts = add.counter("herd_rank_restarts_total", "Ranks that ended, were started again and serve."),
          .suspicions = add.counter("herd_rank_suspicions_total", "Times that a rank made no progress for too long."),
          .generations = add.counter("herd_replica_generations_total",
                                     "Times that the replica's ranks formed a group again that serves, after a loss."),
          .deadline_misses = add.counter("herd_step_deadline_misses_total",
                                         "Groups of ranks that were lost because a step was overdue: a rank hung, a step took too long, or "
                                         "ranks did not come together."),
          .given_up = add.gauge("herd_replica_given_up",
                                "1 when the replica was lost and will not come back; of a node: not there, until it is given it anew."),
          .budget_left = add.gauge("herd_restart_budget_left",
                                   "Losses that the replica may have now without being given up for the next one."),
          .pause = add.histogram("herd_replica_pause_seconds",
                                 "From a replica's loss to the moment that it serves again.", pause_buckets())};
}

}  // namespace

void MetricFamilies::add_histograms(const ServingMetricsConfig& config, std::uint32_t replica, ReplicaMetrics& m) {
  const Adder add{*registry_, {{"model_name", model_name_}, {"engine", std::to_string(config.first_engine + replica)}}};
  const Buckets counts = token_count_buckets(config.max_model_len);
  const Buckets times = request_time_buckets();
  m.first_token = add.histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token.",
                                first_token_buckets());
  m.token_gap =
      add.histogram("vllm:inter_token_latency_seconds", "Between two tokens of one choice.", token_gap_buckets());
  m.time_per_output_token =
      add.histogram("vllm:request_time_per_output_token_seconds",
                    "A request's mean time per token after the first, of its longest choice.", token_gap_buckets());
  m.e2e = add.histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end.", times);
  m.queue_time =
      add.histogram("vllm:request_queue_time_seconds", "From a request's arrival to its first computed token.", times);
  m.prefill_time = add.histogram("vllm:request_prefill_time_seconds",
                                 "From a request's first computed token to its first generated one.", times);
  m.decode_time =
      add.histogram("vllm:request_decode_time_seconds", "From a request's first generated token to its last.", times);
  m.inference_time = add.histogram("vllm:request_inference_time_seconds",
                                   "From a request's first computed token to its last generated one.", times);
  m.iteration_tokens =
      add.histogram("vllm:iteration_tokens_total", "Tokens computed in one step.", iteration_buckets());
  m.request_prompt_tokens = add.histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", counts);
  m.request_computed_tokens = add.histogram("vllm:request_prefill_kv_computed_tokens",
                                            "Prompt tokens of a request that the prefix cache did not have.", counts);
  m.request_generation_tokens =
      add.histogram("vllm:request_generation_tokens", "Generated tokens of a request, all choices together.", counts);
  m.request_longest_choice = add.histogram("vllm:request_max_num_generation_tokens",
                                           "Generated tokens of a request's longest choice.", counts);
  m.request_n = add.histogram("vllm:request_params_n", "The request parameter n.", choices_buckets());
  m.request_max_tokens = add.histogram("vllm:request_params_max_tokens", "The request parameter max_tokens.", counts);
  m.step_time = add.histogram("herd_scheduler_step_seconds",
                              "A step's share of the wall clock, up to the results of all ranks.", step_time_buckets());
  m.step_bytes =
      add.histogram("herd_step_bytes", "Bytes a step has to read: the weights once and the KV cache of its sequences.",
                    step_bytes_buckets());
  if (config.read_bytes_per_s <= 0) return;
  m.bandwidth_ratio = add.gauge("herd_step_bandwidth_ratio",
                                "Share of the read bandwidth measured at start that steps reach; recent mean.");
  m.bandwidth_ratio_histogram = add.histogram(
      "herd_step_bandwidth_share", "Share of the read bandwidth measured at start, of each step.", share_buckets());
}

void MetricFamilies::add_replica(const ServingMetricsConfig& config, std::uint32_t replica) {
  const Adder add{*registry_, {{"model_name", model_name_}, {"engine", std::to_string(config.first_engine + replica)}}};
  ReplicaMetrics metrics = gauges_and_counters(add);
  add_histograms(config, replica, metrics);
  metrics.supervision = supervision_metrics(add);
  replicas.push_back(metrics);
  add.gauge("vllm:cache_config_info", "Always 1; the labels say how the KV cache is configured.",
            {{"block_size", std::to_string(config.block_size)},
             {"num_gpu_blocks", std::to_string(config.num_blocks)},
             {"enable_prefix_caching", config.prefix_caching ? "True" : "False"}})
      ->Set(1);
}

// Families whose labels come with the event; the usual values exist from the start.
void MetricFamilies::add_labelled(std::uint32_t ranks, std::uint32_t first_engine) {
  const Adder add{*registry_, {{"model_name", model_name_}}};
  request_success = std::make_unique<LabelledMetrics<Counter>>(kCombinationsMax, [add](const auto& values) -> Counter& {
    return *add.counter("vllm:request_success_total", "Requests that ended, by reason.",
                        {{"engine", values[0]}, {"finished_reason", values[1]}});
  });
  for (std::uint32_t replica = 0; replica < replicas.size(); ++replica) {
    for (const char* reason : {"stop", "length", "abort", "error"}) {
      request_success->at({std::to_string(first_engine + replica), reason});
    }
  }
  rejections = std::make_unique<LabelledMetrics<Counter>>(kCombinationsMax, [add](const auto& values) -> Counter& {
    // Refused before any replica was chosen; vLLM's dashboards want the label all the same.
    return *add.counter("vllm:admission_rejections_total", "Requests refused at the door, by reason.",
                        {{"engine", "0"}, {"reason", text::replace_invalid_utf8(values[0])}});
  });
  for (const char* reason :
       {"queue_requests", "queue_tokens", "deadline", "request_rate", "token_rate", "in_flight", "no_replica"}) {
    rejections->at({reason});
  }
  token_mismatches = std::make_unique<LabelledMetrics<Counter>>(kCombinationsMax, [add](const auto& values) -> Counter& {
    return *add.counter("herd_token_mismatches_total", "Steps in which a rank sampled other tokens than most, by rank.",
                        {{"engine", values[0]}, {"rank", values[1]}});
  });
  for (std::uint32_t replica = 0; replica < replicas.size(); ++replica) {
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      token_mismatches->at({std::to_string(first_engine + replica), std::to_string(rank)});
  }
  const Adder add_http{*registry_, {}};
  http_requests =
      std::make_unique<LabelledMetrics<Counter>>(kCombinationsMax, [add_http](const auto& values) -> Counter& {
        return *add_http.counter("http_requests_total", "HTTP responses, by route, method and class of the status.",
                                 {{"handler", text::replace_invalid_utf8(values[0])}, {"method", values[1]}, {"status", values[2]}});
      });
  http_request_time =
      std::make_unique<LabelledMetrics<Histogram>>(kCombinationsMax, [add_http](const auto& values) -> Histogram& {
        return *add_http.histogram("http_request_duration_seconds",
                                   "From a request's first byte to the end of its response, by route and method.",
                                   http_time_buckets(), {{"handler", text::replace_invalid_utf8(values[0])}, {"method", values[1]}});
      });
}

MetricFamilies::MetricFamilies(const ServingMetricsConfig& config)
    : model_name_(text::replace_invalid_utf8(config.model_name)),
      part_(config.part),
      registry_(std::make_unique<prometheus::Registry>()) {
  for (std::uint32_t replica = 0; replica < std::max(config.replicas, 1U); ++replica) add_replica(config, replica);
  add_labelled(config.ranks, config.first_engine);
  const Adder add{*registry_, {{"model_name", model_name_}}};
  endpoint.connections_open = add.gauge("herd_connections_open", "Client connections open.");
  endpoint.replicas_serving = add.gauge("herd_replicas_serving", "Replicas that take requests.");
  endpoint.admission_rate =
      add.gauge("herd_admission_tokens_per_second", "Prompt and output tokens per second that admission has measured.");
  endpoint.gateway_waiting = add.gauge("herd_gateway_waiting_requests", "Requests with sequences that were not yet handed to a replica.");
  endpoint.gateway_waiting_tokens =
      add.gauge("herd_gateway_waiting_tokens",
                "Prompt tokens of what was not yet handed to a replica; of what lost its replica, what was generated too.");
  endpoint.first_token_predicted = add.gauge(
      "herd_gateway_predicted_first_token_seconds",
      "What the first token of a prompt of 512 tokens that nobody has cached would take from now on: what waits here at the measured rate, "
      "then the shortest of what replicas have to compute before it, by their predictions. NaN: no replica has said how fast it is.");
  endpoint.streams_cut = add.counter("herd_streams_cut_total", "Streams ended because their client read too slowly.");
  endpoint.streams_resumed = add.counter("herd_streams_resumed_total", "Streams taken up again by Last-Event-ID.");
  endpoint.replayed = add.counter("herd_requests_replayed_total", "Attempts after the first: their replica was lost.");
  endpoint.stale_deltas = add.counter("herd_stale_deltas_total", "Pieces of streams that came from attempts that were over: dropped.");
  endpoint.ejections = add.counter("herd_replica_ejections_total",
                                   "Times that a replica was left alone, as it was 8 times slower than another one.");
  endpoint.tokens_delivered = add.counter("herd_tokens_delivered_total", "Tokens handed to clients, each once.");
  endpoint.routed_tokens = add.counter("herd_routed_prompt_tokens_total", "Tokens of prompts that this gateway sent to replicas.");
  endpoint.routed_tokens_held = add.counter("herd_routed_cached_tokens_total",
                                            "Of these, what the replica was known to have in its prefix cache, or soon would.");
  endpoint.news_missed = add.counter("herd_prefix_news_missed_total",
                                     "Times that a replica was asked for all that its prefix cache holds, as news of it were missing.");
  endpoint.log_lines_dropped = add.counter("herd_log_lines_dropped_total", "Lines of the log that were lost as its reader was too slow.");
  const char* spans = "Spans of traces by outcome: exported (the collector took them), dropped (no room while it was slow or away, or the "
                      "process ended), failed (it refused them, or could not be reached).";
  endpoint.spans_exported = add.counter("herd_trace_spans_total", spans, {{"outcome", "exported"}});
  endpoint.spans_dropped = add.counter("herd_trace_spans_total", spans, {{"outcome", "dropped"}});
  endpoint.spans_failed = add.counter("herd_trace_spans_total", spans, {{"outcome", "failed"}});
  endpoint.directory_blocks = add.gauge("herd_prefix_directory_blocks", "Cached KV blocks of all replicas that this gateway knows of.");
  endpoint.directory_bytes = add.gauge("herd_prefix_directory_bytes", "Memory that knowing them takes.");
}

MetricFamilies::~MetricFamilies() = default;

std::vector<prometheus::MetricFamily> MetricFamilies::collect() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  std::erase_if(families, [this](const auto& family) { return !is_of(part_, family.name); });
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  std::sort(families.begin(), families.end(), by_name);
  const std::size_t count = families.size();
  for (const RetiredName& retired : kRetiredNames) {
    for (std::size_t i = 0; i < count; ++i) {
      if (families[i].name != retired.now) continue;
      prometheus::MetricFamily alias = families[i];
      alias.name = retired.name;
      alias.help = std::string("Retired name of ") + retired.now + ". " + alias.help;
      families.push_back(std::move(alias));
      break;
    }
  }
  std::sort(families.begin(), families.end(), by_name);
  return families;
}

}  // namespace herd::observability
