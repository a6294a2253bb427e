#include "endpoint/api/page_status.h"

#include <chrono>
#include <utility>

#include "runtime/steady_clock.h"

namespace herd::api {

PageStatus::PageStatus(PageConfig config, const ServingState& state, const actors::ClusterClient& client,
                       const http::HttpServer* server, const observability::ServingMetrics& metrics,
                       std::function<std::int64_t()> unix_time)
    : config_(std::move(config)),
      state_(state),
      client_(client),
      server_(server),
      metrics_(metrics),
      unix_time_(std::move(unix_time)),
      board_(config_.words, *config_.events),
      thread_([this](const std::stop_token& stop) { watch(stop); }) {}

void PageStatus::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void PageStatus::watch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    board_.look(look());
    woken_.wait_for(lock, stop, std::chrono::duration<double>(pages::StatusHistory::kBetween_s), [] { return false; });
  }
}

pages::StatusLook PageStatus::look() const {
  pages::StatusLook look;
  look.status = client_.status();
  look.sample = state_.sample();
  look.refused = metrics_.refused();
  Health health = state_.health();
  const auto not_ready = state_.not_ready(steady_now());
  look.health = health.word;
  look.reason = health.reason.empty() && not_ready ? *not_ready : std::move(health.reason);
  look.ready = !not_ready;
  if (config_.hears_coordinator) look.hears_coordinator = config_.hears_coordinator();
  if (server_ != nullptr) look.connections = server_->stats().connections_open;
  if (config_.nodes) look.nodes = config_.nodes();
  return look;
}

}  // namespace herd::api
