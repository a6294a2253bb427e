#include "actors/processes/gateway_process.h"

#include <utility>

#include "actors/remote/leader_links.h"
#include "actors/remote/view_link.h"
#include "actors/roles/gateway_actor.h"
#include "actors/roles/gateway_client.h"
#include "cluster/config/cluster_spec.h"
#include "runtime/steady_clock.h"

namespace herd::processes {
namespace {

using actors::GatewayClient;
using actors::GatewayHandle;
using actors::SharedGateway;

constexpr std::size_t kActorThreads = 1;  // proxies; the gateway has a thread of its own

class Process final : public GatewayProcess {
 public:
  Process(GatewayProcessConfig config, std::unique_ptr<link::LinkHost> host, std::uint16_t coordinator_port)
      : host_(std::move(host)), shared_(std::make_shared<SharedGateway>(config.gateway, config.clock)) {
    const auto join = [shared = shared_] {
      return shared->look([&](const gateway::GatewayCore& core) {
        return routing::GatewayJoin{shared->id(), core.view().cluster_epoch, core.view().number};
      });
    };
    leaders_ = std::make_shared<actors::LeaderLinks>(system_, *host_, join);
    const std::shared_ptr<actors::ReplicaDirectory> replicas = leaders_;
    GatewayHandle gateway =
        system_.spawn<caf::detached>(actors::gateway_actor, shared_, replicas, actors::CoordinatorHandle());
    client_ = std::make_unique<GatewayClient>(shared_, gateway);
    // Without keys everybody is one tenant; its share is the whole cluster, bounded by the queue.
    admission::TenantLimits everybody;
    everybody.in_flight_max = 0;
    client_->set_tenant(admission::TenantId{}, everybody);
    views_ = std::make_unique<actors::ViewLink>(*host_, config::host_of(config.coordinator_address), coordinator_port,
                                                config.coordinator, std::move(gateway), shared_, join, config.on_reload);
  }
  ~Process() override { stop(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  actors::ClusterClient& client() override { return *client_; }
  bool await_status(const std::function<bool(const actors::ClusterStatus&)>& wanted, std::chrono::milliseconds timeout) override {
    return client_->await_status(wanted, timeout);
  }
  void report(const report::ProcessReport& report) override { views_->report({report}); }
  [[nodiscard]] bool hears_coordinator() const override { return views_->is_open(); }
  void say(const report::ReloadPrepared& prepared) override { views_->say(prepared); }
  Status on_reloaded(const std::string& config_digest) override {
    host_->set_config_digest(config_digest);
    return host_->reload();
  }
  [[nodiscard]] link::LinkHostStats link_stats() const override { return host_->stats(); }
  [[nodiscard]] std::uint64_t stale_frames() const override { return leaders_->stale_frames(); }
  [[nodiscard]] std::int64_t certificate_expires() const override { return host_->certificate_expires_unix_seconds(); }
  void stop() override {
    client_->stop();
    host_->stop();
  }

 private:
  actors::ActorSystemConfig system_config_{kActorThreads};
  caf::actor_system system_{system_config_};  // its end waits for every actor
  const std::unique_ptr<link::LinkHost> host_;
  const std::shared_ptr<SharedGateway> shared_;
  std::shared_ptr<actors::LeaderLinks> leaders_;  // used by the gateway's actor
  std::unique_ptr<GatewayClient> client_;
  std::unique_ptr<actors::ViewLink> views_;
};

}  // namespace

Expected<std::unique_ptr<GatewayProcess>> GatewayProcess::start(GatewayProcessConfig config) {
  config.gateway.id = GatewayId(config.hello.incarnation);
  if (Status status = config.gateway.validate(); !status.ok()) return fail(std::move(status));
  const std::uint16_t port = config::port_of(config.coordinator_address);
  if (port == 0) return fail(usage_error("the coordinator's address is to be HOST:PORT, not '" + config.coordinator_address + "'"));
  if (!config.clock) config.clock = steady_now;
  link::LinkHostConfig links;
  // A leader that died is back within a tenth of a second, and streams wait for it.
  links.retry_max_s = 0.25;
  links.mine = config.hello;
  links.tls = config.tls;
  links.seed = config.hello.incarnation;
  links.on_trouble = config.on_trouble;
  auto host = link::LinkHost::start(std::move(links));
  if (!host) return fail(host.error());
  return std::make_unique<Process>(std::move(config), std::move(*host), port);
}

}  // namespace herd::processes
