#include "actors/standalone_actors.h"

#include <algorithm>
#include <string>
#include <utility>

#include "actors/roles/coordinator_actor.h"
#include "actors/roles/gateway_actor.h"
#include "actors/roles/replica_actor.h"
#include "actors/roles/shard_actor.h"
#include "runtime/steady_clock.h"

namespace herd::actors {
namespace {

constexpr std::size_t kActorThreads = 2;  // coordinator and replicas; gateways and ranks have their own

// Nothing outlives this process, so no epoch of another coordinator is to be passed.
constexpr Epoch kClusterEpoch{1};

bool one_is_lost(const ClusterStatus& status) {
  return std::ranges::any_of(status.view.replicas, [](const routing::ReplicaView& replica) {
    return replica.state == routing::ReplicaState::kLost;
  });
}

}  // namespace

StandaloneActors::StandaloneActors(StandaloneConfig config)
    : config_(std::move(config)), system_config_(kActorThreads), system_(std::in_place, system_config_) {
  if (!config_.clock) config_.clock = steady_now;
}

Status StandaloneActors::start() {
  membership::CoordinatorCore core(kClusterEpoch);
  membership::CoordinatorEffects nobody_to_tell;
  const std::uint32_t sequences_max = config_.scheduler.max_num_seqs + config_.scheduler.queue_requests_max;
  for (std::uint32_t i = 0; i < config_.replicas; ++i) {
    // A replica that is lost does not come back: the process is the unit of restart.
    (void)core.place(ReplicaId(i), "replica/" + std::to_string(i), config_.numerics, sequences_max, false,
                     nobody_to_tell);
  }
  const routing::ClusterView placed = core.view();
  coordinator_ = system_->spawn(coordinator_actor, std::move(core));
  for (const routing::ReplicaView& view : placed.replicas) spawn_replica(view);
  client_ = join_gateway(config_.gateway);
  return await_serving();
}

void StandaloneActors::spawn_replica(const routing::ReplicaView& view) {
  const ReplicaId replica = view.route.generation.replica;
  std::vector<ShardHandle>& ranks = ranks_.emplace_back();
  for (std::uint32_t rank = 0; rank < config_.ranks; ++rank)
    ranks.push_back(system_->spawn<caf::detached>(shard_actor, replica, rank, config_.make_rank));
  ReplicaConfig config;
  config.core = {.generation = view.route.generation,
                 .scheduler = config_.scheduler,
                 .ranks = config_.ranks,
                 .step_seconds_max = std::chrono::duration<double>(config_.step_timeout).count()};
  config.view = view;
  if (config_.abort_replica)
    config.abort_group = [abort = config_.abort_replica, replica](const Status& why) { abort(replica, why); };
  config.on_step = config_.on_step;
  config.clock = config_.clock;
  config.scheduler_probe = config_.scheduler_probe;
  replicas_.push_back(system_->spawn(replica_actor, std::move(config), ranks, coordinator_));
  addresses_->enter(view.route.address, replicas_.back());
}

std::unique_ptr<GatewayClient> StandaloneActors::join_gateway(const gateway::GatewayConfig& config) {
  auto shared = std::make_shared<SharedGateway>(config, config_.clock);
  const std::shared_ptr<const AddressBook> addresses = addresses_;
  GatewayHandle gateway = config_.gateway_has_own_thread
                              ? system_->spawn<caf::detached>(gateway_actor, shared, addresses, coordinator_)
                              : system_->spawn(gateway_actor, shared, addresses, coordinator_);
  return std::make_unique<GatewayClient>(std::move(shared), std::move(gateway));
}

Status StandaloneActors::await_serving() {
  Status first;
  {
    caf::scoped_actor waiting(*system_);
    for (const ReplicaHandle& replica : replicas_) {
      waiting->request(replica, config_.start_timeout, AwaitServing{})
          .receive(
              [&](const Status& status) {
                if (first.ok()) first = status;
              },
              [&](const caf::error& error) {
                if (first.ok()) first = {StatusCode::kAborted, "a replica did not start: " + system_->render(error)};
              });
      if (!first.ok()) break;
    }
  }
  forget_actor_system();
  if (!first.ok()) return first;
  const auto all_serve = [this](const ClusterStatus& status) { return status.serving_replicas() == config_.replicas; };
  const auto decided = [&](const ClusterStatus& status) { return all_serve(status) || one_is_lost(status); };
  if (!client_->await_status(decided, config_.start_timeout) || !all_serve(*client_->status()))
    return {StatusCode::kAborted, "a replica was lost while the others started"};
  // Without keys everybody is one tenant; its share is the whole machine, bounded by the queue.
  admission::TenantLimits everybody;
  everybody.in_flight_max = 0;
  client_->set_tenant(admission::TenantId{}, everybody);
  return {};
}

void StandaloneActors::shutdown() {
  if (!system_) return;
  if (client_) client_->stop();
  for (const ReplicaHandle& replica : replicas_) caf::anon_send(replica, StopReplica{});
  if (coordinator_) caf::anon_send_exit(coordinator_, caf::exit_reason::user_shutdown);
  addresses_->clear();
  coordinator_ = nullptr;
  replicas_.clear();
  ranks_.clear();
  system_.reset();  // waits for every actor
}

}  // namespace herd::actors
