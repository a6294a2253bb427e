#include "cluster/membership/replica_places.h"

#include <algorithm>
#include <utility>

#include "cluster/report/drain_progress.h"
#include "kernels/check.h"

namespace herd::membership {

ReplicaPlaces::ReplicaPlaces(std::uint32_t replicas, const std::vector<std::string>& listed, bool any_node)
    : any_node_(any_node), places_(replicas), heirs_(replicas) {
  for (const std::string& name : listed) nodes_.push_back({.name = name, .listed = true});
}

void ReplicaPlaces::set_listed(const std::vector<std::string>& listed) {
  for (const std::string& name : listed) find_or_add(name).listed = true;
  for (Node& node : nodes_)
    if (std::exchange(node.listed, std::ranges::count(listed, node.name) > 0) && !node.listed) node.given_up = true;
  forget_strangers();
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
  if (is_heir(replica, node)) heirs_[replica.value].clear();
  if (is_at(replica, node)) release(replica);
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
    if (const std::string& heir = heirs_[i]; !heir.empty() && (!needs_heir(replica) || !may_hold(*find(heir), replica))) heirs_[i].clear();
    const bool as_heir = needs_heir(replica);
    if (as_heir ? !heirs_[i].empty() : !needs_place(replica)) continue;
    const Node* best = best_for(replica);
    if (best == nullptr) continue;
    moves.push_back({replica, places_[i], best->name, as_heir});
    (as_heir ? heirs_[i] : places_[i]) = best->name;
  }
  if (!moves.empty()) forget_strangers();
  return moves;
}

void ReplicaPlaces::release(ReplicaId replica) { places_[replica.value] = std::exchange(heirs_[replica.value], {}); }

std::vector<ReplicaId> ReplicaPlaces::of(const std::string& node) const {
  std::vector<ReplicaId> replicas;
  for (std::uint32_t i = 0; i < places_.size(); ++i)
    if (places_[i] == node) replicas.emplace_back(i);
  return replicas;
}

Assignment ReplicaPlaces::assignment(const std::string& node) const {
  Assignment assignment;
  assignment.node_drains = drains_.is_drained(node);
  assignment.drained = drains_.replicas();
  for (std::uint32_t i = 0; i < places_.size(); ++i) {
    const ReplicaId replica(i);
    if (!is_at(replica, node) && !is_heir(replica, node)) continue;
    assignment.replicas.push_back(replica);
    if (!is_at(replica, node) || !is_draining(replica)) continue;
    assignment.draining.push_back(replica);
    assignment.drain_s = std::max(assignment.drain_s, *drains_.seconds(replica, node));
  }
  return assignment;
}

std::vector<std::string> ReplicaPlaces::nodes() const {
  std::vector<std::string> names;
  for (const Node& node : nodes_) names.push_back(node.name);
  return names;
}

bool ReplicaPlaces::is_here(const std::string& node) const {
  const Node* known = find(node);
  return known != nullptr && known->here;
}

bool ReplicaPlaces::is_given_up(const std::string& node) const {
  const Node* known = find(node);
  return known != nullptr && known->given_up;
}

bool ReplicaPlaces::is_refused(ReplicaId replica, const std::string& node) const {
  const Node* known = find(node);
  return known != nullptr && known->refused.contains(replica);
}

bool ReplicaPlaces::may_return(ReplicaId replica) const {
  // An operator may take it back.
  if (any_node_ || !node_of(replica).empty() || drains_.is_drained(replica)) return true;
  return std::ranges::any_of(nodes_, [&](const Node& node) {
    return (!node.here || drains_.takes_nothing(node.name)) && !node.refused.contains(replica);
  });
}

std::string ReplicaPlaces::why_it_leaves(ReplicaId replica) const {
  const std::string& node = node_of(replica);
  if (drains_.leaves(node)) return "node " + node + " is about to end";
  return drains_.is_drained(node) ? "node " + node + " is drained" : "an operator drained it";
}

std::string ReplicaPlaces::why_no_place(ReplicaId replica) const {
  if (drains_.is_drained(replica)) return "it is drained; herd drain " + report::replica_name(replica) + " --undo takes that back";
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
  return static_cast<std::size_t>(std::ranges::count(places_, node.name) + std::ranges::count(heirs_, node.name));
}

bool ReplicaPlaces::may_hold(const Node& node, ReplicaId replica) const {
  return !node.given_up && !node.refused.contains(replica) && !drains_.takes_nothing(node.name);
}

const ReplicaPlaces::Node* ReplicaPlaces::best_for(ReplicaId replica) const {
  const Node* best = nullptr;
  for (const Node& node : nodes_) {
    const bool has_room = node.here && may_hold(node, replica) && held(node) < node.replicas_max;
    if (has_room && (best == nullptr || held(node) < held(*best))) best = &node;
  }
  return best;
}

bool ReplicaPlaces::needs_place(ReplicaId replica) const {
  const std::string& node = node_of(replica);
  return !drains_.is_drained(replica) && (node.empty() || find(node)->given_up);
}

bool ReplicaPlaces::needs_heir(ReplicaId replica) const {
  const std::string& node = node_of(replica);
  return !drains_.is_drained(replica) && !node.empty() && !find(node)->given_up && drains_.takes_nothing(node);
}

std::string ReplicaPlaces::lacks(const Node& node, ReplicaId replica) const {
  if (const auto refused = node.refused.find(replica); refused != node.refused.end())
    return node.name + " cannot have it (" + refused->second.why + ")";
  if (drains_.is_drained(node.name)) return node.name + " is drained";
  if (!node.here) return node.name + " is not there";
  if (drains_.leaves(node.name)) return node.name + " is about to end";
  return node.name + " has " + std::to_string(held(node)) + " of the " + std::to_string(node.replicas_max) + " it has room for";
}

}  // namespace herd::membership
