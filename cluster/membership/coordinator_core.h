#pragma once
// CoordinatorCore: who is in the cluster, under which generation, and what gateways are told. Pure; events in, effects out.
// Soft state: it could be rebuilt from what replicas say.
//
// Generations: the group epoch of a replica is (cluster epoch << 20) + a counter, so it rises over restarts of the
// coordinator too. The cluster epoch is given at construction: max(wall clock in ms, every epoch heard of + 1).

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"

namespace herd::membership {

// To every gateway that joined.
struct PushView {
  routing::ClusterView view;
};
struct PushLoss {
  routing::ReplicaLoss loss;
};
using CoordinatorEffect = std::variant<PushView, PushLoss>;
using CoordinatorEffects = std::vector<CoordinatorEffect>;

class CoordinatorCore {
 public:
  explicit CoordinatorCore(Epoch cluster_epoch);

  // A replica is about to be made (again): its new generation. `returns`: should it be lost, somebody makes it again.
  [[nodiscard]] routing::ReplicaGeneration place(ReplicaId replica, const std::string& address,
                                                 const routing::NumericsId& numerics, std::uint32_t sequences_max,
                                                 bool returns, CoordinatorEffects& effects);
  // A generation that this coordinator did not place but that serves (it is older than the coordinator) is adopted.
  void on_serving(const routing::ReplicaView& replica, CoordinatorEffects& effects);
  void on_draining(routing::ReplicaGeneration replica, CoordinatorEffects& effects);
  // Stale and repeated ones change nothing.
  void on_lost(const routing::ReplicaLoss& loss, CoordinatorEffects& effects);
  // A lost replica will not come back after all.
  void on_given_up(ReplicaId replica, CoordinatorEffects& effects);

  // What a gateway that joins is told first.
  [[nodiscard]] const routing::ClusterView& view() const;

 private:
  // … the owner of this file fills in what it keeps.
};

}  // namespace herd::membership
