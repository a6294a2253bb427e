#pragma once
// A status of a cluster, made by hand.

#include <cstdint>
#include <memory>
#include <string>

#include "actors/client/cluster_status.h"

namespace herd::pages {

inline void add_replica(actors::ClusterStatus& status, routing::ReplicaState state, std::uint64_t epoch = 1, bool heard = true,
                        bool returns = true, std::uint64_t tokens = 0) {
  const ReplicaId id(static_cast<std::uint32_t>(status.replicas.size()));
  routing::ReplicaView view;
  view.route.generation = {id, Epoch(epoch)};
  view.route.address = "10.0.0.1:" + std::to_string(7000 + id.value);
  view.state = state;
  view.returns = returns;
  status.view.replicas.push_back(view);
  actors::ReplicaStatus one;
  one.replica = id;
  one.serving = heard && state == routing::ReplicaState::kServing;
  one.scheduler.tokens_emitted = tokens;
  status.replicas.push_back(one);
}

}  // namespace herd::pages
