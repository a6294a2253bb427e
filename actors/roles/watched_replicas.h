#pragma once
// A replica that died without a word, as those who watched it learn it.

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "actors/messages/type_ids.h"

namespace herd::actors {

using WatchedReplicas = std::map<routing::ReplicaGeneration, ReplicaHandle>;

// Its loss, when the actor that ended is one of these; nothing when it had said so itself.
inline std::optional<routing::ReplicaLoss> replica_that_died(const WatchedReplicas& replicas, const caf::actor_addr& source) {
  const auto dead = std::ranges::find_if(replicas, [&](const auto& known) { return is_same(known.second, source); });
  if (dead == replicas.end()) return std::nullopt;
  routing::ReplicaLoss loss;
  loss.replica = dead->first;
  loss.cause = routing::LossCause::kKilled;
  loss.why = {StatusCode::kAborted, "replica " + std::to_string(dead->first.replica.value) + " died"};
  return loss;
}

}  // namespace herd::actors
