#pragma once
// A MembershipCore with nodes and gateways that write down what they are told. Time is moved by hand.

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/membership/membership_core.h"

namespace herd::membership {

inline constexpr ReplicaId kZero(0), kOne(1);
inline constexpr const char* kNumerics = "cpu-2/bfloat16/bfloat16/aa";

inline handshake::Hello hello_of(handshake::Role role, const std::string& name, std::uint64_t incarnation = 1) {
  handshake::Hello hello;
  hello.cluster = "test";
  hello.role = role;
  hello.node = name;
  hello.incarnation = incarnation;
  return hello;
}

class MembershipHarness {
 public:
  explicit MembershipHarness(MembershipConfig config, std::uint64_t wall_ms = 1000) : core(std::move(config), Epoch(wall_ms), {}) {}

  PeerId open(const handshake::Hello& hello) {
    const PeerId peer(++peers_);
    core.on_opened(peer, hello, now, effects);
    return heard(peer);
  }
  PeerId node(const std::string& name, std::uint64_t incarnation = 1) {
    return open(hello_of(handshake::Role::kNode, name, incarnation));
  }
  // Connected, and joined with nothing.
  PeerId joined(const std::string& name, std::uint32_t room = 1, std::uint64_t incarnation = 1) {
    const PeerId peer = node(name, incarnation);
    join(peer, room);
    return peer;
  }
  PeerId gateway(const std::string& name, Epoch epoch = {}, std::uint64_t number = 0) {
    const PeerId peer = open(hello_of(handshake::Role::kGateway, name));
    core.on_gateway_join(peer, {GatewayId(1), epoch, number}, effects);
    return heard(peer);
  }
  void join(PeerId peer, std::uint32_t room, std::vector<ReplicaId> held = {}, std::vector<routing::ReplicaView> serving = {},
            Epoch newest = {}) {
    join(peer, {room, newest, std::move(held), std::move(serving)});
  }
  void join(PeerId peer, const NodeJoin& said) {
    core.on_node_join(peer, said, effects);
    hear();
  }
  void close(PeerId peer) {
    core.on_closed(peer, now, effects);
    hear();
  }
  void pass(double seconds) {
    now.ns += static_cast<std::int64_t>(seconds * 1e9);
    core.on_timer(now, effects);
    hear();
  }
  // The generation that was placed; epoch 0: none was.
  routing::ReplicaGeneration ask(PeerId peer, std::uint32_t replica, const std::string& numerics = kNumerics) {
    placed.erase(peer);
    core.on_place_ask(peer, {ReplicaId(replica), "127.0.0.1:7", numerics, 8, 512}, effects);
    hear();
    return placed.contains(peer) ? placed.at(peer).route.generation : routing::ReplicaGeneration{};
  }
  static routing::ReplicaView serving_view(routing::ReplicaGeneration generation, const std::string& numerics = kNumerics) {
    return {{generation, "127.0.0.1:7", numerics}, routing::ReplicaState::kServing, true, 8, 512};
  }
  void serve(PeerId peer, routing::ReplicaGeneration generation) {
    core.on_serving(peer, serving_view(generation), effects);
    hear();
  }
  routing::ReplicaGeneration asked_and_serving(PeerId peer, std::uint32_t replica) {
    const routing::ReplicaGeneration generation = ask(peer, replica);
    serve(peer, generation);
    return generation;
  }
  void lose(PeerId peer, routing::ReplicaGeneration generation) {
    core.on_lost(peer, {generation, routing::LossCause::kKilled, {StatusCode::kAborted, "rank 1 died"}, std::nullopt}, effects);
    hear();
  }
  void give_up(PeerId peer, std::uint32_t replica) {
    core.on_given_up(peer, {ReplicaId(replica), missing("no memory")}, effects);
    hear();
  }

  void leave(PeerId peer, double drain_s = 30) {
    core.on_leaving(peer, {drain_s}, effects);
    hear();
  }
  // As an operator.
  report::OrderAnswer drain(const std::string& target, double drain_s = 30) { return order({target, false, drain_s}); }
  report::OrderAnswer undo(const std::string& target) { return order({target, true}); }
  report::OrderAnswer order(const report::DrainAsk& ask) {
    const PeerId peer = open(hello_of(handshake::Role::kOperator, "operator"));
    core.on_drain_ask(peer, ask, effects);
    hear();
    close(peer);
    return answers.at(peer);
  }

  // What a node was told last to drain, of what it holds; "none": nothing yet.
  [[nodiscard]] std::string draining(PeerId peer) const {
    const auto told = assignments.find(peer);
    return told == assignments.end() ? "none" : numbers(told->second.back().draining);
  }
  // What a node was told last; "none": nothing yet.
  [[nodiscard]] std::string assigned(PeerId peer) const {
    const auto told = assignments.find(peer);
    return told == assignments.end() ? "none" : numbers(told->second.back().replicas);
  }
  [[nodiscard]] const routing::ReplicaView& seen(std::uint32_t replica) const { return core.view().replicas.at(replica); }
  [[nodiscard]] report::ReplicaReportLine line(std::uint32_t replica) const { return core.replica_lines().at(replica); }

  MembershipCore core;
  Instant now;
  MembershipEffects effects;
  std::map<PeerId, std::vector<Assignment>> assignments;
  std::map<PeerId, routing::ReplicaView> placed;
  std::map<PeerId, std::vector<routing::ClusterView>> views;
  std::map<PeerId, std::vector<routing::ReplicaLoss>> losses;
  std::map<PeerId, Status> closed;
  std::map<PeerId, report::OrderAnswer> answers;
  std::vector<MembershipNote> notes;

 private:
  static std::string numbers(const std::vector<ReplicaId>& replicas) {
    std::string text;
    for (const ReplicaId replica : replicas) text += std::to_string(replica.value) + " ";
    return text;
  }
  PeerId heard(PeerId peer) {
    hear();
    return peer;
  }
  void hear() {
    for (MembershipEffect& effect : std::exchange(effects, {})) std::visit([this](auto& told) { take(told); }, effect);
  }
  void take(SendView& told) {
    for (const PeerId gateway : told.gateways) views[gateway].push_back(told.view);
  }
  void take(SendLoss& told) {
    for (const PeerId gateway : told.gateways) losses[gateway].push_back(told.loss);
  }
  void take(SendAssignment& told) { assignments[told.node].push_back(told.assignment); }
  void take(SendPlaced& told) { placed.insert_or_assign(told.node, told.placed.view); }
  void take(AnswerOrder& told) { answers.emplace(told.peer, told.answer); }
  void take(ClosePeer& told) { closed.emplace(told.peer, told.why); }
  void take(MembershipNote& told) { notes.push_back(told); }

  std::uint64_t peers_ = 0;
};

}  // namespace herd::membership
