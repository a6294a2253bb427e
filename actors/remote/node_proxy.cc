#include "actors/remote/node_proxy.h"

#include <utility>

#include "cluster/membership/node_messages.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/membership_codec.h"

namespace herd::actors {

SupervisorHandle::behavior_type node_proxy(SupervisorHandle::stateful_pointer<NodeProxyState> self, NodeProxyConfig config) {
  NodeProxyState& state = self->state;
  state.config = std::move(config);
  end_process_on_exception(self);
  return {
      [&state](const RankReady& ready) {
        state.config.port->send(wire::encode(state.config.note(ready)));
        if (!ready.status.ok()) state.config.on_rank_over(ready.status);
      },
      [&state](const RankLeft& left) {
        state.config.port->send(wire::encode(replica::RankLeftNote{left.epoch}), {state.config.replica, left.epoch});
      },
      [](const RankLeaving&) {},  // its process says so
      [&state](const RankFailed& failed) {
        state.config.port->send(wire::encode(replica::RankFailedNote{failed.why}));
        state.config.on_rank_over(failed.why);
      },
      [](const ReplicaPlaced&) {},  // a node has it placed; likewise below
      [&state](const ReplicaServing& serving) {
        state.config.port->send(wire::encode(membership::Serving{serving.view}), serving.view.route.generation);
        state.config.on_serving(serving.view.route.generation);
      },
      [&state](const ReplicaLost& lost) {
        state.config.port->send(wire::encode(replica::GenerationEnded{lost.loss, lost.last}), lost.loss.replica);
        state.config.on_lost(lost.loss);
      },
      [](const WakeUp&) {},
      [](const StopReplica&) {},
      [](const SetBudget&) {},
      [](const AwaitServing&) { return Status(StatusCode::kInternal, "a node waits for its replicas"); },
      [](const FindRank&) { return RankHandle(); },
  };
}

}  // namespace herd::actors
