#pragma once
// MembershipCore: the nodes and gateways of a cluster as its coordinator sees them: who is there, which node holds which replica,
// and what gateways are told. Pure; events in, effects out. Replicas are a ReplicaTable's.
//
//   gathering --every listed node has joined, or gather_s_max--> settled
// While it gathers, nothing is placed and gateways keep the view they have: a coordinator that starts again first learns what is
// there. Then it adopts what serves or is held, and only then places the rest; whoever comes later is asked for what it has first,
// too. It learns everything from NodeJoin, so it keeps nothing on disk.
//
// A node whose connection is gone keeps its replicas: its leaders need neither it nor the coordinator for their streams. When it
// joins again, what it does not serve any more is lost; when it stays away for away_s_max, its replicas are placed on other nodes,
// as far as these have room.
//
// What is drained (DrainBoard) takes nothing new where it is, and has left once its generation has ended there. A replica of a node
// that is drained or about to end has an heir where there is room: it is there in the moment in which its heir's ranks are ready.
//
// A node may only speak of replicas that are placed on it; anything else is late, or wrong, and changes nothing.

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/handshake/hello.h"
#include "cluster/membership/membership_effects.h"
#include "cluster/membership/node_messages.h"
#include "cluster/membership/peer_list.h"
#include "cluster/membership/replica_table.h"
#include "cluster/membership/told_epochs.h"
#include "cluster/report/operator_orders.h"
#include "cluster/report/process_report.h"
#include "cluster/routing/gateway_join.h"
#include "runtime/clock.h"

namespace herd::membership {

struct MembershipConfig {
  std::uint32_t replicas = 1;       // of the cluster, at most routing::kReplicasMax
  std::vector<std::string> nodes;   // that are listed, in the file's order
  bool any_node = false;            // others may join, and nodes is empty
  std::vector<std::string> gateways;
  double gather_s_max = 3.0;
  double away_s_max = 10.0;
};

// Counters rise only.
struct MembershipStats {
  std::uint64_t joins = 0;        // of nodes and gateways
  std::uint64_t refusals = 0;     // connections and what they said
  std::uint64_t stale = 0;        // messages that came too late to mean anything
  std::uint64_t assigned = 0;     // replicas given to a node
  std::uint64_t generations = 0;  // handed out
  std::uint64_t losses = 0;       // of generations
};

class MembershipCore {
 public:
  // `wall_ms`: the wall clock, by which generations rise over restarts; at most kClusterEpochMax. Of the epochs that peers tell those
  // that told_epochs.h believes count; whoever speaks of others is refused.
  MembershipCore(MembershipConfig config, Epoch wall_ms, Instant now);

  // A connection of a node, a gateway or an operator. Each id once; one that is refused is told so and closed.
  void on_opened(PeerId peer, const handshake::Hello& hello, Instant now, MembershipEffects& effects);
  void on_closed(PeerId peer, Instant now, MembershipEffects& effects);
  // What came over it. Nothing happens where it is not, or no longer, a peer.
  void on_node_join(PeerId peer, const NodeJoin& join, MembershipEffects& effects);
  void on_gateway_join(PeerId peer, const routing::GatewayJoin& join, MembershipEffects& effects);
  void on_place_ask(PeerId peer, const PlaceAsk& ask, MembershipEffects& effects);
  void on_serving(PeerId peer, const routing::ReplicaView& view, MembershipEffects& effects);
  void on_lost(PeerId peer, const routing::ReplicaLoss& loss, MembershipEffects& effects);
  void on_given_up(PeerId peer, const GivenUp& given_up, MembershipEffects& effects);
  void on_leaving(PeerId peer, const NodeLeaving& leaving, MembershipEffects& effects);
  // From an operator, who is answered.
  void on_drain_ask(PeerId peer, const report::DrainAsk& ask, MembershipEffects& effects);
  // The file lists others now. Not ok: one that it lists no more is here, or may come back; then nothing is to be changed.
  [[nodiscard]] Status check_listed(const std::vector<std::string>& nodes, const std::vector<std::string>& gateways) const;
  void set_listed(const std::vector<std::string>& nodes, const std::vector<std::string>& gateways, MembershipEffects& effects);
  // What it said cannot be taken; `why` names no value of its own choice, so that it is logged once.
  void on_nonsense(PeerId peer, const Status& why, MembershipEffects& effects);
  void on_timer(Instant now, MembershipEffects& effects);
  // Of the next on_timer(); nullopt: nothing waits.
  [[nodiscard]] std::optional<Instant> deadline() const;

  // Null when it is not, or no longer, connected.
  [[nodiscard]] const Peer* peer(PeerId peer) const { return peers_.find(peer); }
  [[nodiscard]] bool settled() const { return settled_; }
  [[nodiscard]] const routing::ClusterView& view() const { return table_.view(); }
  [[nodiscard]] std::vector<report::ReplicaReportLine> replica_lines() const;
  [[nodiscard]] const DrainBoard& drains() const { return table_.places().drains(); }
  [[nodiscard]] const MembershipStats& stats() const { return stats_; }

 private:
  struct Node {
    PeerId peer;                     // its connection; 0: none
    std::uint64_t incarnation = 0;   // of the life that joined last
    bool joined = false;             // on this connection
    std::optional<Instant> away_since;
    std::optional<Assignment> told;  // on this connection
    // While gathering: what it said.
    NodeJoin claims;
    std::map<ReplicaId, PlaceAsk> asks;
  };

  // Whoever speaks as a node; node is null when it was closed or, but for its first message, has not joined.
  struct Speaker {
    std::string name;
    Node* node = nullptr;
  };
  [[nodiscard]] Speaker speaker(PeerId peer);
  // A node that may speak of that replica: it is placed there, or that is not known yet. `as_heir`: or will be.
  [[nodiscard]] Speaker speaker_of(ReplicaId replica, PeerId peer, bool as_heir = false);
  // `newest`: of an epoch that is believed.
  [[nodiscard]] bool is_generation(routing::ReplicaGeneration generation, Epoch newest = {}) const {
    return cluster_epoch_of(generation) <= ToldEpochs::newest_of_one(std::max(newest, table_.newest_epoch()));
  }
  void refuse(PeerId peer, const std::string& who, const Status& why, MembershipEffects& effects);
  void leave(PeerId peer, Instant now, MembershipEffects& effects);
  [[nodiscard]] bool all_joined() const;
  void settle(MembershipEffects& effects);
  // Of two nodes that hold a replica the one that serves its latest generation keeps it.
  void adopt_claims();
  void take_claims(const std::string& name, Node& node, const NodeJoin& join, bool fresh, MembershipEffects& effects);
  void answer(const std::string& name, const Node& node, const PlaceAsk& ask, MembershipEffects& effects);
  // After each event: replicas get places, nodes and gateways are told what has changed.
  void finish(MembershipEffects& effects);
  void place_and_tell_nodes(MembershipEffects& effects);

  MembershipConfig config_;
  PeerList peers_;
  ReplicaTable table_;
  std::map<std::string, Node> nodes_;           // that joined, by name
  std::vector<PeerId> gateways_;                // that joined
  struct Refused {
    std::string why;
    PeerId peer;  // its latest connection
  };
  std::map<std::string, Refused> refused_;      // by whom it is, so that each is logged once
  ToldEpochs told_epochs_;
  MembershipStats stats_;
  Instant gathers_until_;
  bool settled_ = false;
  bool view_changed_ = false;
};

}  // namespace herd::membership
