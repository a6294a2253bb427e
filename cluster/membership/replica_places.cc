#include "cluster/membership/replica_places.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::membership {

ReplicaPlaces::ReplicaPlaces(std::uint32_t replicas, const std::vector<std::string>& listed, bool any_node)
    : any_node_(any_node), places_(replicas) {
  for (const std::string& name : listed) nodes_.push_back({.name = name, .listed = true});
}

void ReplicaPlaces::on_here(const std::string& node, std::uint32_t replicas_max, bool fresh) {
  Node& joined = find_or_add(node);
  joined.here = true;
  joined.given_up = false;
  joined.replicas_max = replicas_max;
  if (fresh) joined.refused.clear();
}

void ReplicaPlaces::on_away(const std::string& node) { find_or_add(node).here = false; }

void ReplicaPlaces::on_given_up(const std::string& node) {
  find_or_add(node).given_up = true;
  forget_strangers();
}

void ReplicaPlaces::refuse(ReplicaId replica, const std::string& node, Refusal refusal) {
  find_or_add(node).refused[replica] = std::move(refusal);
  if (is_at(replica, node)) places_[replica.value].clear();
}

bool ReplicaPlaces::forget_refusals(const std::function<bool(const std::string& numerics_class)>& is_over) {
  std::size_t forgotten = 0;
  for (Node& node : nodes_)
    forgotten += std::erase_if(node.refused, [&](const auto& refused) {
      const std::string& numerics_class = refused.second.numerics_class;
      return !numerics_class.empty() && is_over(numerics_class);
    });
  return forgotten > 0;
}

void ReplicaPlaces::adopt(ReplicaId replica, const std::string& node) {
  HERD_CHECK(is_known(replica) && node_of(replica).empty(), "only a replica without a place is adopted");
  places_[replica.value] = node;
}

std::vector<ReplicaPlaces::Move> ReplicaPlaces::fill() {
  std::vector<Move> moves;
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    const ReplicaId replica(i);
    if (!needs_place(replica)) continue;
    const Node* best = nullptr;
    for (const Node& node : nodes_)
      if (has_room(node, replica) && (best == nullptr || held(node) < held(*best))) best = &node;
    if (best == nullptr) continue;
    moves.push_back({replica, places_[i], best->name});
    places_[i] = best->name;
  }
  if (!moves.empty()) forget_strangers();
  return moves;
}

std::vector<ReplicaId> ReplicaPlaces::of(const std::string& node) const {
  std::vector<ReplicaId> replicas;
  for (std::uint32_t i = 0; i < places_.size(); ++i)
    if (places_[i] == node) replicas.emplace_back(i);
  return replicas;
}

bool ReplicaPlaces::is_here(const std::string& node) const {
  const Node* known = find(node);
  return known != nullptr && known->here;
}

bool ReplicaPlaces::is_refused(ReplicaId replica, const std::string& node) const {
  const Node* known = find(node);
  return known != nullptr && known->refused.contains(replica);
}

bool ReplicaPlaces::may_return(ReplicaId replica) const {
  if (any_node_ || !node_of(replica).empty()) return true;
  return std::ranges::any_of(nodes_, [&](const Node& node) { return !node.here && !node.refused.contains(replica); });
}

std::string ReplicaPlaces::why_no_place(ReplicaId replica) const {
  std::string text;
  for (const Node& node : nodes_) text += (text.empty() ? "no node has room for it: " : "; ") + lacks(node, replica);
  return text.empty() ? "no node has joined" : text;
}

void ReplicaPlaces::forget_strangers() {
  std::erase_if(nodes_, [&](const Node& node) { return node.given_up && !node.listed && held(node) == 0; });
}

const ReplicaPlaces::Node* ReplicaPlaces::find(const std::string& node) const {
  const auto found = std::ranges::find(nodes_, node, &Node::name);
  return found == nodes_.end() ? nullptr : &*found;
}

ReplicaPlaces::Node& ReplicaPlaces::find_or_add(const std::string& node) {
  if (const Node* known = find(node)) return const_cast<Node&>(*known);
  return nodes_.emplace_back(Node{.name = node});
}

std::size_t ReplicaPlaces::held(const Node& node) const {
  return static_cast<std::size_t>(std::ranges::count(places_, node.name));
}

bool ReplicaPlaces::has_room(const Node& node, ReplicaId replica) const {
  return node.here && !node.refused.contains(replica) && held(node) < node.replicas_max;
}

bool ReplicaPlaces::needs_place(ReplicaId replica) const {
  const std::string& node = node_of(replica);
  return node.empty() || find(node)->given_up;
}

std::string ReplicaPlaces::lacks(const Node& node, ReplicaId replica) const {
  if (const auto refused = node.refused.find(replica); refused != node.refused.end())
    return node.name + " cannot have it (" + refused->second.why + ")";
  if (!node.here) return node.name + " is not there";
  return node.name + " has " + std::to_string(held(node)) + " of the " + std::to_string(node.replicas_max) + " it has room for";
}

}  // namespace herd::membership
