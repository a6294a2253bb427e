// The nodes and gateways that a cluster's file lists, when they become others (membership_core.h).

#include <algorithm>

#include "cluster/membership/membership_core.h"

namespace herd::membership {
namespace {

using handshake::Role;
using Names = std::vector<std::string>;

struct Gone {
  Role role;
  std::string name;
};
// Whom the file listed and lists no more.
std::vector<Gone> gone(const MembershipConfig& config, const Names& nodes, const Names& gateways) {
  std::vector<Gone> all;
  const auto add = [&all](Role role, const Names& before, const Names& after) {
    for (const std::string& name : before)
      if (std::ranges::find(after, name) == after.end()) all.push_back({role, name});
  };
  add(Role::kNode, config.nodes, nodes);
  add(Role::kGateway, config.gateways, gateways);
  return all;
}

}  // namespace

Status MembershipCore::check_listed(const Names& nodes, const Names& gateways) const {
  for (const Gone& it : gone(config_, nodes, gateways)) {
    const std::string lacks = called(it.role, it.name) + " is not in the file any more, and ";
    if (peers_.find(it.role, it.name)) return bad_input(lacks + "it runs; drain it and end it first, or take the change back");
    const auto node = nodes_.find(it.name);
    if (it.role == Role::kNode && node != nodes_.end() && node->second.away_since)
      return bad_input(lacks + "has only just gone; try again in 10 s");
  }
  return {};
}

void MembershipCore::set_listed(const Names& nodes, const Names& gateways, MembershipEffects& effects) {
  for (const Gone& it : gone(config_, nodes, gateways))
    if (const auto peer = peers_.find(it.role, it.name))  // it came since it was checked
      effects.emplace_back(ClosePeer{*peer, bad_input(called(it.role, it.name) + " is not in the coordinator's cluster file any more")});
  config_.nodes = nodes;
  config_.gateways = gateways;
  peers_.set_listed(config_.any_node ? std::nullopt : std::optional(nodes), gateways);
  table_.places().set_listed(nodes);
  finish(effects);
}

}  // namespace herd::membership
