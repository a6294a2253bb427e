#pragma once
// EndpointServer: `herd serve`, whatever computes: keys, doors, event ids, gateway. Starts the parts in order, then waits for what its
// guard says: SIGTERM or SIGINT drains, a second one stops, SIGHUP reads the key file or the cluster's file again, and the certificate
// that clients are shown; and when nothing can be served any more for good it ends, so that whoever started it may start it again.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "commands/serve_flags.h"
#include "commands/service_turns.h"
#include "commands/served_cluster.h"
#include "commands/server_doors.h"
#include "commands/stop_guard.h"
#include "endpoint/access/api_keys.h"
#include "endpoint/access/event_id.h"
#include "endpoint/api/metrics_handler.h"
#include "endpoint/otlp/span_exporter.h"
#include "endpoint/served/served_model.h"
#include "observability/event_log.h"

namespace herd::commands {

// Where settings come from while a server runs, if not from its key file alone. On its main thread.
struct SettingsSource {
  std::function<void()> on_signal;  // SIGHUP
  std::function<void()> on_woken;   // StopGuard::wake()
  std::function<void()> on_end;     // it drains from here on
};

class EndpointServer {
 public:
  // All outlive it.
  EndpointServer(const ServeFlags& flags, observability::EventLog& log, StopGuard& guard, ServedCluster& cluster)
      : flags_(flags), log_(log), guard_(guard), cluster_(cluster) {}

  // Before start().
  void set_source(SettingsSource source) { source_ = std::move(source); }
  // Of `flags` what a server takes while it runs (take_live), and these keys; null: those it has. From the source, at any time of it.
  void take(const ServeFlags& flags, std::shared_ptr<const access::ApiKeys> keys);

  Status start();
  // Until it is told to stop, or nothing is left that could serve.
  Status run();

 private:
  Status start_cluster(bool& reload);
  void on_event(StopGuard::Event event);
  void reload();
  void read_again();
  void end_if_told();
  void apply();
  Status start_traces();
  void end_traces();
  Status load_keys();
  void reload_keys();
  void reload_certificate();
  void log_refusals();
  served::ServedModel served_model();
  [[nodiscard]] api::IntakeSettings intake_settings() const;
  Status make_gateway();
  Status make_event_ids();
  void open_doors();
  Status drain();
  Status give_up(const std::string& why);
  void end(int exit_code);

  ServeFlags flags_;
  SettingsSource source_;
  observability::EventLog& log_;
  StopGuard& guard_;
  ServedCluster& cluster_;
  ServiceTurns turns_;
  std::shared_ptr<const access::ApiKeys> keys_;
  std::unique_ptr<access::EventIdCodec> event_ids_;
  std::unique_ptr<otlp::SpanExporter> spans_;  // null: nothing is traced
  trace::TraceSampler sampler_;
  std::string resume_digest_;
  std::unique_ptr<api::ApiGateway> gateway_;
  std::unique_ptr<api::MetricsHandler> metrics_handler_;
  std::unique_ptr<ServerDoors> doors_;  // its threads call the handlers
};

}  // namespace herd::commands
