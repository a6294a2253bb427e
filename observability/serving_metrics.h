#pragma once
// ServingMetrics: every metric of an endpoint, once, under the names dashboards already query (vLLM's `vllm:*` with
// labels model_name and engine; what only herd has is herd_*). prometheus-cpp stays in the .cc. Any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/membership/group_supervisor.h"
#include "cluster/membership/restart_budget.h"
#include "cluster/replica/move_stats.h"
#include "cluster/routing/routing_stats.h"
#include "observability/trace/span.h"
#include "runtime/clock.h"
#include "runtime/kv/block_manager.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/step_plan.h"

namespace herd::observability {

// Whose metrics a process exports: of a cluster of processes each family is one role's, so that sums over processes are right.
enum class MetricPart : std::uint8_t {
  kAll,      // one process is everything
  kGateway,  // requests, HTTP, admission
  kLeader,   // one replica's sequences, KV blocks and steps
  kNode,     // what became of ranks
};

struct ServingMetricsConfig {
  std::string model_name;
  MetricPart part = MetricPart::kAll;
  std::uint32_t replicas = 1;      // label engine: "0", "1", …
  std::uint32_t first_engine = 0;  // of the first of these; calls count from 0 all the same
  std::uint32_t ranks = 1;         // of each; label rank
  std::int64_t max_model_len = 0;  // last bucket of the token-count histograms
  std::uint32_t block_size = 0;    // vllm:cache_config_info
  std::uint64_t num_blocks = 0;
  bool prefix_caching = true;
  std::uint32_t places = 0;        // sequences that a replica runs at one time
  membership::RestartBudget restart_budget{};
  std::uint64_t weight_bytes_per_step = 0;  // read by one step, all ranks of a replica
  std::uint64_t kv_bytes_per_token = 0;
  double read_bytes_per_s = 0;  // measured at start; 0: not measured, the share is not exported
};

// How one request went; observed when it ended.
struct RequestRecord {
  std::string finished_reason;  // "stop", "length", "abort", "error"
  std::uint32_t engine = 0;     // replica that ran it
  std::uint32_t n = 1;
  std::uint32_t max_tokens = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t generation_tokens = 0;  // of all choices
  std::uint32_t cached_tokens = 0;
  std::uint32_t longest_choice_tokens = 0;
  double queue_s = -1;    // arrival -> first computed; negative: never got there
  double prefill_s = -1;  // first computed -> first token
  double decode_s = -1;   // first token -> last token
  double e2e_s = 0;       // arrival -> end
  bool resumed = false;
};

class ServingMetrics {
 public:
  explicit ServingMetrics(const ServingMetricsConfig& config);
  ~ServingMetrics();

  void on_first_token(double ttft_s, std::uint32_t engine = 0);  // arrival -> first token of a request
  void on_token_gap(double itl_s, std::uint32_t engine = 0);     // between two tokens of one choice
  void on_request_end(const RequestRecord& record);
  void on_refused(const char* reason);  // names of refusal_name(), or another fixed word
  // How many so far, by reason.
  [[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> refused() const;
  // A step of a replica is done. step_s: its share of the wall clock (OnStep in actors/messages/observers.h), so that steps
  // in flight together are not counted twice. One without rows is not counted.
  void on_step(std::uint32_t replica, const step::StepStats& stats, double step_s);
  // What became of the replica's ranks. Any thread.
  void on_note(std::uint32_t replica, const membership::Note& note);
  void set_restart_budget(const membership::RestartBudget& budget);
  // Before each scrape: what changes by time alone.
  void on_time(Instant now);
  // route: the pattern, never the target. method: as the client sent it; empty: no label.
  void on_http_response(const char* route, int status, double seconds, std::string_view method = {});

  // Gauges and counters that others keep: handed in before each scrape.
  struct Snapshot {
    struct Replica {
      bool serving = false;
      scheduler::SchedulerStats scheduler;
      double saved_s = 0;  // by its prefix cache
      replica::MoveStats moves;
      double decode_step_s = 0;  // predicted, as the next; 0: not known
      double prompt_token_s = 0;
    };
    std::vector<Replica> replicas;
    std::uint64_t gateway_waiting = 0;  // requests not yet with a replica
    std::uint64_t gateway_waiting_tokens = 0;
    std::uint64_t connections_open = 0;
    std::uint64_t streams_cut = 0;
    std::uint64_t replayed = 0;  // attempts after the first
    std::uint64_t stale_deltas = 0;  // of attempts that were over: dropped
    std::uint64_t ejections = 0;     // times that a replica was found far slower than another
    std::uint64_t tokens_delivered = 0;
    routing::RoutingStats routing;
    std::uint64_t directory_blocks = 0;
    std::uint64_t directory_bytes = 0;
    trace::SpanCounts spans;
    double capacity_tokens_per_s = 0;  // the admission's measured rate
    std::optional<double> first_token_s;  // predicted of a request that came now; nullopt: not known
    std::uint64_t log_lines_dropped = 0;
  };
  // Calls in the order in which the snapshots were taken: a counter that falls counts as started again.
  void set(const Snapshot& snapshot);
  // The same with that order kept for callers on several threads: `take` is called under a lock, by one at a time.
  void set_from(const std::function<Snapshot()>& take);

  [[nodiscard]] std::string render() const;  // Prometheus text format 0.0.4

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::observability
