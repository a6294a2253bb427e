#include "actors/roles/gateway_actor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cluster/wire/generate_codec.h"
#include "kernels/check.h"

namespace herd::actors {

using step::FinishReason;
using step::TokenDelta;

void GatewayState::start(GatewayConfig config, CoordinatorHandle coordinator) {
  config_ = std::move(config);
  coordinator_ = std::move(coordinator);
  through_wire_ = WireRoundtrip(config_.wire_roundtrip);
  ledger_.emplace(config_.ledger);
  end_process_on_exception(self_);
  on_down(self_, [this](const caf::actor_addr& source) {
    const auto dead = std::ranges::find_if(replicas_, [&](const auto& known) { return is_same(known.second, source); });
    if (dead == replicas_.end()) return;  // it said so itself
    on_replica_lost(
        {dead->first, {StatusCode::kAborted, "replica " + std::to_string(dead->first.replica.value) + " died"}});
  });
}

void GatewayState::on_submit(const SubmitSequence& order) {
  --*config_.submissions_waiting;
  Status status = wire::validate(order.submission);
  if (status.ok()) status = ledger_->accept(order.submission);
  if (!status.ok()) {
    TokenDelta refused;
    refused.sequence = order.submission.sequence;
    refused.finish = FinishReason::kRefused;
    refused.error = std::move(status);
    order.sink->push(refused);
    return;
  }
  sinks_.emplace(order.submission.sequence, order.sink);
  ask_route(order.submission.sequence);
}

void GatewayState::ask_route(SequenceId sequence) {
  self_->request(coordinator_, config_.route_timeout, AskRoute{sequence, ledger_->failed_generations(sequence)})
      .then([this, sequence](const Route& route) { on_route(sequence, route); },
            [this, sequence](const caf::error&) {
              if (auto terminal =
                      ledger_->on_unroutable(sequence, {StatusCode::kAborted, "no answer from the coordinator"}))
                deliver(*terminal);
            });
}

void GatewayState::on_route(SequenceId sequence, const Route& route) {
  if (!route.to) {
    if (auto terminal = ledger_->on_unroutable(sequence, {StatusCode::kAborted, "no replica is serving"}))
      deliver(*terminal);
    return;
  }
  if (auto submission = ledger_->on_routed(sequence, route.to->generation)) {
    if (replicas_.try_emplace(route.to->generation, route.to->replica).second) watch(self_, route.to->replica);
    self_->send(route.to->replica, RunSequence{through_wire_(std::move(*submission))});
  } else if (ledger_->needs_route(sequence)) {
    ask_route(sequence);  // the replica was lost meanwhile; each ask leaves out one more
  }
}

void GatewayState::on_deltas(const DeltasMade& made) {
  for (const TokenDelta& delta : made.deltas) {
    if (const auto admitted = ledger_->on_delta(delta)) deliver(*admitted);
  }
}

void GatewayState::deliver(const TokenDelta& delta) {
  const auto sink = sinks_.find(delta.sequence);
  HERD_CHECK(sink != sinks_.end(), "an open sequence has a sink");
  const bool taken = sink->second->push(delta);
  if (delta.finish != FinishReason::kNone) {
    sinks_.erase(sink);
  } else if (!taken) {
    on_abort(delta.sequence, {StatusCode::kOverloaded, "the stream's reader is too slow"});
  }
}

void GatewayState::on_abort(SequenceId sequence, const Status& why) {
  const auto aborted = ledger_->on_abort(sequence, why);
  if (!aborted) return;
  if (aborted->running_on) {
    const auto replica = replicas_.find(*aborted->running_on);
    HERD_CHECK(replica != replicas_.end(), "a routed sequence runs on a replica that is known");
    self_->send(replica->second, StopSequence{through_wire_(step::AttemptKey{{}, sequence, 0}).sequence});
  }
  deliver(aborted->terminal);
}

void GatewayState::on_replica_lost(const ReplicaLost& lost) {
  replicas_.erase(lost.replica);
  const auto orphans = ledger_->on_replica_lost(lost.replica, lost.why);
  for (const auto& terminal : orphans.terminal) deliver(terminal);
  for (const SequenceId sequence : orphans.to_route) ask_route(sequence);
}

void GatewayState::on_stop() {
  for (const SequenceId sequence : ledger_->open_sequences())
    on_abort(sequence, {StatusCode::kAborted, "shutting down"});
  ledger_->check_integrity();
  self_->quit();
}

GatewayHandle::behavior_type gateway_actor(GatewayState::Self self, GatewayConfig config,
                                           CoordinatorHandle coordinator) {
  GatewayState& state = self->state;
  state.start(std::move(config), std::move(coordinator));
  return {
      [&state](const SubmitSequence& order) { state.on_submit(order); },
      [&state](const AbortSequence& order) { state.on_abort(order.sequence, {}); },
      [&state](const DeltasMade& made) { state.on_deltas(made); },
      [&state](const ReplicaLost& lost) { state.on_replica_lost(lost); },
      [&state](const StopGateway&) { state.on_stop(); },
      [&state](const AskGatewayStats&) { return state.stats(); },
  };
}

}  // namespace herd::actors
