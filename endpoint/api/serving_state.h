#pragma once
// ServingState: what the health routes, /load, /metrics and the line for people say of the cluster. Reads the status that
// the gateway published last; asks nobody. Any thread.

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

#include "actors/client/cluster_client.h"
#include "endpoint/api/answers.h"
#include "endpoint/http/http_server.h"
#include "observability/event_log.h"
#include "observability/serving_metrics.h"
#include "observability/stats_line.h"
#include "observability/trace/span.h"
#include "runtime/clock.h"

namespace herd::api {

class ServingState {
 public:
  static constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

  // All outlive it; `server`, `log` and `spans` may be null. `stalled_s`: work, but no step finished for so long: not ready.
  ServingState(const actors::ClusterClient& client, const http::HttpServer* server, observability::ServingMetrics& metrics,
               double stalled_s, const observability::EventLog* log = nullptr, const trace::SpanSink* spans = nullptr);

  void set_stalled(double stalled_s) { stalled_s_ = stalled_s; }
  // New generation requests are refused from here on.
  void drain() { draining_ = true; }
  [[nodiscard]] bool draining() const { return draining_; }
  // 200 as long as a replica serves or will serve (again).
  [[nodiscard]] Health health() const;
  // nullopt: a replica serves, and every one that has work finished a step lately. Else why not.
  [[nodiscard]] std::optional<std::string> not_ready(Instant now) const;
  [[nodiscard]] observability::StatsSample sample() const;
  [[nodiscard]] std::string load_body() const;
  [[nodiscard]] std::string render_metrics();
  // The line for people, with rates since the last one.
  [[nodiscard]] std::string stats_line();
  [[nodiscard]] bool idle() const;  // nothing ran since the last stats_line()

 private:
  [[nodiscard]] observability::ServingMetrics::Snapshot snapshot() const;

  const actors::ClusterClient& client_;
  const http::HttpServer* const server_;
  observability::ServingMetrics& metrics_;
  const observability::EventLog* const log_;  // whose lines that were lost are counted
  const trace::SpanSink* const spans_;        // whose spans are
  std::atomic<double> stalled_s_;
  std::atomic<bool> draining_{false};
  mutable std::mutex mutex_;  // of last_line_
  observability::StatsSample last_line_;
};

}  // namespace herd::api
