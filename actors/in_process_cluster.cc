#include "actors/in_process_cluster.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <optional>
#include <string>
#include <utility>

#include "actors/messages/caf_compat.h"
#include "actors/roles/coordinator_actor.h"
#include "actors/roles/gateway_actor.h"
#include "actors/roles/replica_actor.h"
#include "actors/messages/type_ids.h"

namespace herd::actors {
namespace {

constexpr std::size_t kActorThreads = 2;  // gateway, coordinator, replicas; ranks have their own
constexpr std::chrono::seconds kStatsTimeout{5};
constexpr std::uint32_t kReplicasMax = 64;
constexpr std::uint32_t kRanksMax = 64;

Instant steady_now() {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
              .count()};
}

Status check(const InProcessClusterConfig& config) {
  if (config.replicas < 1 || config.replicas > kReplicasMax) return usage_error("replicas must be in [1, 64]");
  if (config.ranks < 1 || config.ranks > kRanksMax) return usage_error("ranks of a replica must be in [1, 64]");
  if (config.step_timeout < std::chrono::milliseconds(1)) return usage_error("step_timeout must be at least 1 ms");
  if (Status status = config.ledger.validate(); !status.ok()) return status;
  return config.scheduler.validate();
}

void refuse(const step::Submission& submission, DeltaSink& sink, StatusCode code, std::string why) {
  step::TokenDelta refused;
  refused.sequence = submission.sequence;
  refused.finish = step::FinishReason::kRefused;
  refused.error = {code, std::move(why)};
  sink.push(refused);
}

}  // namespace

struct InProcessCluster::Impl {
  explicit Impl(InProcessClusterConfig given)
      : config(std::move(given)), actor_config(kActorThreads), system(std::in_place, actor_config) {}

  void spawn_all() {
    coordinator = system->spawn(coordinator_actor, routing::Router());
    gateway = system->spawn(gateway_actor,
                            GatewayConfig{.ledger = config.ledger,
                                          .wire_roundtrip = config.wire_roundtrip,
                                          .submissions_waiting = submissions_waiting},
                            coordinator);
    for (std::uint32_t replica = 0; replica < config.replicas; ++replica) {
      replicas.push_back(system->spawn(replica_actor,
                                       ReplicaConfig{.generation = {ReplicaId(replica), Epoch(1)},
                                                     .scheduler = config.scheduler,
                                                     .ranks = config.ranks,
                                                     .make_rank = config.make_rank,
                                                     .abort_replica = config.abort_replica,
                                                     .on_step = config.on_step,
                                                     .step_timeout = config.step_timeout,
                                                     .wire_roundtrip = config.wire_roundtrip,
                                                     .clock = config.clock,
                                                     .scheduler_probe = config.scheduler_probe},
                                       coordinator, gateway));
    }
  }

  Status await_serving() {
    caf::scoped_actor waiting(*system);
    Status first;
    for (const auto& replica : replicas) {
      waiting->request(replica, config.start_timeout, AwaitServing{})
          .receive(
              [&](const Status& status) {
                if (first.ok()) first = status;
              },
              [&](const caf::error& error) {
                if (first.ok()) first = {StatusCode::kAborted, "a replica did not start: " + system->render(error)};
              });
      if (!first.ok()) return first;
    }
    return first;
  }

  void ask_stats(InProcessClusterStats& stats) {
    caf::scoped_actor asking(*system);
    asking->request(gateway, kStatsTimeout, AskGatewayStats{})
        .receive([&](const gateway::RequestLedgerStats& answer) { stats.gateway = answer; }, [](const caf::error&) {});
    for (std::uint32_t replica = 0; replica < replicas.size(); ++replica) {
      InProcessClusterStats::Replica& one = stats.replicas.emplace_back();
      one.replica = ReplicaId(replica);
      asking->request(replicas[replica], kStatsTimeout, AskReplicaStats{})
          .receive(
              [&](const ReplicaStats& answer) {
                one.serving = answer.serving;
                one.steps = answer.steps;
                one.scheduler = answer.scheduler;
              },
              [](const caf::error&) {});  // it is gone: not serving
    }
  }

  InProcessClusterConfig config;
  ActorSystemConfig actor_config;
  std::optional<caf::actor_system> system;
  CoordinatorHandle coordinator;
  GatewayHandle gateway;
  std::vector<ReplicaHandle> replicas;
  std::shared_ptr<std::atomic<std::size_t>> submissions_waiting = std::make_shared<std::atomic<std::size_t>>(0);
  // Held shared by every call, alone by shutdown: what was sent to the gateway before, the gateway will end.
  std::shared_mutex mutex;
  bool stopped = false;
};

InProcessCluster::InProcessCluster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

InProcessCluster::~InProcessCluster() { shutdown(); }

Expected<std::unique_ptr<InProcessCluster>> InProcessCluster::start(InProcessClusterConfig config) {
  if (Status status = check(config); !status.ok()) return fail(std::move(status));
  if (!config.clock) config.clock = steady_now;
  std::unique_ptr<InProcessCluster> cluster(new InProcessCluster(std::make_unique<Impl>(std::move(config))));
  cluster->impl_->spawn_all();
  if (Status status = cluster->impl_->await_serving(); !status.ok()) return fail(std::move(status));
  return cluster;
}

void InProcessCluster::submit(step::Submission submission, std::shared_ptr<DeltaSink> sink) {
  const std::shared_lock lock(impl_->mutex);
  if (impl_->stopped) return refuse(submission, *sink, StatusCode::kAborted, "the cluster is shut down");
  if (submission.attempt != 0) return refuse(submission, *sink, StatusCode::kBadInput, "attempt must be 0");
  if (*impl_->submissions_waiting >= impl_->config.ledger.open_sequences_max)
    return refuse(submission, *sink, StatusCode::kOverloaded, "too many submissions wait for the gateway");
  ++*impl_->submissions_waiting;
  caf::anon_send(impl_->gateway, SubmitSequence{std::move(submission), std::move(sink)});
  forget_actor_system();
}

void InProcessCluster::abort(SequenceId sequence) {
  const std::shared_lock lock(impl_->mutex);
  if (impl_->stopped) return;
  caf::anon_send(impl_->gateway, AbortSequence{sequence});
  forget_actor_system();
}

InProcessClusterStats InProcessCluster::stats() {
  const std::shared_lock lock(impl_->mutex);
  InProcessClusterStats stats;
  if (impl_->stopped) return stats;
  impl_->ask_stats(stats);
  forget_actor_system();
  return stats;
}

void InProcessCluster::shutdown() {
  {
    const std::scoped_lock lock(impl_->mutex);
    if (impl_->stopped) return;
    impl_->stopped = true;
  }
  caf::anon_send(impl_->gateway, StopGateway{});
  for (const auto& replica : impl_->replicas) caf::anon_send(replica, StopReplica{});
  caf::anon_send_exit(impl_->coordinator, caf::exit_reason::user_shutdown);
  impl_->gateway = nullptr;
  impl_->coordinator = nullptr;
  impl_->replicas.clear();
  impl_->system.reset();  // waits for every actor
}

void InProcessCluster::kill_rank(ReplicaId replica, std::uint32_t rank) {
  const std::scoped_lock lock(impl_->mutex);
  if (!impl_->stopped && replica.value < impl_->replicas.size())
    caf::anon_send(impl_->replicas[replica.value], KillRank{rank});
}

}  // namespace herd::actors
