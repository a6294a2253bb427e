#include "cluster/membership/membership_core.h"

#include <algorithm>
#include <utility>

#include "cluster/membership/drain_order.h"

namespace herd::membership {
namespace {

using handshake::Role;
using routing::ReplicaState;

bool holds(const std::vector<ReplicaId>& replicas, ReplicaId replica) {
  return std::ranges::find(replicas, replica) != replicas.end();
}

const Status kNoSuchEpoch = bad_input("it speaks of a cluster epoch beyond the year 2248, and no other process has told as new a "
                                      "one: it is no process of this cluster, or the only one that a coordinator with such a clock "
                                      "has led");
const Status kJoinedTwice = bad_input("it joins twice over one connection");
constexpr std::size_t kRefusedMax = 256;

void note(const char* event, const std::string& peer, const std::string& what, MembershipEffects& effects, bool is_warning = false) {
  effects.emplace_back(MembershipNote{is_warning, event, peer, what});
}

}  // namespace

MembershipCore::MembershipCore(MembershipConfig config, Epoch wall_ms, Instant now)
    : config_(std::move(config)),
      peers_(config_.any_node ? std::nullopt : std::optional(config_.nodes), config_.gateways),
      table_(ReplicaPlaces(config_.replicas, config_.nodes, config_.any_node), wall_ms),
      gathers_until_(seconds_after(now, config_.gather_s_max)) {}

void MembershipCore::on_opened(PeerId peer, const handshake::Hello& hello, Instant now, MembershipEffects& effects) {
  const std::string who = called(hello.role, hello.node);
  if (const auto older = peers_.older_of(hello)) {
    effects.emplace_back(ClosePeer{*older, {StatusCode::kAborted, "it has connected again"}});
    leave(*older, now, effects);
  }
  if (Status status = peers_.admit(peer, hello); !status.ok()) return refuse(peer, who, status, effects);
  if (hello.role == Role::kNode) nodes_[hello.node].peer = peer;
}

void MembershipCore::on_closed(PeerId peer, Instant now, MembershipEffects& effects) {
  leave(peer, now, effects);
  finish(effects);
}

void MembershipCore::leave(PeerId peer, Instant now, MembershipEffects& effects) {
  const Peer* known = peers_.find(peer);
  if (known == nullptr) return;
  const std::string name = known->name;
  const Role role = known->role;
  peers_.remove(peer);
  const bool was_gateway = std::erase(gateways_, peer) > 0;
  if (was_gateway) note("gateway left", name, "its connection has ended", effects);
  // It was let in and stayed out of trouble: whatever it is refused for later is news.
  const bool had_joined = was_gateway || (role == Role::kNode && nodes_[name].joined);
  if (const auto refused = refused_.find(called(role, name)); had_joined && refused != refused_.end() && refused->second.peer != peer)
    refused_.erase(refused);
  if (role != Role::kNode) return;
  Node& node = nodes_[name];
  node.peer = {};
  node.told.reset();
  if (!std::exchange(node.joined, false)) return;
  node.away_since = now;
  table_.places().on_away(name);
  if (std::ranges::none_of(nodes_, [](const auto& entry) { return entry.second.joined; })) table_.forget_numerics();
  note("node away", name, "its connection has ended; its replicas stay with it for now", effects, true);
}

void MembershipCore::on_node_join(PeerId peer, const NodeJoin& join, MembershipEffects& effects) {
  const auto [name, node] = speaker(peer);
  if (node == nullptr) return;
  if (node->joined) return refuse(peer, called(Role::kNode, name), kJoinedTwice, effects);
  const std::string who = called(Role::kNode, name);
  const auto is_known = [&](const auto& view) { return is_generation(view.route.generation, join.newest); };
  const bool sane = told_epochs_.believe(who, join.newest, table_.newest_epoch()) && std::ranges::all_of(join.serving, is_known);
  if (!sane) return refuse(peer, who, kNoSuchEpoch, effects);
  table_.hear_of(join.newest);
  const std::uint64_t incarnation = peers_.find(peer)->incarnation;
  const bool fresh = std::exchange(node->incarnation, incarnation) != incarnation;
  node->joined = true;
  node->away_since.reset();
  node->told.reset();
  table_.places().on_here(name, join.replicas_max, fresh);
  table_.places().drains().on_join(name, join, fresh, config_.replicas);
  ++stats_.joins;
  note("node joined", name,
       "room for " + std::to_string(join.replicas_max) + ", holds " + std::to_string(join.held.size()) + ", serves " +
           std::to_string(join.serving.size()),
       effects);
  if (settled_) {
    table_.adopt(name, join.held);
    take_claims(name, *node, join, fresh, effects);
  } else {
    node->claims = join;
    node->asks.clear();
    if (all_joined()) settle(effects);
  }
  finish(effects);
}

void MembershipCore::on_gateway_join(PeerId peer, const routing::GatewayJoin& join, MembershipEffects& effects) {
  const Peer* known = peers_.find(peer);
  if (known == nullptr || known->role != Role::kGateway) return;
  const std::string name = known->name;
  if (std::ranges::find(gateways_, peer) != gateways_.end()) return refuse(peer, called(Role::kGateway, name), kJoinedTwice, effects);
  const std::string who = called(Role::kGateway, name);
  if (!told_epochs_.believe(who, join.cluster_epoch, table_.newest_epoch())) return refuse(peer, who, kNoSuchEpoch, effects);
  // A view of this coordinator's own is none to begin beyond.
  const bool own = join.cluster_epoch == view().cluster_epoch && join.view_number <= view().number;
  if (!own) table_.hear_of(join.cluster_epoch);
  ++stats_.joins;
  note("gateway joined", name, "", effects);
  finish(effects);
  gateways_.push_back(peer);
  if (settled_) effects.emplace_back(SendView{{peer}, view()});
}

void MembershipCore::on_place_ask(PeerId peer, const PlaceAsk& ask, MembershipEffects& effects) {
  const auto [name, node] = speaker_of(ask.replica, peer, true);
  if (node == nullptr) return;
  if (!settled_) {
    node->asks.insert_or_assign(ask.replica, ask);
    return;
  }
  answer(name, *node, ask, effects);
  finish(effects);
}

void MembershipCore::on_serving(PeerId peer, const routing::ReplicaView& view, MembershipEffects& effects) {
  const ReplicaId replica = view.route.generation.replica;
  const auto [name, node] = speaker_of(replica, peer);
  if (node == nullptr) return;
  if (!is_generation(view.route.generation)) return refuse(peer, called(Role::kNode, name), kNoSuchEpoch, effects);
  if (!settled_) {
    std::erase_if(node->claims.serving, [&](const auto& known) { return known.route.generation.replica == replica; });
    node->claims.serving.push_back(view);
    return;
  }
  if (!table_.serve(name, view)) ++stats_.stale;
  finish(effects);
}

void MembershipCore::on_lost(PeerId peer, const routing::ReplicaLoss& loss, MembershipEffects& effects) {
  const ReplicaId replica = loss.replica.replica;
  const auto [name, node] = speaker_of(replica, peer);
  if (node == nullptr) return;
  if (!is_generation(loss.replica)) return refuse(peer, called(Role::kNode, name), kNoSuchEpoch, effects);
  std::erase_if(node->claims.serving, [&](const auto& known) { return known.route.generation <= loss.replica &&
                                                                       known.route.generation.replica == replica; });
  table_.on_lost(loss);
  finish(effects);
}

void MembershipCore::on_given_up(PeerId peer, const GivenUp& given_up, MembershipEffects& effects) {
  const auto [name, node] = speaker_of(given_up.replica, peer, true);
  if (node == nullptr) return;
  std::erase(node->claims.held, given_up.replica);
  std::erase_if(node->claims.serving, [&](const auto& known) { return known.route.generation.replica == given_up.replica; });
  node->asks.erase(given_up.replica);
  table_.give_up(given_up.replica, name, given_up.why.message());
  finish(effects);
}

void MembershipCore::on_leaving(PeerId peer, const NodeLeaving& leaving, MembershipEffects& effects) {
  const auto [name, node] = speaker(peer);
  if (node == nullptr || !node->joined) return;
  const bool known = drains().leaves(name);
  table_.places().drains().on_leaving(name, leaving.drain_s);
  if (!known) note("node leaves", name, "it was told to end; its replicas go to nodes with room for them", effects);
  finish(effects);
}

void MembershipCore::on_drain_ask(PeerId peer, const report::DrainAsk& ask, MembershipEffects& effects) {
  report::OrderAnswer answer;
  DrainOrder order(table_.places(), ask);
  answer.status = order.check();
  if (answer.status.ok()) {
    const bool changed = order.carry_out();
    if (changed) note(ask.undo ? "drain taken back" : "drained", "", ask.target + ", by an operator", effects);
    finish(effects);
    answer.lines = order.lines(changed);
  }
  effects.emplace_back(AnswerOrder{peer, std::move(answer)});
}

void MembershipCore::on_nonsense(PeerId peer, const Status& why, MembershipEffects& effects) {
  if (const Peer* known = peers_.find(peer)) refuse(peer, called(known->role, known->name), why, effects);
}

void MembershipCore::on_timer(Instant now, MembershipEffects& effects) {
  if (!settled_ && gathers_until_ <= now) settle(effects);
  for (auto& [name, node] : nodes_) {
    if (!node.away_since || now < seconds_after(*node.away_since, config_.away_s_max)) continue;
    node.away_since.reset();
    table_.places().on_given_up(name);
    note("node given up", name, "it stayed away for too long; its replicas go to nodes with room for them", effects, true);
  }
  std::erase_if(nodes_, [&](const auto& entry) {
    const bool forgotten = entry.second.peer == PeerId{} && !entry.second.away_since && !table_.places().is_node(entry.first);
    if (forgotten) table_.places().drains().forget(entry.first);
    return forgotten;
  });
  finish(effects);
}

std::optional<Instant> MembershipCore::deadline() const {
  std::optional<Instant> first;
  const auto consider = [&](Instant at) { first = first ? std::min(*first, at) : at; };
  if (!settled_) consider(gathers_until_);
  for (const auto& [name, node] : nodes_)
    if (node.away_since) consider(seconds_after(*node.away_since, config_.away_s_max));
  return first;
}

MembershipCore::Speaker MembershipCore::speaker(PeerId peer) {
  const Peer* known = peers_.find(peer);
  if (known == nullptr || known->role != Role::kNode) return {};
  return {known->name, &nodes_[known->name]};
}

MembershipCore::Speaker MembershipCore::speaker_of(ReplicaId replica, PeerId peer, bool as_heir) {
  Speaker found = speaker(peer);
  if (found.node == nullptr) return {};
  const ReplicaPlaces& places = table_.places();
  const bool is_its = places.is_at(replica, found.name) || (as_heir && places.is_heir(replica, found.name));
  if (found.node->joined && places.is_known(replica) && (!settled_ || is_its)) return found;
  ++stats_.stale;
  return {};
}

void MembershipCore::refuse(PeerId peer, const std::string& who, const Status& why, MembershipEffects& effects) {
  ++stats_.refusals;
  effects.emplace_back(ClosePeer{peer, why});
  // It connects again and again; who and why is said once.
  if (refused_.size() >= kRefusedMax) refused_.clear();
  Refused& refused = refused_[who];
  refused.peer = peer;
  if (std::exchange(refused.why, why.message()) != why.message()) note("peer refused", who, why.message(), effects, true);
}

bool MembershipCore::all_joined() const {
  if (config_.any_node) return false;
  return std::ranges::all_of(config_.nodes, [&](const std::string& name) {
    const auto node = nodes_.find(name);
    return node != nodes_.end() && node->second.joined;
  });
}

void MembershipCore::settle(MembershipEffects& effects) {
  settled_ = true;
  view_changed_ = true;
  adopt_claims();
  for (auto& [name, node] : nodes_)
    if (node.joined) take_claims(name, node, std::exchange(node.claims, {}), false, effects);
  note("cluster settled", "", std::to_string(std::ranges::count_if(nodes_, [](const auto& entry) { return entry.second.joined; })) +
       " nodes are there", effects);
  finish(effects);  // so that a node hears of its replicas before it hears of their generations
  for (auto& [name, node] : nodes_)
    for (const auto& [replica, ask] : std::exchange(node.asks, {}))
      if (table_.places().is_at(replica, name) || table_.places().is_heir(replica, name)) answer(name, node, ask, effects);
}

void MembershipCore::adopt_claims() {
  for (std::uint32_t i = 0; i < config_.replicas; ++i) {
    const ReplicaId replica(i);
    const std::string* holder = nullptr;
    const routing::ReplicaView* latest = nullptr;
    for (const auto& [name, node] : nodes_) {
      const routing::ReplicaView* serving = serving_in(node.claims, replica);
      const bool later = serving != nullptr && (latest == nullptr || latest->route.generation < serving->route.generation);
      if (!node.joined || !holds(node.claims.held, replica) || (holder != nullptr && !later)) continue;
      holder = &name;
      latest = serving;
    }
    if (holder != nullptr) table_.adopt(*holder, {replica});
  }
}

void MembershipCore::take_claims(const std::string& name, Node& node, const NodeJoin& join, bool fresh, MembershipEffects& effects) {
  const std::vector<ReplicaId> buried = table_.compare(name, join, fresh);
  stats_.stale += buried.size();
  Assignment kept = table_.places().assignment(name);
  for (std::vector<ReplicaId>* list : {&kept.replicas, &kept.draining})
    std::erase_if(*list, [&](ReplicaId replica) { return holds(buried, replica); });
  // What it is given again ends first: the others know what it has of that as lost.
  if (std::ranges::all_of(join.held, [&](ReplicaId replica) { return holds(kept.replicas, replica); })) return;
  node.told = kept;
  effects.emplace_back(SendAssignment{node.peer, std::move(kept)});
}

void MembershipCore::answer(const std::string& name, const Node& node, const PlaceAsk& ask, MembershipEffects& effects) {
  if (!table_.place(name, ask)) return;
  ++stats_.generations;
  effects.emplace_back(SendPlaced{node.peer, {*table_.find(ask.replica)}});
}

void MembershipCore::finish(MembershipEffects& effects) {
  // What a node was refused and may hold after all ends there first, and is given to it again then.
  do place_and_tell_nodes(effects);
  while (settled_ && table_.forget_unused_numerics());
  if (settled_ && std::exchange(view_changed_, false) && !gateways_.empty()) effects.emplace_back(SendView{gateways_, view()});
}

void MembershipCore::place_and_tell_nodes(MembershipEffects& effects) {
  if (settled_) stats_.assigned += table_.fill();
  TableChanges changes = table_.take_changes();
  view_changed_ |= changes.view;
  for (MembershipNote& note : changes.notes) effects.emplace_back(std::move(note));
  for (routing::ReplicaLoss& loss : changes.losses) {
    ++stats_.losses;
    if (!gateways_.empty()) effects.emplace_back(SendLoss{gateways_, std::move(loss)});
  }
  if (!settled_) return;
  for (auto& [name, node] : nodes_) {
    const Assignment now = table_.places().assignment(name);
    if (!node.joined || node.told == now) continue;
    node.told = now;
    effects.emplace_back(SendAssignment{node.peer, now});
  }
}

std::vector<report::ReplicaReportLine> MembershipCore::replica_lines() const {
  std::vector<report::ReplicaReportLine> lines;
  for (std::uint32_t i = 0; i < config_.replicas; ++i) {
    if (settled_) {
      lines.push_back(table_.line(ReplicaId(i)));
    } else {
      lines.emplace_back().replica = ReplicaId(i);
      lines.back().why = "the coordinator has just started and waits for the nodes";
    }
  }
  return lines;
}

}  // namespace herd::membership
