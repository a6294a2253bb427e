#pragma once
// PageStatus: what /ui/status.json answers, and the thread that looks at the cluster once a second for it. Only a server with --ui has
// one. Any thread.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "actors/client/cluster_client.h"
#include "endpoint/api/serving_state.h"
#include "endpoint/http/http_server.h"
#include "endpoint/pages/status_board.h"
#include "observability/recent_events.h"
#include "observability/serving_metrics.h"

namespace herd::api {

// What a server that shows pages says of itself. The functions are called from any thread and must not wait; all may be empty.
struct PageConfig {
  pages::ServerWords words;  // the gateway adds what it knows itself
  std::function<std::vector<pages::NodePlace>()> nodes;  // of the cluster's file
  std::function<bool()> hears_coordinator;
  observability::RecentEvents* events = nullptr;  // not null; outlives the gateway
};

class PageStatus {
 public:
  // All outlive it; `server` may be null. `unix_time`: the wall clock, in seconds.
  PageStatus(PageConfig config, const ServingState& state, const actors::ClusterClient& client, const http::HttpServer* server,
             const observability::ServingMetrics& metrics, std::function<std::int64_t()> unix_time);
  ~PageStatus() { stop(); }

  [[nodiscard]] std::string json() const { return board_.json(look(), unix_time_()); }
  // It looks no more. Repeatable.
  void stop();

 private:
  [[nodiscard]] pages::StatusLook look() const;
  void watch(const std::stop_token& stop);

  const PageConfig config_;
  const ServingState& state_;
  const actors::ClusterClient& client_;
  const http::HttpServer* const server_;
  const observability::ServingMetrics& metrics_;
  const std::function<std::int64_t()> unix_time_;
  pages::StatusBoard board_;
  std::mutex mutex_;  // of the wait between two looks
  std::condition_variable_any woken_;
  std::jthread thread_;  // last: it reads the above
};

}  // namespace herd::api
