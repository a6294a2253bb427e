#include "actors/standalone_actors.h"

#include <algorithm>
#include <string>
#include <utility>

#include "actors/roles/coordinator_actor.h"
#include "actors/roles/gateway_actor.h"
#include "actors/roles/supervisor_actor.h"
#include "actors/roles/thread_ground.h"
#include "runtime/steady_clock.h"

namespace herd::actors {
namespace {

constexpr std::chrono::milliseconds kPatienceWithHung{1'000};
constexpr std::size_t kActorThreads = 2;  // coordinator, supervisors, replicas, gateways without a thread of their own

// Nothing outlives this process, so no epoch of another coordinator is to be passed.
constexpr Epoch kClusterEpoch{1};

bool one_is_given_up(const ClusterStatus& status) {
  return std::ranges::any_of(status.view.replicas, [](const routing::ReplicaView& replica) {
    return replica.state == routing::ReplicaState::kLost && !replica.returns;
  });
}

}  // namespace

StandaloneActors::StandaloneActors(StandaloneConfig config)
    : config_(std::move(config)), system_(std::make_unique<System>(kActorThreads)) {
  if (!config_.clock) config_.clock = steady_now;
}

Status StandaloneActors::start() {
  coordinator_ = system_->actors.spawn(coordinator_actor, membership::CoordinatorCore(kClusterEpoch));
  for (std::uint32_t i = 0; i < config_.replicas; ++i) spawn_supervisor(ReplicaId(i));
  client_ = join_gateway(config_.gateway);
  return await_serving();
}

void StandaloneActors::spawn_supervisor(ReplicaId replica) {
  ThreadGroundConfig ground;
  ground.replica = replica;
  ground.core.scheduler = config_.scheduler;
  ground.core.ranks = config_.ranks;
  ground.core.step_seconds_max = std::chrono::duration<double>(config_.step_timeout).count();
  ground.core.watch = config_.watch;
  ground.core.moves = config_.moves;
  ground.moves = moves_;
  ground.numerics = config_.numerics;
  ground.make_cost = config_.make_cost;
  ground.ranks = config_.ground;
  ground.addresses = addresses_;
  ground.live = live_ranks_;
  ground.on_step = config_.on_step;
  ground.clock = config_.clock;
  ground.scheduler_probe = config_.scheduler_probe;
  SupervisorConfig config;
  config.core = {.replica = replica, .ranks = config_.ranks, .ranks_can_be_ended = false,
                 .budget = config_.restart_budget, .watch = config_.watch};
  config.ground = ground_of_threads(system_->actors, std::move(ground));
  config.on_note = config_.on_note;
  config.clock = config_.clock;
  supervisors_.push_back(system_->actors.spawn(supervisor_actor, std::move(config), coordinator_));
}

RankHandle StandaloneActors::rank(ReplicaId replica, std::uint32_t rank) {
  RankHandle found;
  {
    caf::scoped_actor asking(system_->actors);
    asking->request(supervisors_.at(replica.value), caf::infinite, FindRank{rank})
        .receive([&](const RankHandle& handle) { found = handle; }, [](const caf::error&) {});
  }
  forget_actor_system();
  return found;
}

std::unique_ptr<GatewayClient> StandaloneActors::join_gateway(const gateway::GatewayConfig& config) {
  auto shared = std::make_shared<SharedGateway>(config, config_.clock);
  const std::shared_ptr<ReplicaDirectory> replicas = addresses_;
  GatewayHandle gateway = config_.gateway_has_own_thread
                              ? system_->actors.spawn<caf::detached>(gateway_actor, shared, replicas, coordinator_)
                              : system_->actors.spawn(gateway_actor, shared, replicas, coordinator_);
  return std::make_unique<GatewayClient>(std::move(shared), std::move(gateway));
}

Status StandaloneActors::await_serving() {
  Status first;
  {
    caf::scoped_actor waiting(system_->actors);
    for (const SupervisorHandle& supervisor : supervisors_) {
      waiting->request(supervisor, config_.start_timeout, AwaitServing{})
          .receive(
              [&](const Status& status) {
                if (first.ok()) first = status;
              },
              [&](const caf::error& error) {
                if (first.ok()) first = {StatusCode::kAborted, "a replica did not start: " + system_->actors.render(error)};
              });
      if (!first.ok()) break;
    }
  }
  forget_actor_system();
  if (!first.ok()) return first;
  const auto all_serve = [this](const ClusterStatus& status) { return status.serving_replicas() == config_.replicas; };
  const auto decided = [&](const ClusterStatus& status) { return all_serve(status) || one_is_given_up(status); };
  if (!client_->await_status(decided, config_.start_timeout) || !all_serve(*client_->status()))
    return {StatusCode::kAborted, "a replica was lost while the others started"};
  // Without keys everybody is one tenant; its share is the whole machine, bounded by the queue.
  admission::TenantLimits everybody;
  everybody.in_flight_max = 0;
  client_->set_tenant(admission::TenantId{}, everybody);
  return {};
}

bool StandaloneActors::shutdown(std::chrono::milliseconds patience) {
  if (!system_) return !hangs_;
  if (client_) client_->stop();
  // Of a replica that was given up a thread may hang for good.
  if (client_ && one_is_given_up(*client_->status())) patience = std::min(patience, kPatienceWithHung);
  for (const SupervisorHandle& supervisor : supervisors_) caf::anon_send(supervisor, StopReplica{});
  hangs_ = !live_ranks_->await_none(patience);
  if (coordinator_) caf::anon_send_exit(coordinator_, caf::exit_reason::user_shutdown);
  addresses_->clear();
  coordinator_ = nullptr;
  supervisors_.clear();
  if (hangs_) {
    (void)system_.release();  // its destructor would wait for the thread that hangs
  } else {
    system_.reset();  // waits for every actor
  }
  return !hangs_;
}

}  // namespace herd::actors
