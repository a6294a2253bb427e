#include "cluster/membership/coordinator_core.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::membership {
namespace {

// Places for generations below one cluster epoch. A million lives do not pass within the millisecond after which a later
// coordinator's epoch would begin, so a carry would do no harm.
constexpr std::uint32_t kGenerationBits = 20;

routing::ReplicaState serving_state(routing::ReplicaState said) {
  return said == routing::ReplicaState::kDraining ? said : routing::ReplicaState::kServing;
}

}  // namespace

Epoch cluster_epoch_of(routing::ReplicaGeneration generation) { return Epoch(generation.epoch.value >> kGenerationBits); }

CoordinatorCore::CoordinatorCore(Epoch cluster_epoch) : last_epoch_(cluster_epoch.value << kGenerationBits) {
  HERD_CHECK(cluster_epoch <= kClusterEpochMax, "a cluster epoch is a time in milliseconds");
  view_.cluster_epoch = cluster_epoch;
}

void CoordinatorCore::hear_of(Epoch cluster_epoch, CoordinatorEffects& effects) {
  if (cluster_epoch < view_.cluster_epoch) return;
  HERD_CHECK(cluster_epoch < kClusterEpochMax, "a cluster epoch is a time in milliseconds");
  view_.cluster_epoch = Epoch(cluster_epoch.value + 1);
  last_epoch_ = std::max(last_epoch_, view_.cluster_epoch.value << kGenerationBits);
  push_view(effects);
}

routing::ReplicaGeneration CoordinatorCore::place(const PlaceAsk& ask, bool returns, CoordinatorEffects& effects) {
  const routing::ReplicaGeneration generation{ask.replica, Epoch(++last_epoch_)};
  find_or_add(ask.replica) = {.route = {generation, ask.address, ask.numerics},
                              .state = routing::ReplicaState::kMaking,
                              .returns = returns,
                              .sequences_max = ask.sequences_max,
                              .max_model_len = ask.max_model_len};
  push_view(effects);
  return generation;
}

void CoordinatorCore::on_serving(const routing::ReplicaView& replica, CoordinatorEffects& effects) {
  const routing::ReplicaGeneration generation = replica.route.generation;
  const routing::ReplicaView* known = find(generation.replica);
  const bool placed = known != nullptr && known->route.generation == generation;
  if (placed && known->state != routing::ReplicaState::kMaking) return;
  if (known != nullptr && generation.epoch < known->route.generation.epoch) return;
  routing::ReplicaView serving = replica;
  serving.state = serving_state(replica.state);
  if (placed) serving.returns = known->returns;
  find_or_add(generation.replica) = std::move(serving);
  last_epoch_ = std::max(last_epoch_, generation.epoch.value);
  push_view(effects);
}

void CoordinatorCore::on_draining(routing::ReplicaGeneration replica, CoordinatorEffects& effects) {
  routing::ReplicaView* known = entry(replica.replica);
  if (known == nullptr || known->route.generation != replica || known->state != routing::ReplicaState::kServing) return;
  known->state = routing::ReplicaState::kDraining;
  push_view(effects);
}

void CoordinatorCore::on_lost(const routing::ReplicaLoss& loss, CoordinatorEffects& effects) {
  routing::ReplicaView* known = entry(loss.replica.replica);
  if (known != nullptr) {
    if (loss.replica.epoch < known->route.generation.epoch) return;
    if (loss.replica == known->route.generation && known->state == routing::ReplicaState::kLost) return;
  }
  routing::ReplicaView& lost = find_or_add(loss.replica.replica);
  if (known == nullptr) lost.returns = false;
  lost.route.generation = loss.replica;
  lost.state = routing::ReplicaState::kLost;
  last_epoch_ = std::max(last_epoch_, loss.replica.epoch.value);
  effects.emplace_back(PushLoss{loss});
  push_view(effects);
}

void CoordinatorCore::on_given_up(ReplicaId replica, CoordinatorEffects& effects) {
  routing::ReplicaView* known = entry(replica);
  if (known == nullptr || known->state != routing::ReplicaState::kLost || !known->returns) return;
  known->returns = false;
  push_view(effects);
}

void CoordinatorCore::set_returns(ReplicaId replica, bool returns, CoordinatorEffects& effects) {
  const bool is_new = find(replica) == nullptr;
  routing::ReplicaView& known = find_or_add(replica);
  if (is_new) known.state = routing::ReplicaState::kLost;
  else if (known.returns == returns) return;
  known.returns = returns;
  if (known.state == routing::ReplicaState::kLost) push_view(effects);
}

Epoch CoordinatorCore::newest() const { return std::max(view_.cluster_epoch, Epoch(last_epoch_ >> kGenerationBits)); }

const routing::ReplicaView* CoordinatorCore::find(ReplicaId replica) const {
  const auto found = std::ranges::find(view_.replicas, replica,
                                       [](const routing::ReplicaView& known) { return known.route.generation.replica; });
  return found == view_.replicas.end() ? nullptr : &*found;
}
routing::ReplicaView* CoordinatorCore::entry(ReplicaId replica) {
  return const_cast<routing::ReplicaView*>(find(replica));
}

routing::ReplicaView& CoordinatorCore::find_or_add(ReplicaId replica) {
  if (routing::ReplicaView* known = entry(replica)) return *known;
  make_room();
  const auto place = std::ranges::lower_bound(view_.replicas, replica, {}, [](const routing::ReplicaView& known) {
    return known.route.generation.replica;
  });
  routing::ReplicaView added;
  added.route.generation.replica = replica;
  return *view_.replicas.insert(place, std::move(added));
}

void CoordinatorCore::make_room() {
  if (view_.replicas.size() < routing::kReplicasMax) return;
  const auto lost_for_good = [](const routing::ReplicaView& replica) {
    return replica.state == routing::ReplicaState::kLost && !replica.returns;
  };
  auto oldest = view_.replicas.end();
  for (auto replica = view_.replicas.begin(); replica != view_.replicas.end(); ++replica) {
    if (!lost_for_good(*replica)) continue;
    if (oldest == view_.replicas.end() || replica->route.generation.epoch < oldest->route.generation.epoch) oldest = replica;
  }
  if (oldest != view_.replicas.end()) view_.replicas.erase(oldest);
}

void CoordinatorCore::push_view(CoordinatorEffects& effects) {
  ++view_.number;
  effects.emplace_back(PushView{view_});
}

}  // namespace herd::membership
