#pragma once
// SimCoordinator: a place where a coordinator lives again and again, each time knowing nothing, and the connections that its nodes
// and gateways have with it. Carries out what the product's MembershipCore says.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "cluster/membership/membership_core.h"
#include "cluster/report/operator_orders.h"
#include "tests/sim/network.h"
#include "tests/sim/sim_process.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimGateway;
class SimNode;

inline constexpr const char* kCoordinatorAddress = "coordinator";

class SimCoordinator {
 public:
  SimCoordinator(World& world, Network& network) : world_(world), chance_(world.chance("coordinator")), network_(network), process_(world) {}

  [[nodiscard]] const SimProcess& process() const { return process_; }
  [[nodiscard]] bool up() const { return process_.alive(); }
  [[nodiscard]] const routing::ClusterView& view() const { return core_->view(); }
  [[nodiscard]] Instant started() const { return started_; }

  void start();
  void stop();  // it will start again
  void sleep(std::int64_t us);
  // An operator's word. False: nobody took it.
  bool order(const report::DrainAsk& ask);

  // The number of a connection with it.
  [[nodiscard]] membership::PeerId number_of(const SimConnection& connection) const;
  void on_node_join(membership::PeerId peer, SimNode& node, const membership::NodeJoin& join);
  void on_gateway_join(membership::PeerId peer, SimGateway& gateway, const routing::GatewayJoin& join);
  // Asks the core and does what it says.
  template <class Ask>
  void decide(Ask ask) {
    membership::MembershipEffects effects;
    ask(*core_, effects);
    for (membership::MembershipEffect& effect : effects) std::visit([this](auto& what) { carry_out(what); }, effect);
    check_assignments();
    arm();
  }

 private:
  struct Peer {
    ConnectionPtr connection;
    SimNode* node = nullptr;
    SimGateway* gateway = nullptr;
    membership::Assignment assignment{};  // that it was sent last
  };

  SimConnection::Hooks accept(const ConnectionPtr& connection);
  void arm();
  void check_assignments();
  void check_drained(const Peer& peer, const membership::Assignment& now) const;
  void check_generation(routing::ReplicaGeneration placed);
  template <class Tell>
  void tell(membership::PeerId to, Tell tell);
  void carry_out(membership::SendView& effect);
  void carry_out(membership::SendLoss& effect);
  void carry_out(membership::SendAssignment& effect);
  void carry_out(membership::SendPlaced& effect);
  void carry_out(membership::AnswerOrder& effect);
  void carry_out(membership::ClosePeer& effect);
  void carry_out(membership::MembershipNote& effect);

  World& world_;
  Chance chance_;
  Network& network_;
  SimProcess process_;
  std::optional<membership::MembershipCore> core_;
  std::map<membership::PeerId, Peer> peers_;
  std::uint64_t last_peer_ = 0;
  std::optional<Instant> wakes_at_;
  std::set<std::string> drained_;  // as operators told this life
  bool order_taken_ = false;
  Instant started_;
  std::map<ReplicaId, Epoch> placed_;  // last, by any life
};

}  // namespace herd::sim
