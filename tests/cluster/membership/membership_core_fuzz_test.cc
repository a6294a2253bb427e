// Random lives of nodes and gateways against what must hold whatever happens: no replica is on two nodes, no generation is handed
// out twice or comes back once it was told as lost, views only go on, what is drained has left once its node has ended it, and when
// all is quiet and nothing is drained everything has a place.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <set>

#include "tests/cluster/membership/membership_harness.h"

namespace herd::membership {
namespace {

using routing::ReplicaGeneration;

constexpr std::uint32_t kReplicas = 3;
const std::vector<std::string> kNodes{"a", "b", "c"};
const std::vector<std::string> kTargets{"a", "b", "c", "replica-0", "replica-1", "replica-2"};

class RandomCluster {
 public:
  explicit RandomCluster(std::uint64_t seed) : random_(seed), cluster_(config()) { gateway_ = cluster_.gateway("g"); }

  void step() {
    const std::size_t which = below(kNodes.size());
    Node& node = nodes_[which];
    switch (below(12)) {
      case 10: return drain(kNodes[which], node);
      case 11: return end_drained(node);
      case 0: return cut(node);
      case 1: return die(node);
      case 2:
      case 3: return connect(which);
      case 4:
      case 5: return ask(node);
      case 6: return serve(node);
      case 7: return lose(node);
      case 8: return below(8) == 0 ? give_up(node) : cluster_.pass(0.5);
      default: return cluster_.pass(below(4) == 0 ? 11 : 0.3);
    }
  }
  // After each event: losses and views of one event are told in that order.
  void check() {
    std::set<ReplicaId> held;
    for (const Node& node : nodes_) {
      const auto told = cluster_.assignments.find(node.peer);
      if (node.peer == PeerId{} || told == cluster_.assignments.end()) continue;
      const Assignment& last = told->second.back();
      // What drains may have an heir elsewhere.
      for (const ReplicaId replica : last.replicas) {
        const bool drains = std::ranges::find(last.draining, replica) != last.draining.end();
        EXPECT_TRUE(drains || held.insert(replica).second) << "on two nodes";
      }
      for (const ReplicaId replica : last.draining) EXPECT_TRUE(is_draining(kNodes[which_of(node)], replica)) << "drains for nothing";
    }
    for (const auto& loss : std::exchange(cluster_.losses[gateway_], {})) lost_.insert(loss.replica);
    for (const auto& view : std::exchange(cluster_.views[gateway_], {})) {
      EXPECT_LT(std::pair(seen_.cluster_epoch, seen_.number), std::pair(view.cluster_epoch, view.number));
      for (const auto& replica : view.replicas) {
        if (replica.state == routing::ReplicaState::kServing) { EXPECT_FALSE(lost_.contains(replica.route.generation)); }
      }
      seen_ = view;
    }
  }
  // All that is drained has left, once every node has ended what it was told to end. Then all nodes begin anew and stay.
  void settle() {
    for (int i = 0; i < 3; ++i)  // an heir may be drained too
      for (Node& node : nodes_) end_drained(node);
    for (std::size_t i = 0; i < kNodes.size(); ++i) {
      if (nodes_[i].peer == PeerId{} || !cluster_.core.settled() || !cluster_.core.drains().takes_nothing(kNodes[i])) continue;
      for (const auto& line : cluster_.core.replica_lines()) EXPECT_NE(line.node, kNodes[i]) << line.why;
    }
    for (const std::string& target : kTargets) {
      EXPECT_TRUE(cluster_.undo(target).status.ok());
      check();
    }
    for (std::size_t i = 0; i < kNodes.size(); ++i) {
      die(nodes_[i]);
      check();
      connect(i);
      check();
    }
    cluster_.pass(20);
    check();
    for (const auto& line : cluster_.core.replica_lines()) EXPECT_FALSE(line.node.empty()) << line.why;
  }

 private:
  struct Node {
    PeerId peer;
    std::uint64_t incarnation = 1;
    std::map<ReplicaId, ReplicaGeneration> forms, serves;  // in this life
  };

  static MembershipConfig config() {
    MembershipConfig config;
    config.replicas = kReplicas;
    config.nodes = kNodes;
    config.gateways = {"g"};
    return config;
  }
  std::size_t below(std::size_t bound) { return random_() % bound; }
  ReplicaId any_replica() { return ReplicaId(static_cast<std::uint32_t>(below(kReplicas))); }
  // What the node was told to hold. It ends what it holds and was not told of.
  bool follows(Node& node, ReplicaId replica) {
    if (node.peer == PeerId{} || !cluster_.assignments.contains(node.peer)) return false;
    for (const Assignment& told : std::exchange(unread_[node.peer], {})) end_others(node, told);
    const auto& told = cluster_.assignments.at(node.peer).back();
    return std::ranges::find(told.replicas, replica) != told.replicas.end();
  }
  static void end_others(Node& node, const Assignment& told) {
    const auto gone = [&](const auto& entry) { return std::ranges::find(told.replicas, entry.first) == told.replicas.end(); };
    std::erase_if(node.forms, gone);
    std::erase_if(node.serves, gone);
  }

  void cut(Node& node) {
    if (node.peer != PeerId{}) cluster_.close(std::exchange(node.peer, {}));
  }
  void die(Node& node) {
    cut(node);
    node.forms.clear();
    node.serves.clear();
    ++node.incarnation;
  }
  void connect(std::size_t which) {
    Node& node = nodes_[which];
    const PeerId before = node.peer;
    node.peer = cluster_.node(kNodes[which], node.incarnation);
    EXPECT_FALSE(cluster_.closed.contains(node.peer));
    std::vector<ReplicaId> held;
    std::vector<routing::ReplicaView> serving;
    for (const auto& [replica, generation] : node.forms) held.push_back(replica);
    for (const auto& [replica, generation] : node.serves) {
      held.push_back(replica);
      serving.push_back(MembershipHarness::serving_view(generation));
    }
    std::ranges::sort(held);
    cluster_.join(node.peer, 2, held, serving);
    if (before != PeerId{}) cluster_.close(before);
    if (cluster_.assignments.contains(node.peer)) unread_[node.peer] = cluster_.assignments.at(node.peer);
  }
  void ask(Node& node) {
    const ReplicaId replica = any_replica();
    if (!follows(node, replica) || node.serves.contains(replica)) return;
    const ReplicaGeneration placed = cluster_.ask(node.peer, replica.value);
    if (placed.epoch == Epoch{}) return;
    EXPECT_LT(newest_[replica], placed.epoch) << "generations rise";
    newest_[replica] = placed.epoch;
    node.forms[replica] = placed;
  }
  void serve(Node& node) {
    const ReplicaId replica = any_replica();
    if (!follows(node, replica) || !node.forms.contains(replica)) return;
    node.serves[replica] = node.forms.extract(replica).mapped();
    cluster_.serve(node.peer, node.serves[replica]);
  }
  void lose(Node& node) {
    const ReplicaId replica = any_replica();
    if (!follows(node, replica) || !node.serves.contains(replica)) return;
    cluster_.lose(node.peer, node.serves.extract(replica).mapped());
  }
  void drain(const std::string& name, Node& node) {
    switch (below(4)) {
      case 0: return (void)cluster_.drain(kTargets[below(kTargets.size())]);
      case 1:
      case 2: return (void)cluster_.undo(kTargets[below(kTargets.size())]);
      default: break;
    }
    if (node.peer == PeerId{}) return;
    cluster_.leave(node.peer);
    if (cluster_.assignments.contains(node.peer)) { EXPECT_TRUE(cluster_.core.drains().leaves(name)); }
  }
  // What it was told to drain has nothing left there.
  void end_drained(Node& node) {
    for (std::uint32_t i = 0; i < kReplicas; ++i) {
      const ReplicaId replica(i);
      if (!follows(node, replica) || !node.serves.contains(replica)) continue;
      const auto& draining = cluster_.assignments.at(node.peer).back().draining;
      if (std::ranges::find(draining, replica) == draining.end()) continue;
      cluster_.lose(node.peer, node.serves.extract(replica).mapped());
    }
  }
  [[nodiscard]] std::size_t which_of(const Node& node) const { return static_cast<std::size_t>(&node - nodes_.data()); }
  [[nodiscard]] bool is_draining(const std::string& name, ReplicaId replica) const {
    return cluster_.core.drains().seconds(replica, name).has_value();
  }
  void give_up(Node& node) {
    const ReplicaId replica = any_replica();
    if (!follows(node, replica)) return;
    node.forms.erase(replica);
    node.serves.erase(replica);
    cluster_.give_up(node.peer, replica.value);
  }

  std::mt19937_64 random_;
  MembershipHarness cluster_;
  std::array<Node, 3> nodes_;
  std::map<PeerId, std::vector<Assignment>> unread_;  // of a join, which may hold two
  std::map<ReplicaId, Epoch> newest_;
  std::set<ReplicaGeneration> lost_;
  routing::ClusterView seen_;
  PeerId gateway_;
};

TEST(MembershipCoreFuzz, WhateverHappensReplicasAreOnOneNodeAndWhatIsLostStaysLost) {
  for (std::uint64_t seed = 0; seed < 300 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomCluster cluster(seed);
    for (int i = 0; i < 200 && !testing::Test::HasFailure(); ++i) {
      cluster.step();
      cluster.check();
    }
    cluster.settle();
  }
}

}  // namespace
}  // namespace herd::membership
