#include "actors/roles/replica_actor.h"

#include <memory>
#include <string>
#include <utility>

namespace herd::actors {
namespace {

constexpr double kReportSeconds = 0.1;  // between two reports of a busy replica

}  // namespace

void ReplicaState::start(ReplicaConfig config, CoordinatorHandle coordinator, SupervisorHandle supervisor) {
  config_ = std::move(config);
  coordinator_ = std::move(coordinator);
  supervisor_ = std::move(supervisor);
  core_.emplace(config_.core, config_.scheduler_probe);
  end_process_on_exception(self_);
  actors::on_down(self_, [this](const caf::actor_addr& source, bool killed) { on_down(source, killed); });
  if (config_.join_moves && config_.core.moves.enabled) moves_ = config_.join_moves(config_.core.generation, ReplicaHandle(self_));
  if (config_.addresses) config_.addresses->enter(config_.view.route, ReplicaHandle(self_));
  for (const ReplicaRank& rank : config_.ranks) {
    watch(self_, rank.handle);
    self_->send(rank.handle, JoinGroup{config_.core.generation.epoch, config_.rendezvous, ReplicaHandle(self_)});
  }
  decide([this](replica::ReplicaCore& core, Instant now) { core.on_start(now, effects_); });
}

void ReplicaState::on_down(const caf::actor_addr& source, bool killed) {
  for (std::uint32_t rank = 0; rank < config_.ranks.size(); ++rank) {
    if (!is_same(config_.ranks[rank].handle, source)) continue;
    routing::RankLoss end{killed ? routing::LossCause::kKilled : routing::LossCause::kDiedOfItself,
                      {StatusCode::kAborted, "rank " + std::to_string(rank) + " died"}};
    if (const auto& fate = config_.ranks[rank].fate) end = fate->end().value_or(std::move(end));
    const SequenceId at_work(config_.page ? config_.page->mark(rank)->sequence() : 0);
    decide([&](replica::ReplicaCore& core, Instant) { core.on_rank_lost(rank, end.cause, end.why, effects_, at_work); });
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

// A gateway that joins again has a new connection: of what it asked for on the old one it hears no more.
void ReplicaState::on_gateway_joined(const GatewayJoined& joined) {
  GatewayHandle& known = gateways_[joined.id];
  if (known && known != joined.gateway) {
    unwatch(self_, known);
    decide([&](replica::ReplicaCore& core, Instant now) { core.on_gateway_gone(joined.id, now, effects_); });
  }
  if (known != joined.gateway) watch(self_, joined.gateway);
  known = joined.gateway;
  if (core_->has_news()) tell_gateways(core_->stats());
  self_->send(joined.gateway, reported(core_->stats(), core_->all_news()));
}

ReplicaReported ReplicaState::reported(const replica::ReplicaStats& stats, std::optional<kv::BlockNews> news) const {
  ReplicaReported reported{config_.core.generation, stats, core_->draining()};
  if (news) reported.news = std::make_shared<const kv::BlockNews>(std::move(*news));
  return reported;
}

void ReplicaState::on_move(const MoveHeard& heard) {
  decide([&](replica::ReplicaCore& core, Instant now) { core.on_move(heard.what, now, effects_); });
  if (moves_ && std::holds_alternative<replica::HolderGone>(heard.what)) moves_->tidy();
}

void ReplicaState::on_wake_up(const WakeUp& message) {
  const auto woken = timer_.on_message(message, config_.clock());
  if (woken.next) tell_self_after(self_, woken.next->delay, woken.next->message);
  if (!woken.due) return;
  std::vector<Progress> ranks;
  for (const ReplicaRank& rank : config_.ranks) ranks.push_back(rank.progress->read());
  decide([&](replica::ReplicaCore& core, Instant now) { core.on_timer(now, ranks, effects_); });
}

// At once where nothing runs, when it takes nothing new from now on, or when its cache has news that the next prompt may need; else a
// busy replica's numbers a few times a second.
void ReplicaState::report(Instant now) {
  const replica::ReplicaStats stats = core_->stats();
  const bool idle = stats.scheduler.num_running == 0 && stats.scheduler.num_waiting == 0;
  const bool drains = core_->draining() != std::exchange(said_draining_, core_->draining());
  if (!idle && !drains && !core_->news_are_due() && seconds_between(reported_, now) < kReportSeconds) {
    if (tick_under_way_) return;
    tick_under_way_ = true;
    return tell_self_after(self_, std::chrono::nanoseconds(static_cast<std::int64_t>(kReportSeconds * 1e9)), Tick{});
  }
  reported_ = now;
  if (config_.on_stats) config_.on_stats(stats);
  tell_gateways(stats);
}

void ReplicaState::tell_gateways(const replica::ReplicaStats& stats) {
  std::optional<kv::BlockNews> news;
  if (core_->has_news()) news = core_->take_news();
  const ReplicaReported said = reported(stats, std::move(news));
  for (const auto& [id, gateway] : gateways_) self_->send(gateway, said);
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
  for (const step::SequenceStart& started : order.plan.started) {
    const auto attempt = config_.page ? core_->attempt_of(started.sequence) : std::nullopt;
    if (attempt) config_.page->name_attempt(started.sequence, *attempt);
  }
  const auto plan = std::make_shared<const step::StepPlan>(std::move(order.plan));
  for (const ReplicaRank& rank : config_.ranks) self_->send(rank.handle, ExecutePlan{plan});
}

void ReplicaState::carry_out(replica::SendDeltas& order, Instant) {
  const auto gateway = gateways_.find(order.gateway);
  if (gateway == gateways_.end()) return;  // it is gone
  self_->send(gateway->second, DeltasMade{config_.core.generation, std::move(order.deltas)});
}

void ReplicaState::carry_out(replica::SayServing&, Instant) {
  ReplicaServing serving{config_.view, ReplicaHandle(self_)};
  serving.view.state = routing::ReplicaState::kServing;
  self_->send(coordinator_, serving);
  self_->send(supervisor_, serving);
}

// The coordinator before the supervisor, who asks it for the next generation.
void ReplicaState::carry_out(replica::SayLost& order, Instant) {
  for (const auto& [id, gateway] : gateways_) self_->send(gateway, ReplicaLost{order.loss});
  self_->send(coordinator_, ReplicaLost{order.loss});
  self_->send(supervisor_, ReplicaLost{std::move(order.loss), order.last});
}

void ReplicaState::carry_out(replica::AbortGroup& order, Instant) {
  config_.ground->abort_group(config_.core.generation.replica, config_.core.generation.epoch, order.why);
}

// Whom it watched lives on.
void ReplicaState::carry_out(replica::EndGeneration&, Instant) {
  for (const ReplicaRank& rank : config_.ranks) unwatch(self_, rank.handle);
  for (const auto& [id, gateway] : gateways_) unwatch(self_, gateway);
  moves_.reset();
  self_->quit();
}

void ReplicaState::carry_out(replica::StepFinished& order, Instant) {
  if (config_.on_step) config_.on_step(config_.core.generation.replica, order.stats, order.step_s);
}

void ReplicaState::carry_out(replica::WakeReplicaAt& order, Instant now) {
  if (const auto message = timer_.want(order.at, now)) tell_self_after(self_, message->delay, message->message);
}

void ReplicaState::carry_out(replica::SendToHolder& order, Instant) {
  if (moves_) moves_->send(order.to, std::move(order.message));
}

void ReplicaState::carry_out(replica::SendToTaker& order, Instant) {
  if (moves_) moves_->send(order.to, std::move(order.message));
}

void ReplicaState::carry_out(replica::GiveBlock& order, Instant) {
  const std::uint32_t rank = order.bytes->rank;
  self_->send(config_.ranks.at(rank).handle, TakeBlock{config_.core.generation.epoch, std::move(order.bytes)});
}

ReplicaHandle::behavior_type replica_actor(ReplicaState::Self self, ReplicaConfig config, CoordinatorHandle coordinator,
                                           SupervisorHandle supervisor) {
  using replica::ReplicaCore;
  ReplicaState& state = self->state;
  state.start(std::move(config), std::move(coordinator), std::move(supervisor));
  return {
      [&state](const GatewayJoined& joined) { state.on_gateway_joined(joined); },
      [&state](const RunSequence& order) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_submission(order.submission, now, state.effects()); });
      },
      [&state](const StopSequence& order) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_abort(order.attempt, now, state.effects()); });
      },
      [&state](const RankJoined& joined) {
        state.decide([&](ReplicaCore& core, Instant) { core.on_rank_joined(joined.rank, joined.status, state.effects()); });
      },
      [&state](const StepDone& done) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_result(done.result, now, state.effects()); });
      },
      [&state](const WakeUp& message) { state.on_wake_up(message); },
      [&state](const Tick&) { state.on_tick(); },
      [&state](const StopReplica& order) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_drain(order.drain_s, now, state.effects()); });
      },
      [&state](const BlockRead& read) {
        state.decide([&](ReplicaCore& core, Instant now) { core.on_block_read(read.epoch, std::move(*read.bytes), now, state.effects()); });
      },
      [&state](const MoveHeard& heard) { state.on_move(heard); },
  };
}

}  // namespace herd::actors
