#pragma once
// GatewayProcess: a gateway of a cluster whose coordinator and leaders are other processes: a ClusterClient over connections. No CAF
// here.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/client/cluster_client.h"
#include "actors/link/link_host.h"
#include "cluster/gateway/gateway_core.h"
#include "cluster/reload/reload_vote.h"
#include "cluster/report/process_report.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::processes {

struct GatewayProcessConfig {
  handshake::Hello hello;              // its incarnation is the gateway's id, whatever gateway.id says
  std::optional<link::TlsFiles> tls;
  std::string coordinator;             // its name; empty: any
  std::string coordinator_address;     // HOST:PORT
  gateway::GatewayConfig gateway;
  std::function<Instant()> clock;      // empty: the steady clock
  // A connection that did not come to open: a line that names peer and cause. A thread of its own; may be empty.
  std::function<void(const Status&)> on_trouble;
  // What the coordinator says of a reload; a thread of its own, which must not wait. May be empty.
  std::function<void(const reload::ReloadOrder&)> on_reload;
};

// Resource.
class GatewayProcess {
 public:
  // Dials; does not wait for anybody. The refusals of LinkHost::start, and kUsage of what is wrong in the config.
  static Expected<std::unique_ptr<GatewayProcess>> start(GatewayProcessConfig config);
  virtual ~GatewayProcess() = default;  // stop()

  // It lives as long as this; after stop() it refuses.
  [[nodiscard]] virtual actors::ClusterClient& client() = 0;
  // Waits for a status like that; false when `timeout` passed first.
  [[nodiscard]] virtual bool await_status(const std::function<bool(const actors::ClusterStatus&)>& wanted,
                                          std::chrono::milliseconds timeout) = 0;
  // What the coordinator is told of this process, now and on every later connection.
  virtual void report(const report::ProcessReport& report) = 0;
  [[nodiscard]] virtual bool hears_coordinator() const = 0;
  // To the coordinator, if there is a connection with it. Any thread.
  virtual void say(const report::ReloadPrepared& prepared) = 0;
  // The settings are others now: connections from now on say so, and TLS files are read again. An error: of these; the old ones stay.
  virtual Status on_reloaded(const std::string& config_digest) = 0;

  [[nodiscard]] virtual link::LinkHostStats link_stats() const = 0;
  [[nodiscard]] virtual std::uint64_t stale_frames() const = 0;  // of generations that are gone: dropped
  [[nodiscard]] virtual std::int64_t certificate_expires() const = 0;  // Unix seconds; 0: it has none
  // Ends every open request, then the connections. Repeatable.
  virtual void stop() = 0;
};

}  // namespace herd::processes
