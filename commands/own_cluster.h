#pragma once
// OwnCluster: an engine of this process behind the doors of `herd serve`.

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "actors/engine.h"
#include "commands/serve.h"
#include "commands/serve_flags.h"
#include "commands/served_cluster.h"
#include "commands/stop_guard.h"
#include "commands/supervision.h"
#include "observability/event_log.h"

namespace herd::commands {

class OwnCluster final : public ServedCluster {
 public:
  // All outlive it.
  OwnCluster(const ServeFlags& flags, const EngineHooks& hooks, observability::EventLog& log, StopGuard& guard)
      : flags_(flags),
        hooks_(hooks),
        log_(log),
        supervision_(log, &events(), static_cast<std::uint32_t>(flags.model.data_parallel), [&guard] { guard.wake(); }) {}

  Status start(const std::string& /*api_url*/) override { return start_engine(); }
  const std::vector<std::string>& names() const override { return names_; }
  const served::ServedText& text() const override { return text_; }
  std::int64_t max_model_len() const override { return engine_->facts().max_model_len; }
  actors::ClusterClient& client() override { return engine_->cluster().client(); }
  observability::ServingMetrics& metrics() override { return *metrics_; }
  const access::ServedNumerics& numerics() const override { return numerics_; }
  void on_open(api::ApiGateway& gateway) override;
  std::optional<std::string> none_left() const override { return supervision_.none_left(); }
  bool shutdown(std::chrono::milliseconds patience) override { return engine_->cluster().shutdown(patience); }

 private:
  Status start_engine();
  void make_metrics(const actors::EngineFacts& facts, double read_bytes_per_s);
  void name_numerics(const std::stop_token& stop);

  const ServeFlags& flags_;
  const EngineHooks& hooks_;
  observability::EventLog& log_;
  Supervision supervision_;
  scheduler::SchedulerConfig scheduler_;
  membership::RestartBudget restart_budget_;
  std::uint32_t replicas_ = 1;
  std::vector<std::string> names_;
  std::unique_ptr<observability::ServingMetrics> metrics_;  // steps are told to it
  served::ServedText text_;
  access::ServedNumerics numerics_;
  std::unique_ptr<actors::Engine> engine_;
  std::jthread naming_;  // last: it ends before what it reads
};

}  // namespace herd::commands
