#include "actors/remote/replica_proxy.h"

#include <utility>

#include "cluster/routing/gateway_join.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"

namespace herd::actors {

void ReplicaProxyState::start(std::shared_ptr<link::Link> link, routing::ReplicaGeneration generation, Epoch cluster_epoch,
                              GatewayHandle gateway) {
  link_ = std::move(link);
  generation_ = generation;
  cluster_epoch_ = cluster_epoch;
  gateway_ = std::move(gateway);
}

void ReplicaProxyState::on_joined(const GatewayJoined& joined) {
  if (std::exchange(joined_, true)) (void)link_->send(wire::encode(routing::GatewayJoin{joined.id, cluster_epoch_, 0}), cluster_epoch_, {});
}

void ReplicaProxyState::on_run(const step::Submission& submission) {
  Status status = link_->send(wire::encode(submission), cluster_epoch_, generation_);
  // Of a connection that has ended the gateway hears anyway.
  if (status.ok() || status.code() == StatusCode::kAborted) return;
  refuse(submission.key(), std::move(status));
}

// One that cannot be sent is not missed: the connection has ended.
void ReplicaProxyState::on_stop(const step::AttemptKey& attempt) {
  (void)link_->send(wire::encode(attempt), cluster_epoch_, generation_);
}

void ReplicaProxyState::refuse(const step::AttemptKey& attempt, Status why) {
  step::TokenDelta delta;
  delta.gateway = attempt.gateway;
  delta.sequence = attempt.sequence;
  delta.attempt = attempt.attempt;
  delta.finish = step::FinishReason::kRefused;
  delta.error = std::move(why);
  caf::anon_send(gateway_, DeltasMade{generation_, {std::move(delta)}});
}

ReplicaHandle::behavior_type replica_proxy(ReplicaProxyState::Self self, std::shared_ptr<link::Link> link,
                                           routing::ReplicaGeneration generation, Epoch cluster_epoch, GatewayHandle gateway) {
  end_process_on_exception(self);
  ReplicaProxyState& state = self->state;
  state.start(std::move(link), generation, cluster_epoch, std::move(gateway));
  return {
      [&state](const GatewayJoined& joined) { state.on_joined(joined); },
      [&state](const RunSequence& order) { state.on_run(order.submission); },
      [&state](const StopSequence& order) { state.on_stop(order.attempt); },
      // Of the replica itself, and for nobody here:
      [](const RankJoined&) {},
      [](const StepDone&) {},
      [](const WakeUp&) {},
      [](const Tick&) {},
      [](const StopReplica&) {},
      [](const BlockRead&) {},
      [](const MoveHeard&) {},
  };
}

}  // namespace herd::actors
