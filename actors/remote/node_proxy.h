#pragma once
// node_proxy: the supervisor of a replica, as a rank's process sees it: what rank and replica say of themselves goes to the node as
// frames.

#include <functional>
#include <memory>

#include "actors/messages/type_ids.h"
#include "actors/remote/frame_port.h"
#include "cluster/replica/group_messages.h"
#include "cluster/routing/replica_loss.h"
#include "runtime/ids.h"

namespace herd::actors {

struct NodeProxyConfig {
  ReplicaId replica;
  std::shared_ptr<FramePort> port;
  // What the node is told of a rank that is ready.
  std::function<replica::RankReadyNote(const RankReady&)> note;
  // The rank ends: it could not be prepared, or is in no known state. After the node was told.
  std::function<void(const Status&)> on_rank_over;
  std::function<void(const routing::ReplicaGeneration&)> on_serving;
  // Its node has been told of the generation's end.
  std::function<void(const routing::ReplicaLoss&)> on_lost;
};

struct NodeProxyState {
  NodeProxyConfig config;
};
SupervisorHandle::behavior_type node_proxy(SupervisorHandle::stateful_pointer<NodeProxyState> self, NodeProxyConfig config);

}  // namespace herd::actors
