#include "actors/roles/replica_actor.h"

#include <memory>
#include <string>
#include <utility>

namespace herd::actors {
namespace {

constexpr double kReportSeconds = 0.1;  // between two reports of a busy replica

}  // namespace

void ReplicaState::start(ReplicaConfig config, std::vector<ShardHandle> ranks, CoordinatorHandle coordinator) {
  config_ = std::move(config);
  ranks_ = std::move(ranks);
  coordinator_ = std::move(coordinator);
  core_.emplace(config_.core, config_.scheduler_probe);
  end_process_on_exception(self_);
  actors::on_down(self_, [this](const caf::actor_addr& source, bool killed) { on_down(source, killed); });
  for (const ShardHandle& rank : ranks_) {
    watch(self_, rank);
    self_->send(rank, MakeRank{ReplicaHandle(self_)});
  }
}

void ReplicaState::on_down(const caf::actor_addr& source, bool killed) {
  for (std::uint32_t rank = 0; rank < ranks_.size(); ++rank) {
    if (!is_same(ranks_[rank], source)) continue;
    const auto cause = killed ? routing::LossCause::kKilled : routing::LossCause::kDiedOfItself;
    decide([&](replica::ReplicaCore& core, Instant) {
      core.on_rank_lost(rank, cause, {StatusCode::kAborted, "rank " + std::to_string(rank) + " died"}, effects_);
    });
    return;
  }
  for (auto known = gateways_.begin(); known != gateways_.end(); ++known) {
    if (!is_same(known->second, source)) continue;
    const GatewayId gone = known->first;
    gateways_.erase(known);
    decide([&](replica::ReplicaCore& core, Instant now) { core.on_gateway_gone(gone, now, effects_); });
    return;
  }
}

void ReplicaState::on_gateway_joined(const GatewayJoined& joined) {
  gateways_.insert_or_assign(joined.id, joined.gateway);
  watch(self_, joined.gateway);
  self_->send(joined.gateway, ReplicaReported{config_.core.generation, core_->stats()});
}

void ReplicaState::on_wake_up(const WakeUp& message) {
  const auto woken = timer_.on_message(message, config_.clock());
  if (woken.next) tell_self_after(self_, woken.next->delay, woken.next->message);
  if (woken.due) decide([this](replica::ReplicaCore& core, Instant now) { core.on_timer(now, {}, effects_); });
}

// At once where nothing runs; a busy replica's numbers a few times a second.
void ReplicaState::report(Instant now) {
  const replica::ReplicaStats stats = core_->stats();
  const bool idle = stats.scheduler.num_running == 0 && stats.scheduler.num_waiting == 0;
  if (!idle && seconds_between(reported_, now) < kReportSeconds) {
    if (tick_under_way_) return;
    tick_under_way_ = true;
    return tell_self_after(self_, std::chrono::nanoseconds(static_cast<std::int64_t>(kReportSeconds * 1e9)), Tick{});
  }
  reported_ = now;
  for (const auto& [id, gateway] : gateways_) self_->send(gateway, ReplicaReported{config_.core.generation, stats});
}

void ReplicaState::on_tick() {
  tick_under_way_ = false;
  report(config_.clock());
}

void ReplicaState::carry_out(Instant now) {
  for (replica::ReplicaEffect& effect : effects_) {
    std::visit([&](auto& order) { carry_out(order, now); }, effect);
  }
  effects_.clear();
}

void ReplicaState::carry_out(replica::ExecuteOnRanks& order, Instant) {
  const auto plan = std::make_shared<const step::StepPlan>(std::move(order.plan));
  for (const ShardHandle& rank : ranks_) self_->send(rank, ExecutePlan{plan});
}

void ReplicaState::carry_out(replica::SendDeltas& order, Instant) {
  const auto gateway = gateways_.find(order.gateway);
  if (gateway == gateways_.end()) return;  // it is gone
  self_->send(gateway->second, DeltasMade{config_.core.generation, std::move(order.deltas)});
}

void ReplicaState::carry_out(replica::SayServing&, Instant) {
  has_served_ = true;
  self_->send(coordinator_, ReplicaServing{config_.view, ReplicaHandle(self_)});
  answer_waiting({});
}

void ReplicaState::carry_out(replica::SayLost& order, Instant) {
  if (!has_served_) start_failure_ = order.loss.why;
  answer_waiting(order.loss.why);
  for (const auto& [id, gateway] : gateways_) self_->send(gateway, ReplicaLost{order.loss});
  self_->send(coordinator_, ReplicaLost{std::move(order.loss)});
}

void ReplicaState::carry_out(replica::AbortGroup& order, Instant) {
  if (config_.abort_group) config_.abort_group(order.why);
}

void ReplicaState::carry_out(replica::EndGeneration&, Instant) {
  for (const ShardHandle& rank : ranks_) end(self_, rank);
  if (start_failure_.ok()) self_->quit();
}

void ReplicaState::carry_out(replica::StepFinished& order, Instant) {
  if (config_.on_step) config_.on_step(config_.core.generation.replica, order.stats, order.step_s);
}

void ReplicaState::carry_out(replica::WakeReplicaAt& order, Instant now) {
  if (const auto message = timer_.want(order.at, now)) tell_self_after(self_, message->delay, message->message);
}

void ReplicaState::on_stop() {
  decide([this](replica::ReplicaCore& core, Instant now) { core.on_stop(now, effects_); });
  if (core_->ended()) self_->quit();  // it had stayed to say why it could not start
}

caf::typed_response_promise<Status> ReplicaState::on_await_serving() {
  waiting_for_service_.push_back(self_->make_response_promise<Status>());
  auto promise = waiting_for_service_.back();
  if (core_->serving()) answer_waiting({});
  if (!start_failure_.ok()) answer_waiting(start_failure_);
  return promise;
}

void ReplicaState::answer_waiting(const Status& status) {
  for (auto& promise : waiting_for_service_) promise.deliver(status);
  waiting_for_service_.clear();
}

ReplicaHandle::behavior_type replica_actor(ReplicaState::Self self, ReplicaConfig config, std::vector<ShardHandle> ranks,
                                           CoordinatorHandle coordinator) {
  using replica::ReplicaCore;
  ReplicaState& state = self->state;
  state.start(std::move(config), std::move(ranks), std::move(coordinator));
  return {
      [&state](const GatewayJoined& joined) { state.on_gateway_joined(joined); },
      [&state](const RunSequence& order) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_submission(order.submission, now, state.effects()); });
      },
      [&state](const StopSequence& order) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_abort(order.attempt, now, state.effects()); });
      },
      [&state](const RankMade& made) {
        state.decide([&](ReplicaCore& core, Instant) { core.on_rank_joined(made.rank, made.status, state.effects()); });
      },
      [&state](const StepDone& done) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_result(done.result, now, state.effects()); });
      },
      [&state](const WakeUp& message) { state.on_wake_up(message); },
      [&state](const Tick&) { state.on_tick(); },
      [&state](const StopReplica&) { state.on_stop(); },
      [&state](const AwaitServing&) { return state.on_await_serving(); },
  };
}

}  // namespace herd::actors
