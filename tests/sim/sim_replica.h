#pragma once
// SimReplica: one place where a replica lives again and again: its ranks, the product's GroupSupervisor over them, and its
// present generation. Carries out what the supervisor says, and does to the ranks what the seed asks for. When it is given up,
// its process ends, and whoever runs it starts it anew.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/membership/coordinator_core.h"
#include "cluster/membership/group_supervisor.h"
#include "tests/sim/network.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_life.h"
#include "tests/sim/sim_ranks.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimReplica : private LifeHost, private RanksHost {
 public:
  SimReplica(World& world, Network& network, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index);

  [[nodiscard]] routing::ReplicaGeneration generation() const { return generation_; }
  [[nodiscard]] const routing::NumericsId& numerics() const { return numerics_; }
  [[nodiscard]] bool alive() const { return life_ != nullptr; }
  [[nodiscard]] bool serving() const { return life_ != nullptr && life_->serving(); }
  [[nodiscard]] bool draining() const { return draining_; }
  // It serves, takes new sequences, and nothing is about to end or to delay it.
  [[nodiscard]] bool whole() const;
  [[nodiscard]] bool given_up() const { return given_up_; }
  [[nodiscard]] bool idle() const { return life_->idle(); }
  [[nodiscard]] routing::ReplicaView view() const;
  [[nodiscard]] std::uint32_t sequences_max() const;

  // From whoever runs it.
  void start();
  void on_coordinator_back(membership::CoordinatorCore& core, membership::CoordinatorEffects& effects);
  void drain();
  void stop();
  void give_up();

  // From gateways; what is meant for another life is dropped.
  void on_submission(routing::ReplicaGeneration to, const step::Submission& submission);
  void on_abort(routing::ReplicaGeneration on, const step::AttemptKey& attempt);
  void on_gateway_gone(GatewayId gateway);

  // Faults.
  void kill(routing::LossCause cause);       // the whole process is gone, its ranks with it
  void lose_rank(routing::LossCause cause);
  void befall(RankFault fault);              // whichever rank begins the next step
  void damage_weights();                     // of one rank
  void fail_start() { starts_to_fail_ = 1; }
  void fail_join() { ranks_.fail_joins(1); }
  void pause(std::int64_t us);               // the process does nothing, and does not know
  void heal();                               // what was planted and has not come yet does not come
  void repeat_old_result() { ranks_.repeat_old_result(); }

  void check();
  void check_drained();

 private:
  void later(std::int64_t us, EventLoop::Event event) { world_.loop.after(us, awake(std::move(event))); }
  void message(EventLoop::Event event) { later(world_.us_up_to(world_.options.message_us_max), std::move(event)); }

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
  void carry_out(const membership::EndRank& effect);
  void carry_out(const membership::GiveUp& effect);
  void carry_out(const membership::WakeSupervisorAt& effect);
  void carry_out(const membership::Note& effect);
  void on_rank_started(std::uint32_t rank);
  void begin();
  void end_process();
  void restart();
  void kill_ranks(const routing::ReplicaLoss& loss);
  void wake_up();
  void tell_supervisor(EventLoop::Event event);

  // LifeHost
  void at_life(Instant when, EventLoop::Event event) override;
  void send_plan(const step::StepPlan& plan) override { ranks_.send_plan(plan); }
  std::vector<Progress> read_ranks() const override { return ranks_.read(); }
  void on_life_serving() override;
  void on_life_lost(const routing::ReplicaLoss& loss) override;
  void end_life() override;
  // RanksHost
  EventLoop::Event awake(EventLoop::Event event) override;
  std::uint64_t pauses_so_far() const override { return pauses_; }
  SimLife* life() override { return life_.get(); }
  Epoch epoch() const override { return generation_.epoch; }
  void on_rank_gone(std::uint32_t rank, const std::string& why, std::int64_t us_max) override;
  void on_rank_left(std::uint32_t rank, Epoch epoch) override;

  void violate(const std::string& what);

  World& world_;
  Network& network_;
  SimCoordinator& coordinator_;
  RequestBook& book_;
  std::uint32_t index_;
  routing::NumericsId numerics_;
  routing::ReplicaGeneration generation_;
  std::optional<routing::ReplicaGeneration> reserved_;  // the next one, named by a coordinator that is new
  std::unique_ptr<membership::GroupSupervisor> supervisor_;
  std::unique_ptr<SimLife> life_, last_life_;
  SimRanks ranks_;
  std::uint64_t processes_ = 0, wakes_ = 0, forms_ = 0, pauses_ = 0;
  Instant paused_until_;
  std::deque<EventLoop::Event> asleep_;  // what comes meanwhile
  std::deque<Instant> losses_;  // that the supervisor has to count
  bool draining_ = false, given_up_ = false;
  Link to_supervisor_;
  bool has_served_ = false;  // this process, as far as its supervisor has heard
  std::uint32_t starts_to_fail_ = 0;
};

}  // namespace herd::sim
