#pragma once
// ReplicaPlaces: which node holds which replica of the cluster, and who else could. Pure; knows no time and no generation.
//
// A replica stays with its node, also while that is away. One without a node, or whose node is given up, goes to the node with room
// that holds the fewest, of equals the first in the file: as cluster_plan.h plans it for nodes that are all there. A node that
// refused a replica is not given it again in the same life, unless what the cluster computes was all that was against it.
//
// A node that takes nothing new (DrainBoard) gets none. Each of its replicas has an heir as soon as there is a node with room: that
// makes it ready while the other still serves it, and then has its place. A drained replica keeps its place for as long as it serves.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cluster/membership/drain_board.h"
#include "runtime/ids.h"

namespace herd::membership {

class ReplicaPlaces {
 public:
  // `listed`: nodes in the order of the file. `any_node`: others may come.
  ReplicaPlaces(std::uint32_t replicas, const std::vector<std::string>& listed, bool any_node);

  // The file lists others now. One that is gone from it is forgotten once it holds nothing.
  void set_listed(const std::vector<std::string>& listed);
  // It has room for so many. `fresh`: a life of it that has refused nothing yet.
  void on_here(const std::string& node, std::uint32_t replicas_max, bool fresh);
  void on_away(const std::string& node);
  // It stayed away for too long.
  void on_given_up(const std::string& node);
  struct Refusal {
    std::string why;
    std::string numerics_class;  // in which the cluster computes otherwise; empty: for another reason
  };
  // It cannot hold that replica, which has no place from here on if it was there.
  void refuse(ReplicaId replica, const std::string& node, Refusal refusal);
  // Forgets the refusals for the numerics of such classes. Whether there were any.
  bool forget_refusals(const std::function<bool(const std::string& numerics_class)>& is_over);
  // The node has it. Only one without a place.
  void adopt(ReplicaId replica, const std::string& node);
  struct Move {
    ReplicaId replica;
    std::string from;  // empty: it had no place
    std::string to;
    bool as_heir = false;  // it has it from there on once that serves
  };
  // Gives a place, or an heir, to all that need one, as far as there is room.
  [[nodiscard]] std::vector<Move> fill();
  // It has ended where it is to end: its heir has its place from here on, or nobody.
  void release(ReplicaId replica);

  // Whoever changes it calls fill() next.
  [[nodiscard]] DrainBoard& drains() { return drains_; }
  [[nodiscard]] const DrainBoard& drains() const { return drains_; }
  // It is to end where it is.
  [[nodiscard]] bool is_draining(ReplicaId replica) const {
    return !node_of(replica).empty() && drains_.seconds(replica, node_of(replica)).has_value();
  }

  [[nodiscard]] bool is_known(ReplicaId replica) const { return replica.value < places_.size(); }
  [[nodiscard]] std::uint32_t replicas() const { return static_cast<std::uint32_t>(places_.size()); }
  // Empty: it has none. Of a replica of the cluster.
  [[nodiscard]] const std::string& node_of(ReplicaId replica) const { return places_[replica.value]; }
  [[nodiscard]] bool is_at(ReplicaId replica, const std::string& node) const {
    return is_known(replica) && !node.empty() && node_of(replica) == node;
  }
  // Empty: it has none.
  [[nodiscard]] const std::string& heir_of(ReplicaId replica) const { return heirs_[replica.value]; }
  [[nodiscard]] bool is_heir(ReplicaId replica, const std::string& node) const {
    return is_known(replica) && !node.empty() && heir_of(replica) == node;
  }
  [[nodiscard]] std::vector<ReplicaId> of(const std::string& node) const;  // that have their place there; rising
  // What the node is to hold: these, and those whose heir it is.
  [[nodiscard]] Assignment assignment(const std::string& node) const;
  [[nodiscard]] std::vector<std::string> nodes() const;  // names, of those that is_node() says
  // Listed, or it has come and may come back.
  [[nodiscard]] bool is_node(const std::string& node) const { return find(node) != nullptr; }
  [[nodiscard]] bool is_here(const std::string& node) const;
  [[nodiscard]] bool is_given_up(const std::string& node) const;
  [[nodiscard]] bool is_refused(ReplicaId replica, const std::string& node) const;
  // It has a place, or a node may come that takes it.
  [[nodiscard]] bool may_return(ReplicaId replica) const;
  // Of one that is_draining().
  [[nodiscard]] std::string why_it_leaves(ReplicaId replica) const;
  // What each node lacks for that replica.
  [[nodiscard]] std::string why_no_place(ReplicaId replica) const;

 private:
  struct Node {
    std::string name;
    bool listed = false;
    bool here = false;
    bool given_up = false;
    std::uint32_t replicas_max = 0;  // as it said last
    std::map<ReplicaId, Refusal> refused{};
  };

  // Nodes that came unlisted, were given up and hold nothing.
  void forget_strangers();
  [[nodiscard]] const Node* find(const std::string& node) const;
  [[nodiscard]] Node& find_or_add(const std::string& node);
  [[nodiscard]] std::size_t held(const Node& node) const;
  // Whether it would be given it, were it here with room.
  [[nodiscard]] bool may_hold(const Node& node, ReplicaId replica) const;
  [[nodiscard]] bool needs_place(ReplicaId replica) const;
  [[nodiscard]] bool needs_heir(ReplicaId replica) const;
  [[nodiscard]] const Node* best_for(ReplicaId replica) const;  // null: none has room
  [[nodiscard]] std::string lacks(const Node& node, ReplicaId replica) const;

  bool any_node_;
  DrainBoard drains_;
  std::vector<Node> nodes_;          // in the order of preference
  std::vector<std::string> places_;  // nodes, by replica
  std::vector<std::string> heirs_;   // likewise
};

}  // namespace herd::membership
