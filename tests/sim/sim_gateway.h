#pragma once
// SimGateway: one place where a gateway lives again and again, each time under a new id and counting from 1, and the clients
// of its present life. Carries out what the core says; GatewayWatch judges it. It has a connection with the coordinator, and one with
// each leader that the last view names.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/gateway/gateway_core.h"
#include "cluster/replica/group_messages.h"
#include "cluster/replica/replica_core.h"
#include "tests/sim/gateway_watch.h"
#include "tests/sim/network.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_process.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimCoordinator;

class SimGateway {
 public:
  SimGateway(World& world, Network& network, const Truth& truth, SimCoordinator& coordinator, RequestBook& book, std::uint32_t slot,
             std::function<void(SimRequest&)> arrive_elsewhere);

  [[nodiscard]] std::string name() const { return "gateway-" + std::to_string(slot_); }
  [[nodiscard]] GatewayId id() const { return id_; }  // 0 while it is down
  [[nodiscard]] bool alive() const { return life_ != nullptr; }

  void start();
  void crash();
  void stop();  // in order: everything ends, then it goes
  void sleep(std::int64_t us);
  [[nodiscard]] const SimProcess& process() const { return process_; }

  void arrive(SimRequest& request);

  // From the network.
  void on_deltas(routing::ReplicaGeneration from, const std::vector<step::TokenDelta>& deltas);
  void on_view(const routing::ClusterView& view);
  void on_loss(const routing::ReplicaLoss& loss);
  void on_report(routing::ReplicaGeneration from, const replica::ReplicaReport& report);

  void check();
  void check_drained(const routing::ClusterView& truth);
  // Everything has come to rest: its directory says of that replica, which serves, what its cache holds.
  void check_directory(routing::ReplicaGeneration replica, const std::optional<kv::BlockNews>& cached) const;

 private:
  struct Leader {
    std::shared_ptr<SimDial> dial;
    routing::ReplicaGeneration generation;  // that it is, as far as the last view says
  };
  struct Life {
    Life(World& world, const Truth& truth, std::uint32_t slot, GatewayId id, std::uint64_t jitter_seed);
    gateway::GatewayCore core;
    GatewayWatch watch;
    std::shared_ptr<SimDial> coordinator;
    std::map<std::string, Leader> leaders;  // by address
    std::set<routing::ReplicaGeneration> reported;  // since their connections are open
    std::map<RequestId, SimRequest*> requests;
    std::uint64_t next_request = 1;
    std::uint64_t wakes = 0;  // the last timer asked for
    Instant wakes_at;         // by it
  };

  void end_life();
  [[nodiscard]] handshake::Hello hello() const;
  void join(const ConnectionPtr& connection);
  void dial_leaders();
  void on_leader_open(const ConnectionPtr& connection);
  void on_news(routing::ReplicaGeneration from, const kv::BlockNews& news);
  void violate_directory(routing::ReplicaGeneration replica, const std::string& what) const;
  void on_leader_closed(const std::string& address);
  void on_link_lost(routing::ReplicaGeneration replica);
  [[nodiscard]] SimConnection* connection_to(const routing::Route& route) const;
  void leave(SimRequest& request);
  // Its client asks for the same again, at another gateway, if it is one who does.
  void take_up_elsewhere(SimRequest& request);
  void read(SimRequest& request);

  // Carries out what is said, and what is said in answer to that.
  void carry_out(gateway::GatewayEffects effects);
  void carry_out(gateway::StartRequest& effect);
  void carry_out(gateway::RunOn& effect);
  void carry_out(gateway::StopOn& effect);
  void carry_out(gateway::AttemptCut& effect);
  void carry_out(gateway::Deliver& effect);
  void carry_out(gateway::EndRequest& effect);
  void carry_out(gateway::WakeAt& effect);

  World& world_;
  Chance chance_;
  Network& network_;
  const Truth& truth_;
  SimCoordinator& coordinator_;
  RequestBook& book_;
  std::uint32_t slot_;
  std::function<void(SimRequest&)> arrive_elsewhere_;  // at the gateway that it names
  SimProcess process_;
  GatewayId id_;
  std::unique_ptr<Life> life_;
  std::deque<gateway::GatewayEffect> said_;   // not carried out yet
  std::vector<std::pair<RequestId, std::uint32_t>> enough_;  // choices to stop once all that was said is done
  std::deque<std::pair<routing::ReplicaGeneration, step::AttemptKey>> unsent_;  // to be told, likewise
};

}  // namespace herd::sim
