#include "cluster/membership/node_core.h"

#include <algorithm>

#include "kernels/check.h"

namespace herd::membership {
namespace {

bool is_in(const std::vector<ReplicaId>& replicas, ReplicaId replica) {
  return std::ranges::find(replicas, replica) != replicas.end();
}

}  // namespace

NodeCore::NodeCore(std::size_t slots) : slots_(slots) {
  HERD_CHECK(slots >= 1 && slots <= kReplicasOfNodeMax, "a node has room for a replica, and for no more than it can tell of");
}

// The coordinator ---------------------------------------------------------------------------------------------------------

void NodeCore::on_connected(NodeEffects& effects) {
  connected_ = true;
  say(join(), effects);
  for (const auto& [replica, held] : held_)
    if (held.ask) say(*held.ask, effects);
  for (const auto& [replica, why] : given_up_) say(GivenUp{replica, why}, effects);
  if (stopping_) say(NodeLeaving{stop_drain_s_}, effects);
}

void NodeCore::on_disconnected() { connected_ = false; }

void NodeCore::on_epoch(Epoch cluster_epoch) { newest_ = std::max(newest_, cluster_epoch); }

void NodeCore::on_assignment(const Assignment& assignment, NodeEffects& effects) {
  node_drains_ = assignment.node_drains;
  drained_ = assignment.drained;
  if (stopping_) return;
  assigned_ = assignment.replicas;
  draining_ = assignment.draining;
  std::erase_if(given_up_, [&](const auto& replica) { return !is_in(assigned_, replica.first); });
  for (auto& [replica, held] : held_) {
    if (!is_in(assigned_, replica)) end(replica, held, 0, effects);
    else if (is_in(draining_, replica)) end(replica, held, assignment.drain_s, effects);
  }
  fill_slots(effects);
}

void NodeCore::on_placed(const Placed& placed, NodeEffects& effects) {
  const auto held = held_.find(placed.view.route.generation.replica);
  if (held == held_.end() || !held->second.ask) return;
  held->second.ask.reset();
  effects.emplace_back(Place{placed.view});
}

// Its replicas ------------------------------------------------------------------------------------------------------------

void NodeCore::on_place_ask(const PlaceAsk& ask, NodeEffects& effects) {
  const auto held = held_.find(ask.replica);
  if (held == held_.end() || held->second.ending) return;
  held->second.ask = ask;
  say(ask, effects);
}

void NodeCore::on_serving(const routing::ReplicaView& view, NodeEffects& effects) {
  const auto held = held_.find(view.route.generation.replica);
  if (held == held_.end()) return;
  held->second.serving = view;
  say(Serving{view}, effects);
}

void NodeCore::on_lost(const routing::ReplicaLoss& loss, NodeEffects& effects) {
  const auto held = held_.find(loss.replica.replica);
  if (held == held_.end()) return;
  auto& serving = held->second.serving;
  if (serving && serving->route.generation == loss.replica) serving.reset();
  say(loss, effects);
}

void NodeCore::on_given_up(ReplicaId replica, const Status& why, NodeEffects& effects) {
  const auto held = held_.find(replica);
  if (held == held_.end() || held->second.ending) return;
  given_up_.insert_or_assign(replica, why);
  end(replica, held->second, 0, effects);
  say(GivenUp{replica, why}, effects);
}

void NodeCore::on_ended(ReplicaId replica, NodeEffects& effects) {
  held_.erase(replica);
  fill_slots(effects);
}

void NodeCore::on_stop(double drain_s, NodeEffects& effects) {
  stopping_ = true;
  stop_drain_s_ = drain_s;
  assigned_.clear();
  given_up_.clear();
  say(NodeLeaving{drain_s}, effects);
  for (auto& [replica, held] : held_) end(replica, held, drain_s, effects);
}

// What follows ------------------------------------------------------------------------------------------------------------

NodeJoin NodeCore::join() const {
  NodeJoin join;
  join.replicas_max = static_cast<std::uint32_t>(slots_);
  join.newest = newest_;
  join.drains = node_drains_;
  join.drained = drained_;
  for (const auto& [replica, held] : held_) {
    if (held.ending && held.drain_s == 0) continue;  // it will not be there for long
    join.held.push_back(replica);
    if (held.serving) join.serving.push_back(*held.serving);
  }
  return join;
}

std::optional<std::size_t> NodeCore::free_slot() const {
  for (std::size_t slot = 0; slot < slots_; ++slot)
    if (std::ranges::none_of(held_, [slot](const auto& held) { return held.second.slot == slot; })) return slot;
  return std::nullopt;
}

void NodeCore::say(const decltype(SayToCoordinator::message)& message, NodeEffects& effects) const {
  if (connected_) effects.emplace_back(SayToCoordinator{message});
}

// One that ends at once has no time given back.
void NodeCore::end(ReplicaId replica, Held& held, double drain_s, NodeEffects& effects) {
  if (held.ending && (held.drain_s == 0 || held.drain_s == drain_s)) return;
  held.ending = true;
  held.drain_s = drain_s;
  held.ask.reset();
  effects.emplace_back(EndReplica{replica, drain_s});
}

void NodeCore::fill_slots(NodeEffects& effects) {
  for (const ReplicaId replica : assigned_) {
    if (held_.contains(replica) || given_up_.contains(replica) || is_in(draining_, replica)) continue;
    if (const auto slot = free_slot()) {
      held_[replica].slot = *slot;
      effects.emplace_back(StartReplica{replica, *slot});
      continue;
    }
    if (std::ranges::any_of(held_, [](const auto& held) { return held.second.ending; })) continue;
    const Status why = missing("this node has room for " + std::to_string(slots_) + (slots_ == 1 ? " replica" : " replicas"));
    given_up_.insert_or_assign(replica, why);
    say(GivenUp{replica, why}, effects);
  }
}

}  // namespace herd::membership
