#include "actors/remote/led_replica.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/wire/group_codec.h"

namespace herd::actors {
namespace {

void say_lost(LedReplicaHandle::stateful_pointer<LedReplicaState> self, routing::ReplicaLoss loss, const replica::LastSteps& last) {
  LedReplicaState& state = self->state;
  if (std::exchange(state.over, true)) return;
  state.config.roster->update_all(state.config.generation.replica, [](report::ProcessReport& rank) {
    if (rank.pid != 0) rank.state = report::ProcessState::kStarting;
    rank.epoch = 0;
  });
  self->send(state.config.coordinator, ReplicaLost{loss});
  self->send(state.config.supervisor, ReplicaLost{std::move(loss), last});
}

void on_serves(LedReplicaHandle::stateful_pointer<LedReplicaState> self, const LeaderServes& serves) {
  LedReplicaState& state = self->state;
  if (state.over || serves.view.route.generation != state.config.generation) return;
  state.config.roster->update_all(state.config.generation.replica, [&](report::ProcessReport& rank) {
    rank.state = report::ProcessState::kServing;
    rank.epoch = state.config.generation.epoch.value;
  });
  state.serving = serves.view;
  const ReplicaServing serving{serves.view, ReplicaHandle(self)};
  self->send(state.config.coordinator, serving);
  self->send(state.config.supervisor, serving);
}

// Gateways hear from the leader itself that it drains, as there may be no coordinator; those that come later by the view.
void on_stop(LedReplicaHandle::stateful_pointer<LedReplicaState> self, const StopReplica& order) {
  LedReplicaState& state = self->state;
  if (state.over) return;
  state.config.roster->update_all(state.config.generation.replica, [](report::ProcessReport& rank) {
    if (rank.state == report::ProcessState::kServing) rank.state = report::ProcessState::kDraining;
  });
  state.config.leader->port.send(wire::encode(replica::StopReplicaOrder{order.drain_s}), state.config.generation);
  if (!state.serving || order.drain_s == 0) return;
  state.serving->state = routing::ReplicaState::kDraining;
  self->send(state.config.coordinator, ReplicaServing{*state.serving, ReplicaHandle(self)});
}

// What each of its ranks was working on when it died of itself.
std::vector<std::optional<step::AttemptKey>> marks_of(const LedReplicaConfig& config) {
  std::vector<std::optional<step::AttemptKey>> marks(config.ranks);
  for (std::uint32_t rank = 0; rank < config.ranks; ++rank)
    marks[rank] = config.page->attempt_of(SequenceId(config.page->mark(rank)->sequence()));
  return marks;
}

// Its requests' gateways hear of it by their own connections; what they had in a step nobody is left to say.
void on_died(LedReplicaHandle::stateful_pointer<LedReplicaState> self, const LeaderDied& died) {
  routing::ReplicaLoss loss;
  loss.replica = self->state.config.generation;
  loss.cause = died.death.cause;
  loss.why = {died.death.why.code(),
              "replica " + std::to_string(loss.replica.replica.value) + ": its leader died: " + died.death.why.message()};
  loss.blamed = {0};
  routing::lay_at(loss, marks_of(self->state.config));
  say_lost(self, std::move(loss), {});
}

}  // namespace

LedReplicaHandle::behavior_type led_replica(LedReplicaHandle::stateful_pointer<LedReplicaState> self, LedReplicaConfig config) {
  LedReplicaState& state = self->state;
  state.config = std::move(config);
  end_process_on_exception(self);
  return {
      [](const GatewayJoined&) {},  // gateways ask the leader itself; likewise below
      [](const RunSequence&) {},
      [](const StopSequence&) {},
      [](const RankJoined&) {},
      [](const StepDone&) {},
      [](const WakeUp&) {},
      [](const Tick&) {},
      [self](const StopReplica& order) { on_stop(self, order); },
      [](const BlockRead&) {},
      [](const MoveHeard&) {},
      [self](const LeaderServes& serves) { on_serves(self, serves); },
      [self](const LeaderEnded& ended) {
        if (ended.ended.loss.replica == self->state.config.generation) say_lost(self, ended.ended.loss, ended.ended.last);
      },
      [self](const LeaderDied& died) { on_died(self, died); },
  };
}

}  // namespace herd::actors
