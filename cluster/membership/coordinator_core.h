#pragma once
// CoordinatorCore: who is in the cluster, under which generation, and what gateways are told. Pure; events in, effects out.
// Soft state: it could be rebuilt from what replicas say.
//
// Generations: the group epoch of a replica is (cluster epoch << 20) + a counter, so it rises over restarts of the
// coordinator too. The cluster epoch is the wall clock in ms at construction, and at least one more than every one heard of.
//
// Every change pushes one view with the next number. Notices may come late, twice or in another order than they were sent:
// one about an older generation than the last known of its replica changes nothing. What is lost for good is remembered for
// that, until its place in the view (routing::kReplicasMax) is needed.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/node_messages.h"
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

// No clock of a coordinator shows more milliseconds (year 2527), and generations below it fit 64 bits.
inline constexpr Epoch kClusterEpochMax{(std::uint64_t{1} << 44) - 1};

// Whose coordinator made that generation.
[[nodiscard]] Epoch cluster_epoch_of(routing::ReplicaGeneration generation);

class CoordinatorCore {
 public:
  explicit CoordinatorCore(Epoch cluster_epoch);  // at most kClusterEpochMax

  // Another coordinator had that cluster epoch; below kClusterEpochMax.
  void hear_of(Epoch cluster_epoch, CoordinatorEffects& effects);
  // A replica is about to be made (again): its new generation. `returns`: should it be lost, somebody makes it again.
  [[nodiscard]] routing::ReplicaGeneration place(const PlaceAsk& ask, bool returns, CoordinatorEffects& effects);
  // A generation that this coordinator did not place but that serves (it is older than the coordinator) is adopted, as
  // draining when the notice says so. Of a placed one the notice tells route and sequences_max, place() told `returns`.
  void on_serving(const routing::ReplicaView& replica, CoordinatorEffects& effects);
  void on_draining(routing::ReplicaGeneration replica, CoordinatorEffects& effects);
  // Stale and repeated ones change nothing. The loss is pushed before the view that shows it. A generation nobody has told
  // of is remembered as lost, so that its serving notice is stale should it come later.
  void on_lost(const routing::ReplicaLoss& loss, CoordinatorEffects& effects);
  // A lost replica will not come back after all. One that is not lost stays as it is.
  void on_given_up(ReplicaId replica, CoordinatorEffects& effects);

  // Whether that replica, should it be lost or be lost already, is made again. One that nobody told of yet is in the view as lost
  // from here on, under epoch 0.
  void set_returns(ReplicaId replica, bool returns, CoordinatorEffects& effects);

  // What a gateway that joins is told first.
  [[nodiscard]] const routing::ClusterView& view() const { return view_; }
  // The latest cluster epoch of its own and of every generation that it knows.
  [[nodiscard]] Epoch newest() const;
  // Of the view. Null: it is unknown.
  [[nodiscard]] const routing::ReplicaView* find(ReplicaId replica) const;

 private:
  [[nodiscard]] routing::ReplicaView* entry(ReplicaId replica);  // as find()
  routing::ReplicaView& find_or_add(ReplicaId replica);
  // A full view loses the one that was lost for good before all others.
  void make_room();
  void push_view(CoordinatorEffects& effects);

  routing::ClusterView view_;
  std::uint64_t last_epoch_;  // of a generation: the largest placed or adopted
};

}  // namespace herd::membership
