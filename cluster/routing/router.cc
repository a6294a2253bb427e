#include "cluster/routing/router.h"

#include <algorithm>

namespace herd::routing {

void Router::on_replica_serving(ReplicaGeneration replica) {
  const auto lost = lost_.find(replica.replica);
  if (lost != lost_.end() && replica.epoch <= lost->second) return;
  Epoch& epoch = serving_.try_emplace(replica.replica, replica.epoch).first->second;
  epoch = std::max(epoch, replica.epoch);
}

void Router::on_replica_lost(ReplicaGeneration replica) {
  Epoch& lost = lost_.try_emplace(replica.replica, replica.epoch).first->second;
  lost = std::max(lost, replica.epoch);
  const auto serving = serving_.find(replica.replica);
  if (serving != serving_.end() && serving->second <= lost) serving_.erase(serving);
}

std::optional<ReplicaGeneration> Router::pick(std::span<const ReplicaGeneration> excluded) {
  auto candidate = serving_.lower_bound(next_);
  for (std::size_t tried = 0; tried < serving_.size(); ++tried, ++candidate) {
    if (candidate == serving_.end()) candidate = serving_.begin();
    const ReplicaGeneration generation{candidate->first, candidate->second};
    if (std::ranges::find(excluded, generation) != excluded.end()) continue;
    next_ = ReplicaId(generation.replica.value + 1);
    return generation;
  }
  return std::nullopt;
}

std::vector<ReplicaGeneration> Router::serving() const {
  std::vector<ReplicaGeneration> replicas;
  replicas.reserve(serving_.size());
  for (const auto& [replica, epoch] : serving_) replicas.push_back({replica, epoch});
  return replicas;
}

}  // namespace herd::routing
