#pragma once
// SimReplica: a replica as one node holds it, from the day it was told to until the node ends or is told no more: its ranks, the
// product's GroupSupervisor over them, and its present generation. Carries out what the supervisor says, and does to the ranks
// what the seed asks for.
//
// Where ranks are processes, the supervisor runs in the node's process and the generation in the leader's, the process of rank 0:
// one may be gone, or sleep, while the other goes on. Where they are threads, everything is in the node's process.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/membership/group_supervisor.h"
#include "cluster/membership/node_messages.h"
#include "tests/sim/network.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_life.h"
#include "tests/sim/sim_moves.h"
#include "tests/sim/sim_process.h"
#include "tests/sim/sim_ranks.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimGateway;
class SimNode;

class SimReplica : private LifeHost, private RanksHost, private MovesHost {
 public:
  SimReplica(World& world, Network& network, RequestBook& book, SimNode& node, ReplicaId replica, std::size_t time);

  [[nodiscard]] ReplicaId id() const { return generation_.replica; }
  [[nodiscard]] routing::ReplicaGeneration generation() const override { return generation_; }
  [[nodiscard]] const std::string& address() const { return address_; }  // of its leader
  [[nodiscard]] bool alive() const { return life_ != nullptr; }
  [[nodiscard]] bool serving() const { return life_ != nullptr && life_->serving(); }
  [[nodiscard]] bool draining() const { return draining_; }
  // It serves, takes new sequences, and nothing is about to end or to delay it.
  [[nodiscard]] bool whole() const;
  [[nodiscard]] routing::ReplicaView view() const;
  // What its prefix cache holds. It serves.
  [[nodiscard]] std::optional<kv::BlockNews> cached() const { return life_->all_news(); }
  // Its last news did not get to that gateway, which cannot know of it.
  [[nodiscard]] bool is_behind(GatewayId gateway) const {
    const auto joined = gateways_.find(gateway);
    return joined != gateways_.end() && joined->second.misses_news;
  }

  // From its node.
  void start();
  void on_placed(const routing::ReplicaView& view);
  // Its node is told to hold it no more: what it has ends first, for so long at the most. A later word replaces the earlier.
  void release(double drain_s);
  void give_up(const Status& why);
  // With its node, which has just ended.
  void fall(bool silently);
  void sleep(Instant until);  // ranks and leader, with their machine
  bool sleep_leader(std::int64_t us);  // its process alone, rank 0 with it; false: there is none

  // From an operator: that process of it is told to end. False: it is not there, or cannot be told.
  bool tell_to_end(std::uint32_t rank);
  [[nodiscard]] std::uint64_t starts_of(std::uint32_t rank) const { return ranks_.starts(rank); }

  // From gateways; what is meant for another life is dropped.
  void on_gateway_joined(const ConnectionPtr& connection, SimGateway& gateway, GatewayId id);
  void on_submission(routing::ReplicaGeneration to, const step::Submission& submission);
  void on_abort(routing::ReplicaGeneration on, const step::AttemptKey& attempt);

  // From other leaders.
  [[nodiscard]] SimMoves& moves() { return moves_; }

  // Faults.
  void lose_rank(std::uint32_t rank, routing::LossCause cause);
  void befall(RankFault fault);              // whichever rank begins the next step
  void damage_weights();                     // of one rank
  void fail_start() { starts_to_fail_ = 1; }
  void fail_join() { ranks_.fail_joins(1); }
  void heal();                               // what was planted and has not come yet does not come
  void repeat_old_result() { ranks_.repeat_old_result(); }

  void check();
  void check_drained();

 private:
  struct JoinedGateway {
    ConnectionPtr connection;
    SimGateway* gateway;
    bool misses_news = false;  // and was told none since
  };

  [[nodiscard]] SimProcess& supervisor_process() const;
  [[nodiscard]] SimProcess& leader();
  [[nodiscard]] SimProcess& process_of(std::uint32_t rank);
  void later(std::int64_t us, EventLoop::Event event);  // in the supervisor's process, while the node holds it
  void message(EventLoop::Event event) { later(chance_.us_up_to(world_.options.message_us_max), std::move(event)); }

  // Asks the supervisor and does what it says.
  template <class Ask>
  void decide(Ask ask) {
    membership::SupervisorEffects effects;
    ask(*supervisor_, effects);
    for (const membership::SupervisorEffect& effect : effects)
      std::visit([this](const auto& what) { carry_out(what); }, effect);
  }
  void carry_out(const membership::StartRank& effect);
  void carry_out(const membership::FormGroup& effect);
  void carry_out(const membership::LeaveGroup& effect);
  void carry_out(const membership::DrainGeneration& effect);
  void carry_out(const membership::EndRank& effect);
  void carry_out(const membership::GiveUp& effect);
  void carry_out(const membership::WakeSupervisorAt& effect);
  void carry_out(const membership::Note& effect);
  void on_rank_started(std::uint32_t rank);
  void form(const routing::ReplicaView& view);
  void on_generation_lost(const routing::ReplicaLoss& loss, bool tell_again);
  void tell_supervisor(EventLoop::Event event);
  void gateway_gone(GatewayId gateway);
  void end_ranks();
  void drain_generation(double drain_s);
  void begin_drain(double drain_s);
  void send_report(const JoinedGateway& to, std::optional<kv::BlockNews> news);
  void send_all(GatewayId gateway);  // how it stands, and all that its cache holds
  SimConnection::Hooks accept(const ConnectionPtr& connection);

  // LifeHost
  void at_life(Instant when, EventLoop::Event event) override;
  void send_deltas(GatewayId gateway, std::vector<step::TokenDelta> deltas) override;
  void send_loss(const routing::ReplicaLoss& loss) override;
  void send_news(kv::BlockNews news) override;
  void send_plan(const step::StepPlan& plan) override { ranks_.send_plan(plan); }
  void give_block(const replica::SharedBlockBytes& bytes) override { ranks_.give_block(generation_.epoch, bytes); }
  void send_to_holder(const routing::Route& holder, const replica::ToHolder& message) override { moves_.send(holder, message); }
  void send_to_taker(replica::TakerId taker, const replica::ToTaker& message) override { moves_.send(taker, message); }
  std::vector<Progress> read_ranks() const override { return ranks_.read(); }
  void on_life_serving() override;
  void on_life_lost(const routing::ReplicaLoss& loss) override;
  void end_life() override;
  // RanksHost
  std::string name() const override { return address_; }
  EventLoop::Event awake(std::uint32_t rank, EventLoop::Event event) override;
  EventLoop::Event leader_awake(EventLoop::Event event) override { return leader().awake(std::move(event)); }
  std::uint64_t pauses_so_far(std::uint32_t rank) const override;
  SimLife* life() override { return life_.get(); }
  Epoch epoch() const override { return generation_.epoch; }
  ReplicaId replica() const override { return id(); }
  void on_rank_gone(std::uint32_t rank, const std::string& why, std::int64_t us_max) override;
  void on_rank_left(std::uint32_t rank, Epoch epoch) override;
  bool leads(std::uint32_t rank) const override { return world_.options.ranks_are_processes && rank == 0; }
  void on_leader_gone(routing::LossCause cause, const std::string& why, std::int64_t us_max) override;

  // MovesHost
  SimProcess& moves_process() override { return leader(); }
  Machine machine() const override;

  void violate(const std::string& what);

  World& world_;
  Network& network_;
  RequestBook& book_;
  SimNode& node_;
  routing::ReplicaGeneration generation_;
  std::string address_;
  Chance chance_;
  std::unique_ptr<membership::GroupSupervisor> supervisor_;
  std::unique_ptr<SimLife> life_, last_life_;
  SimProcess leader_, ranks_process_;  // where ranks are processes
  SimRanks ranks_;
  SimMoves moves_;
  std::map<GatewayId, JoinedGateway> gateways_;  // of the leader's process
  Link to_supervisor_;
  std::deque<Instant> losses_;  // that the supervisor has to count
  std::uint64_t wakes_ = 0;
  bool held_ = true, ending_ = false, ended_ = false, waits_for_place_ = false, draining_ = false;
  bool has_served_ = false;  // as far as its supervisor has heard
  std::uint32_t starts_to_fail_ = 0;
  std::map<std::uint32_t, std::uint64_t> told_to_end_;  // ranks, in which of their lives
};

}  // namespace herd::sim
