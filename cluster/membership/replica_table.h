#pragma once
// ReplicaTable: the replicas of a cluster: which node holds each, under which generation, and why one does not serve. Pure; it
// knows nodes by name, no connection and no time. What it decided since it was asked last is taken with take_changes().
//
// All replicas of a class of numerics (docs/numerics.md; CPUs are one) compute the same bits, or a stream that moves between them
// would not go on as it began: the first sets the id, and a node that would make another does not get the replica, for as long as
// some replica is made or serves under that id, or its node forms it again.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cluster/membership/coordinator_core.h"
#include "cluster/membership/membership_effects.h"
#include "cluster/membership/node_messages.h"
#include "cluster/membership/replica_places.h"
#include "cluster/report/process_report.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"

namespace herd::membership {

// What gateways are to hear, losses before the view; and notes.
struct TableChanges {
  std::vector<routing::ReplicaLoss> losses;
  std::vector<MembershipNote> notes;
  bool view = false;
};

// What a node says to serve of that replica. Null: nothing.
[[nodiscard]] const routing::ReplicaView* serving_in(const NodeJoin& join, ReplicaId replica);

class ReplicaTable {
 public:
  ReplicaTable(ReplicaPlaces places, Epoch wall_ms)
      : core_(wall_ms), places_(std::move(places)), why_(places_.replicas()), reforms_(places_.replicas()) {}

  [[nodiscard]] ReplicaPlaces& places() { return places_; }
  [[nodiscard]] const ReplicaPlaces& places() const { return places_; }
  [[nodiscard]] const routing::ClusterView& view() const { return core_.view(); }

  // Below kClusterEpochMax.
  void hear_of(Epoch cluster_epoch);
  [[nodiscard]] Epoch newest_epoch() const { return core_.newest(); }
  // Of a replica that is placed on that node, or whose heir it is: then it has its place from here on. False: it does not fit there,
  // and is nothing of it now.
  [[nodiscard]] bool place(const std::string& node, const PlaceAsk& ask);
  // Likewise. False: it changed nothing.
  bool serve(const std::string& node, const routing::ReplicaView& view);
  void on_lost(const routing::ReplicaLoss& loss);
  // Its generation, if it has one that is not lost yet.
  void lose(ReplicaId replica, const std::string& why, routing::LossCause cause = routing::LossCause::kKilled);
  // That node cannot hold it. `numerics_class`: the cluster computes otherwise, in that class; empty: for another reason.
  void give_up(ReplicaId replica, const std::string& node, const std::string& why, const std::string& numerics_class = {});
  // A node came that holds some of them already: those without a place stay with it.
  void adopt(const std::string& node, const std::vector<ReplicaId>& held);
  // What the node holds, by `join`, against what is known of its replicas: lost is what it does not serve any more. `fresh`: in
  // an earlier life it held something else. Those that have to end before they form again are returned: the others know them as lost.
  [[nodiscard]] std::vector<ReplicaId> compare(const std::string& node, const NodeJoin& join, bool fresh);
  // What is to end where it is takes nothing new, and has left when it does not serve there. Places what needs a place, and says
  // whether lost ones return. How many were placed.
  std::uint32_t fill();
  // Nobody is left who computes anything.
  void forget_numerics() { numerics_.clear(); }
  // Forgets the ids that no replica has any more, and that nodes were refused because of them. True: a replica may have a place again
  // that fill() did not find.
  bool forget_unused_numerics();

  [[nodiscard]] TableChanges take_changes() { return std::exchange(changes_, {}); }
  [[nodiscard]] const routing::ReplicaView* find(ReplicaId replica) const { return core_.find(replica); }
  // For a person. After the first fill().
  [[nodiscard]] report::ReplicaReportLine line(ReplicaId replica) const;

 private:
  [[nodiscard]] bool fits(const std::string& node, ReplicaId replica, const routing::NumericsId& numerics);
  [[nodiscard]] bool is_live(ReplicaId replica) const;
  void drain(ReplicaId replica);
  // It is over where it was: its heir has its place, or nobody.
  void leave(ReplicaId replica);
  [[nodiscard]] std::string why_it_drains(ReplicaId replica) const;
  [[nodiscard]] bool is_used(const routing::NumericsId& numerics) const;
  void take(CoordinatorEffects said);
  void note(const char* event, const std::string& node, const std::string& what, bool is_warning = false);

  CoordinatorCore core_;
  ReplicaPlaces places_;
  std::vector<std::string> why_;  // by replica: why it does not serve, as it was said last
  std::vector<bool> reforms_;     // by replica: should it be lost, the node that had it makes the same again
  std::map<std::string, routing::NumericsId> numerics_;  // of the cluster, by class
  TableChanges changes_;
};

}  // namespace herd::membership
