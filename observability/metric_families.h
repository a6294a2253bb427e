#pragma once
// MetricFamilies: the one list of metric names, labels, buckets and help texts. Every combination of labels that is
// known at the start exists from the start, so that rates work from the first scrape and counting is a pointer away.
// What an event means is serving_metrics.cc's.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "observability/labelled_metrics.h"
#include "observability/serving_metrics.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
struct MetricFamily;
}  // namespace prometheus

namespace herd::observability {

// What became of a replica's ranks.
struct SupervisionMetrics {
  prometheus::Counter* restarts;
  prometheus::Counter* suspicions;
  prometheus::Counter* generations;
  prometheus::Counter* deadline_misses;
  prometheus::Gauge* given_up;
  prometheus::Gauge* budget_left;
  prometheus::Histogram* pause;
};

// Of one replica; owned by the registry, never null but where it is said.
struct ReplicaMetrics {
  prometheus::Gauge* running;
  prometheus::Gauge* waiting;
  prometheus::Gauge* waiting_capacity;
  prometheus::Gauge* waiting_deferred;
  prometheus::Gauge* kv_usage;
  prometheus::Gauge* kv_free;
  prometheus::Gauge* kv_idle;
  prometheus::Gauge* kv_held;
  prometheus::Gauge* waiting_tokens;
  prometheus::Gauge* capacity;
  prometheus::Gauge* saturation;
  prometheus::Counter* prompt_tokens;
  prometheus::Counter* prompt_tokens_cached;
  prometheus::Counter* generation_tokens;
  prometheus::Counter* preemptions;
  prometheus::Counter* prefix_queries;
  prometheus::Counter* prefix_hits;
  prometheus::Counter* evicted_blocks;
  prometheus::Counter* saved_seconds;
  prometheus::Counter* blocks_in;
  prometheus::Counter* blocks_out;
  prometheus::Counter* bytes_in;
  prometheus::Counter* bytes_out;
  prometheus::Counter* blocks_recomputed;
  prometheus::Counter* blocks_damaged;
  prometheus::Counter* moves_whole;
  prometheus::Counter* moves_cut_short;
  prometheus::Counter* leases_expired;
  prometheus::Gauge* moves_open;
  prometheus::Counter* discarded_tokens;
  prometheus::Histogram* first_token;
  prometheus::Histogram* token_gap;
  prometheus::Histogram* time_per_output_token;
  prometheus::Histogram* e2e;
  prometheus::Histogram* queue_time;
  prometheus::Histogram* prefill_time;
  prometheus::Histogram* decode_time;
  prometheus::Histogram* inference_time;
  prometheus::Histogram* iteration_tokens;
  prometheus::Histogram* request_prompt_tokens;
  prometheus::Histogram* request_computed_tokens;
  prometheus::Histogram* request_generation_tokens;
  prometheus::Histogram* request_longest_choice;
  prometheus::Histogram* request_n;
  prometheus::Histogram* request_max_tokens;
  prometheus::Histogram* step_time;
  prometheus::Histogram* step_bytes;
  prometheus::Gauge* bandwidth_ratio;                // null when the bandwidth was not measured
  prometheus::Histogram* bandwidth_ratio_histogram;  // the same
  SupervisionMetrics supervision;
};

struct EndpointMetrics {
  prometheus::Gauge* connections_open;
  prometheus::Gauge* replicas_serving;
  prometheus::Gauge* admission_rate;
  prometheus::Gauge* gateway_waiting;
  prometheus::Gauge* gateway_waiting_tokens;
  prometheus::Gauge* first_token_predicted;
  prometheus::Counter* streams_cut;
  prometheus::Counter* streams_resumed;
  prometheus::Counter* replayed;
  prometheus::Counter* stale_deltas;
  prometheus::Counter* ejections;
  prometheus::Counter* tokens_delivered;
  prometheus::Counter* routed_tokens;
  prometheus::Counter* routed_tokens_held;
  prometheus::Counter* news_missed;
  prometheus::Counter* log_lines_dropped;
  prometheus::Counter* spans_exported;
  prometheus::Counter* spans_dropped;
  prometheus::Counter* spans_failed;
  prometheus::Gauge* directory_blocks;
  prometheus::Gauge* directory_bytes;
};

class MetricFamilies {
 public:
  explicit MetricFamilies(const ServingMetricsConfig& config);
  ~MetricFamilies();

  std::vector<ReplicaMetrics> replicas;  // at least one
  EndpointMetrics endpoint;
  std::unique_ptr<LabelledMetrics<prometheus::Counter>> request_success;      // engine, finished_reason
  std::unique_ptr<LabelledMetrics<prometheus::Counter>> rejections;           // reason
  std::unique_ptr<LabelledMetrics<prometheus::Counter>> token_mismatches;     // engine, rank
  std::unique_ptr<LabelledMetrics<prometheus::Counter>> http_requests;        // handler, method, status ("2xx")
  std::unique_ptr<LabelledMetrics<prometheus::Histogram>> http_request_time;  // handler, method

  // The families of the process's part in the order of their names, those under vLLM's former names, for the dashboards
  // made then, included.
  [[nodiscard]] std::vector<prometheus::MetricFamily> collect() const;

 private:
  void add_replica(const ServingMetricsConfig& config, std::uint32_t replica);
  void add_histograms(const ServingMetricsConfig& config, std::uint32_t replica, ReplicaMetrics& metrics);
  void add_labelled(std::uint32_t ranks, std::uint32_t first_engine);

  std::string model_name_;  // valid UTF-8: one bad byte in a label makes Prometheus drop the whole scrape
  MetricPart part_;
  std::unique_ptr<prometheus::Registry> registry_;
};

}  // namespace herd::observability
