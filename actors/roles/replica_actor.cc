#include "actors/roles/replica_actor.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "actors/roles/shard_actor.h"

namespace herd::actors {

void ReplicaState::start(ReplicaConfig config, CoordinatorHandle coordinator, GatewayHandle gateway) {
  config_ = std::move(config);
  coordinator_ = std::move(coordinator);
  gateway_ = std::move(gateway);
  through_wire_ = WireRoundtrip(config_.wire_roundtrip);
  scheduler_.emplace(config_.scheduler, config_.generation.epoch, config_.scheduler_probe);
  collector_.emplace(config_.generation.epoch, config_.ranks);
  end_process_on_exception(self_);
  on_down(self_, [this](const caf::actor_addr& source) {
    for (std::uint32_t rank = 0; rank < ranks_.size(); ++rank) {
      if (is_same(ranks_[rank], source)) fail_group({StatusCode::kAborted, "rank " + std::to_string(rank) + " died"});
    }
  });
  const ReplicaHandle me(self_);
  for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
    const ReplicaId replica = config_.generation.replica;
    ranks_.push_back(config_.own_threads
                         ? self_->spawn<caf::detached>(shard_actor, me, replica, rank, config_.make_rank, through_wire_)
                         : self_->spawn(shard_actor, me, replica, rank, config_.make_rank, through_wire_));
    watch(self_, ranks_.back());
    self_->send(ranks_.back(), MakeRank{});
  }
}

void ReplicaState::on_rank_made(const RankMade& made) {
  if (phase_ != Phase::kMaking) return;
  if (!made.status.ok()) return fail_group(made.status);
  if (++ranks_made_ < config_.ranks) return;
  phase_ = Phase::kServing;
  self_->send(coordinator_, ReplicaServing{config_.generation, ReplicaHandle(self_)});
  answer_waiting({});
}

void ReplicaState::on_run(const RunSequence& order) {
  const Status status = phase_ == Phase::kServing ? scheduler_->on_submit(order.submission, config_.clock())
                                                  : Status(StatusCode::kAborted, "the replica is stopping");
  if (!status.ok()) {
    step::TokenDelta refused;
    refused.sequence = order.submission.sequence;
    refused.attempt = order.submission.attempt;
    refused.finish = step::FinishReason::kRefused;
    refused.error = status;
    return publish({std::move(refused)});
  }
  pump();
}

void ReplicaState::on_stop_sequence(SequenceId sequence) {
  if (auto terminal = scheduler_->on_abort(sequence)) publish({std::move(*terminal)});
  pump();
}

void ReplicaState::on_step_done(const StepDone& done) {
  if (phase_ == Phase::kEnded) return;
  const Instant now = config_.clock();
  auto steps = collector_->on_result(done.result, now);
  if (!steps) return fail_group(steps.error().why);
  for (const auto& step : *steps) {
    if (config_.on_step) config_.on_step(config_.generation.replica, step.result.stats, step.step_s);
    publish(scheduler_->on_step_done(step.result, now));
  }
  pump();
}

void ReplicaState::pump() {
  if (phase_ == Phase::kStopping && collector_->idle()) {
    scheduler_->check_integrity();  // with nothing open, no block may be held
    end_ranks();
    return self_->quit();
  }
  if (phase_ != Phase::kServing) return;
  while (auto planned = scheduler_->plan_step(config_.clock())) {
    const auto plan = std::make_shared<const step::StepPlan>(through_wire_(std::move(*planned)));
    collector_->on_plan_sent(plan->step, config_.clock());
    for (const auto& rank : ranks_) self_->send(rank, ExecutePlan{plan});
  }
  if (!collector_->idle() && !deadline_armed_) {
    deadline_armed_ = true;
    tell_self_after(self_, std::max(config_.step_timeout / 2, std::chrono::milliseconds(1)), CheckDeadline{});
  }
}

void ReplicaState::on_check_deadline() {
  deadline_armed_ = false;
  if (phase_ == Phase::kEnded) return;
  const double seconds_max = std::chrono::duration<double>(config_.step_timeout).count();
  if (Status status = collector_->check_deadline(config_.clock(), seconds_max); !status.ok()) return fail_group(status);
  if (collector_->idle()) return;
  deadline_armed_ = true;
  tell_self_after(self_, std::max(config_.step_timeout / 2, std::chrono::milliseconds(1)), CheckDeadline{});
}

void ReplicaState::publish(std::vector<step::TokenDelta> deltas) {
  if (!deltas.empty()) self_->send(gateway_, DeltasMade{through_wire_(std::move(deltas))});
}

// The gateway's ledger owns what becomes of the sequences: the scheduler only forgets them.
void ReplicaState::fail_group(const Status& why) {
  if (phase_ == Phase::kEnded) return;
  (void)scheduler_->on_replica_lost();
  // First of all: the other ranks may wait in a collective for one that is gone.
  if (config_.abort_replica) config_.abort_replica(config_.generation.replica, why);
  const Status named(why.code(), "replica " + std::to_string(config_.generation.replica.value) + ": " + why.message());
  if (phase_ == Phase::kMaking) {  // nobody has heard of it but whoever waits for it to serve
    start_failure_ = named;
    answer_waiting(named);
    return end_ranks();
  }
  self_->send(coordinator_, ReplicaLost{config_.generation, named});
  self_->send(gateway_, ReplicaLost{config_.generation, named});
  end_ranks();
  self_->quit();
}

void ReplicaState::on_stop() {
  if (phase_ == Phase::kEnded) return self_->quit();
  phase_ = Phase::kStopping;
  answer_waiting({StatusCode::kAborted, "the replica was stopped"});
  pump();
}

void ReplicaState::end_ranks() {
  phase_ = Phase::kEnded;
  for (const auto& rank : ranks_) end(self_, rank);
}

void ReplicaState::on_kill_rank(std::uint32_t rank) {
  if (rank < ranks_.size()) kill(self_, ranks_[rank]);
}

caf::typed_response_promise<Status> ReplicaState::on_await_serving() {
  waiting_for_service_.push_back(self_->make_response_promise<Status>());
  auto promise = waiting_for_service_.back();
  if (phase_ == Phase::kServing) answer_waiting({});
  if (!start_failure_.ok()) answer_waiting(start_failure_);
  return promise;
}

void ReplicaState::answer_waiting(const Status& status) {
  for (auto& promise : waiting_for_service_) promise.deliver(status);
  waiting_for_service_.clear();
}

ReplicaStats ReplicaState::stats() const {
  return {phase_ == Phase::kServing, collector_->steps_done(), scheduler_->stats()};
}

ReplicaHandle::behavior_type replica_actor(ReplicaState::Self self, ReplicaConfig config, CoordinatorHandle coordinator,
                                           GatewayHandle gateway) {
  ReplicaState& state = self->state;
  state.start(std::move(config), std::move(coordinator), std::move(gateway));
  return {
      [&state](const RunSequence& order) { state.on_run(order); },
      [&state](const StopSequence& order) { state.on_stop_sequence(order.sequence); },
      [&state](const RankMade& made) { state.on_rank_made(made); },
      [&state](const StepDone& done) { state.on_step_done(done); },
      [&state](const CheckDeadline&) { state.on_check_deadline(); },
      [&state](const StopReplica&) { state.on_stop(); },
      [&state](const KillRank& order) { state.on_kill_rank(order.rank); },
      [&state](const AwaitServing&) { return state.on_await_serving(); },
      [&state](const AskReplicaStats&) { return state.stats(); },
  };
}

}  // namespace herd::actors
