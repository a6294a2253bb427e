#pragma once
// NodeCore: which replicas a node holds, in which of its slots, and what it tells the coordinator, over any number of connections
// with it and any number of lives of it. Pure; events in, effects out.
//
//   assigned --a slot is free--> held (StartReplica) --on_place_ask--> AskPlace --on_placed--> Place --on_serving--> serves
//   held     --not assigned any more, given up, draining--> ending (EndReplica) --on_ended--> its slot is free
//
// An Assignment is the whole list: what is not in it ends, and what it says is draining ends once it has nothing left to do. A replica
// that was given up stays so for as long as it is assigned; a later assignment, after one without it, tries anew. While the coordinator
// is away nothing ends: what serves goes on serving, and what is to be placed waits. What an operator drained it remembers for a
// coordinator that starts again. A new connection begins with NodeJoin, which says all that matters of what happened before it; then
// what is still to be answered is asked again.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/node_messages.h"
#include "cluster/routing/replica_loss.h"

namespace herd::membership {

// Effects, to be carried out in order. To the replicas of this node:
struct StartReplica {
  ReplicaId replica;
  std::size_t slot = 0;
};
struct EndReplica {  // answered by on_ended once none of its ranks is left. A later one for the same replica replaces the earlier
  ReplicaId replica;
  double drain_s = 0;  // it has so long to finish what it has; 0: the steps that are in flight
};
struct Place { routing::ReplicaView view; };  // what its supervisor asked for
// To the coordinator, on the connection of the moment:
struct SayToCoordinator {
  std::variant<NodeJoin, PlaceAsk, Serving, routing::ReplicaLoss, GivenUp, NodeLeaving> message;
};
using NodeEffect = std::variant<StartReplica, EndReplica, Place, SayToCoordinator>;
using NodeEffects = std::vector<NodeEffect>;

class NodeCore {
 public:
  // `slots`: replicas it has room for, [1, kReplicasOfNodeMax].
  explicit NodeCore(std::size_t slots);

  // A connection with the coordinator is open: NodeJoin is the first effect. Until it ends, effects are about this one.
  void on_connected(NodeEffects& effects);
  void on_disconnected();
  // Of a frame from the coordinator.
  void on_epoch(Epoch cluster_epoch);
  void on_assignment(const Assignment& assignment, NodeEffects& effects);
  void on_placed(const Placed& placed, NodeEffects& effects);

  // From the supervisors of its replicas.
  void on_place_ask(const PlaceAsk& ask, NodeEffects& effects);
  void on_serving(const routing::ReplicaView& view, NodeEffects& effects);  // or it drains, as the state says
  void on_lost(const routing::ReplicaLoss& loss, NodeEffects& effects);
  void on_given_up(ReplicaId replica, const Status& why, NodeEffects& effects);
  void on_ended(ReplicaId replica, NodeEffects& effects);

  // From here on nothing is started, and all it holds drains, for so long at the most; [0, 86400]. A later one replaces the earlier.
  void on_stop(double drain_s, NodeEffects& effects);
  // Stopped, and nothing is left.
  [[nodiscard]] bool over() const { return stopping_ && held_.empty(); }
  [[nodiscard]] bool holds(ReplicaId replica) const { return held_.contains(replica); }
  [[nodiscard]] Epoch newest() const { return newest_; }

 private:
  struct Held {
    std::size_t slot = 0;
    bool ending = false;
    double drain_s = 0;                           // ending: as it was told last
    std::optional<PlaceAsk> ask;                  // not answered
    std::optional<routing::ReplicaView> serving;
  };

  [[nodiscard]] NodeJoin join() const;
  [[nodiscard]] std::optional<std::size_t> free_slot() const;
  void say(const decltype(SayToCoordinator::message)& message, NodeEffects& effects) const;
  void end(ReplicaId replica, Held& held, double drain_s, NodeEffects& effects);
  // What is assigned and not there is started, as far as there is room; of the rest it says that there is none, once no slot is
  // about to become free.
  void fill_slots(NodeEffects& effects);

  const std::size_t slots_;
  bool connected_ = false;
  bool stopping_ = false;
  double stop_drain_s_ = 0;
  bool node_drains_ = false;         // as its coordinator said last; likewise the next three
  std::vector<ReplicaId> drained_;
  std::vector<ReplicaId> draining_;
  Epoch newest_;
  std::vector<ReplicaId> assigned_;
  std::map<ReplicaId, Held> held_;
  std::map<ReplicaId, Status> given_up_;  // of those that are assigned
};

}  // namespace herd::membership
