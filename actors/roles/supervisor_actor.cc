#include "actors/roles/supervisor_actor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::actors {

using membership::GroupSupervisor;

namespace {

std::string name_of(ReplicaId replica) { return "replica " + std::to_string(replica.value); }

}  // namespace

void SupervisorState::start(SupervisorConfig config, CoordinatorHandle coordinator) {
  config_ = std::move(config);
  coordinator_ = std::move(coordinator);
  core_.emplace(config_.core);
  ranks_.resize(config_.core.ranks);
  end_process_on_exception(self_);
  actors::on_down(self_, [this](const caf::actor_addr& source, bool killed) { on_down(source, killed); });
  decide([this](GroupSupervisor& core, Instant now) { core.on_start(now, effects_); });
}

void SupervisorState::on_down(const caf::actor_addr& source, bool killed) {
  if (replica_ && is_same(replica_, source)) {
    replica_ = nullptr;
    if (generation_) {  // it could not say so
      routing::ReplicaLoss loss;
      loss.replica = *generation_;
      loss.why = {StatusCode::kAborted, name_of(replica_id()) + " died"};
      self_->send(coordinator_, ReplicaLost{loss});
      on_lost({std::move(loss)});
    }
    if (stopping_) end_ranks();
    return;
  }
  const auto dead = std::ranges::find_if(
      ranks_, [&](const LivingRank& rank) { return rank.handle && is_same(rank.handle, source); });
  if (dead == ranks_.end()) return;  // it could not be made, and has said so
  const auto rank = static_cast<std::uint32_t>(dead - ranks_.begin());
  const Status why = !dead->failure.ok()
                         ? dead->failure
                         : Status{StatusCode::kAborted, "rank " + std::to_string(rank) + (killed ? " was killed" : " ended")};
  *dead = {};
  decide([&](GroupSupervisor& core, Instant now) { core.on_rank_lost(rank, why, now, effects_); });
  quit_when_alone();
}

void SupervisorState::on_rank_ready(const RankReady& ready) {
  LivingRank& rank = ranks_.at(ready.rank);
  rank.rates = ready.rates;
  if (!ready.status.ok()) rank = {};
  decide([&](GroupSupervisor& core, Instant now) { core.on_rank_ready(ready.rank, ready.status, now, effects_); });
  quit_when_alone();
}

void SupervisorState::on_rank_failed(const RankFailed& failed) { ranks_.at(failed.rank).failure = failed.why; }

void SupervisorState::on_placed(const ReplicaPlaced& placed) {
  generation_ = placed.view.route.generation;
  const Status status = form(placed.view);
  decide([&](GroupSupervisor& core, Instant now) { core.on_formed(*generation_, now, effects_); });
  if (status.ok()) return;
  routing::ReplicaLoss loss;
  loss.replica = *generation_;
  loss.cause = stopping_ ? routing::LossCause::kStopped : routing::LossCause::kDiedOfItself;
  loss.why = status;
  self_->send(coordinator_, ReplicaLost{loss});
  on_lost({std::move(loss)});
}

Status SupervisorState::form(const routing::ReplicaView& view) {
  const auto named = [this](const std::string& what) { return Status{StatusCode::kAborted, name_of(replica_id()) + ": " + what}; };
  if (stopping_) return named("it was stopped");
  Formation formation{view, {}, ranks_.front().rates, coordinator_, SupervisorHandle(self_)};
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    const LivingRank& living = ranks_[rank];
    if (!living.handle) return named("rank " + std::to_string(rank) + " died before it joined its group");
    formation.ranks.push_back({living.handle, living.progress});
    formation.rates = scheduler::slower_of(formation.rates, living.rates);
  }
  auto replica = config_.ground->form(std::move(formation));
  if (!replica) return replica.error();
  replica_ = std::move(*replica);
  watch(self_, replica_);
  return {};
}

void SupervisorState::on_serving(const ReplicaServing& serving) {
  decide([&](GroupSupervisor& core, Instant now) {
    core.on_serving(serving.view.route.generation, now, effects_);
  });
  answer_waiting({});
}

void SupervisorState::on_lost(const ReplicaLost& lost) {
  const routing::ReplicaLoss& loss = lost.loss;
  if (generation_ == loss.replica) forget_generation(loss.why);
  lost_ = loss.replica.epoch;
  decide([&](GroupSupervisor& core, Instant now) { core.on_generation_lost(loss, lost.last, now, effects_); });
}

void SupervisorState::forget_generation(const Status& why) {
  config_.ground->abort(*generation_, why);
  generation_.reset();
}

void SupervisorState::on_wake_up(const WakeUp& message) {
  const auto woken = timer_.on_message(message, config_.clock());
  if (woken.next) tell_self_after(self_, woken.next->delay, woken.next->message);
  if (!woken.due) return;
  std::vector<Progress> progress;
  for (const LivingRank& rank : ranks_) progress.push_back(rank.progress ? rank.progress->read() : Progress{});
  decide([&](GroupSupervisor& core, Instant now) { core.on_timer(now, progress, effects_); });
}

void SupervisorState::on_stop(const StopReplica& order) {
  if (std::exchange(stopping_, true)) {  // its time is another one now
    if (replica_) self_->send(replica_, order);
    return;
  }
  decide([this](GroupSupervisor& core, Instant) { core.on_stop(effects_); });
  answer_waiting({StatusCode::kAborted, name_of(replica_id()) + " was stopped"});
  if (replica_) return self_->send(replica_, order);
  end_ranks();
}

void SupervisorState::end_ranks() {
  for (const LivingRank& rank : ranks_) {
    if (rank.handle) config_.ground->end_rank(rank.handle, EndRank::kInOrder);
  }
  quit_when_alone();
}

void SupervisorState::quit_when_alone() {
  if (stopping_ && !replica_ && std::ranges::none_of(ranks_, [](const LivingRank& rank) { return bool(rank.handle); })) self_->quit();
}

caf::typed_response_promise<Status> SupervisorState::on_await_serving() {
  auto promise = self_->make_response_promise<Status>();
  if (started_) {
    promise.deliver(*started_);
  } else {
    waiting_for_service_.push_back(promise);
  }
  return promise;
}

void SupervisorState::answer_waiting(const Status& status) {
  if (started_) return;
  started_ = status;
  for (auto& promise : waiting_for_service_) promise.deliver(status);
  waiting_for_service_.clear();
}

void SupervisorState::carry_out(Instant now) {
  for (membership::SupervisorEffect& effect : effects_) std::visit([&](auto& order) { carry_out(order, now); }, effect);
  effects_.clear();
}

void SupervisorState::carry_out(membership::StartRank& order, Instant) {
  StartedRank started = config_.ground->start_rank(order.rank, order.read_weights_again);
  LivingRank& rank = ranks_.at(order.rank);
  rank = {};
  rank.handle = std::move(started.handle);
  rank.progress = std::move(started.progress);
  watch(self_, rank.handle);
  self_->send(rank.handle, PrepareRank{SupervisorHandle(self_)});
}

void SupervisorState::carry_out(membership::FormGroup&, Instant) {
  PlaceReplica order = config_.ground->place_order();
  order.supervisor = SupervisorHandle(self_);
  self_->send(coordinator_, std::move(order));
}

void SupervisorState::carry_out(membership::LeaveGroup& order, Instant) {
  const LivingRank& rank = ranks_.at(order.rank);
  if (rank.handle) self_->send(rank.handle, actors::LeaveGroup{lost_});
}

void SupervisorState::carry_out(membership::DrainGeneration&, Instant) {
  if (replica_) self_->send(replica_, StopReplica{config_.drain_s});
}

void SupervisorState::carry_out(membership::EndRank& order, Instant) {
  const LivingRank& rank = ranks_.at(order.rank);
  if (rank.handle) config_.ground->end_rank(rank.handle, order.in_order ? EndRank::kInOrder : EndRank::kAtOnce);
}

// The ranks that can end do so; the process goes on with its other replicas.
void SupervisorState::carry_out(membership::GiveUp& order, Instant) {
  self_->send(coordinator_, ReplicaGivenUp{replica_id(), order.why});
  answer_waiting(order.why);
  end_ranks();
}

void SupervisorState::carry_out(membership::WakeSupervisorAt& order, Instant now) {
  if (const auto message = timer_.want(order.at, now)) tell_self_after(self_, message->delay, message->message);
}

void SupervisorState::carry_out(membership::Note& order, Instant) {
  if (config_.on_note) config_.on_note(replica_id(), order);
}

SupervisorHandle::behavior_type supervisor_actor(SupervisorState::Self self, SupervisorConfig config,
                                                 CoordinatorHandle coordinator) {
  SupervisorState& state = self->state;
  state.start(std::move(config), std::move(coordinator));
  return {
      [&state](const RankReady& ready) { state.on_rank_ready(ready); },
      [&state](const RankLeft& left) {
        state.decide([&](GroupSupervisor& core, Instant now) { core.on_rank_left(left.rank, left.epoch, now, state.effects()); });
      },
      [&state](const RankLeaving& leaving) {
        state.decide([&](GroupSupervisor& core, Instant now) { core.on_rank_leaving(leaving.rank, now, state.effects()); });
      },
      [&state](const RankFailed& failed) { state.on_rank_failed(failed); },
      [&state](const ReplicaPlaced& placed) { state.on_placed(placed); },
      [&state](const ReplicaServing& serving) { state.on_serving(serving); },
      [&state](const ReplicaLost& lost) { state.on_lost(lost); },
      [&state](const WakeUp& message) { state.on_wake_up(message); },
      [&state](const StopReplica& order) { state.on_stop(order); },
      [&state](const SetBudget& order) {
        state.decide([&](GroupSupervisor& core, Instant) { core.set_budget(order.budget); });
      },
      [&state](const AwaitServing&) { return state.on_await_serving(); },
      [&state](const FindRank& asked) { return state.find(asked.rank); },
  };
}

}  // namespace herd::actors
