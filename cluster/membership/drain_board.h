#pragma once
// DrainBoard: which nodes and replicas take nothing new: an operator drained them, or the node was told to end. Pure; it knows who is
// meant and for how long it may finish what it has, no place and no connection.
//
// What an operator drained stays so until the operator takes it back, over restarts of nodes and coordinators: nodes keep it for a
// coordinator that starts again, and say it when they join. What an operator told this coordinator itself holds against that: a node
// that was away may not know of it yet.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/membership/node_messages.h"
#include "runtime/ids.h"

namespace herd::membership {

// Of those that nodes keep: how long they were to take is not kept with them.
inline constexpr double kDrainSecondsKept = 30;

class DrainBoard {
 public:
  // An operator says so. `drain_s`: what has not moved or finished by then is parked.
  void drain(const std::string& node, double drain_s) { nodes_[node] = drain_s; }
  void drain(ReplicaId replica, double drain_s) { replicas_[replica] = drain_s; }
  // It takes work again. False: no operator had drained it.
  bool undo(const std::string& node);
  bool undo(ReplicaId replica);
  // That node is about to end, until a later life of it joins.
  void on_leaving(const std::string& node, double drain_s) { leaving_[node] = drain_s; }
  // A node joined. `fresh`: in a life that joins for the first time. `replicas`: of the cluster; of others it may keep what it likes.
  void on_join(const std::string& node, const NodeJoin& join, bool fresh, std::uint32_t replicas);
  // That node will not come back under this name.
  void forget(const std::string& node);

  // An operator drained it.
  [[nodiscard]] bool is_drained(const std::string& node) const { return seconds_in(nodes_, node).has_value(); }
  [[nodiscard]] bool is_drained(ReplicaId replica) const { return seconds_in(replicas_, replica).has_value(); }
  [[nodiscard]] bool leaves(const std::string& node) const { return leaving_.contains(node); }
  // For either reason.
  [[nodiscard]] bool takes_nothing(const std::string& node) const { return leaves(node) || is_drained(node); }
  // That an operator drained; rising.
  [[nodiscard]] std::vector<std::string> nodes() const { return drained_in(nodes_); }
  [[nodiscard]] std::vector<ReplicaId> replicas() const { return drained_in(replicas_); }
  // Both by name: nodes, then replicas.
  [[nodiscard]] std::vector<std::string> names() const;
  // Nodes that take nothing new, for either reason; rising.
  [[nodiscard]] std::vector<std::string> idle_nodes() const;
  // How long that replica, which is on that node, may finish what it has; nullopt: it is not to end.
  [[nodiscard]] std::optional<double> seconds(ReplicaId replica, const std::string& node) const;

 private:
  // Absent: nobody has said anything of it. nullopt: it was taken back.
  template <class Key>
  using Words = std::map<Key, std::optional<double>>;

  template <class Key>
  [[nodiscard]] static std::vector<Key> drained_in(const Words<Key>& words) {
    std::vector<Key> drained;
    for (const auto& [key, seconds] : words)
      if (seconds) drained.push_back(key);
    return drained;
  }
  template <class Key>
  [[nodiscard]] static std::optional<double> seconds_in(const Words<Key>& words, const Key& key) {
    const auto word = words.find(key);
    return word == words.end() ? std::nullopt : word->second;
  }

  Words<std::string> nodes_;
  Words<ReplicaId> replicas_;
  std::map<std::string, double> leaving_;
};

}  // namespace herd::membership
