#pragma once
// supervisor_actor: one replica through all its generations. It carries out what a GroupSupervisor says: starts ranks, asks the
// coordinator for a generation, opens what the ranks meet in, and starts a replica_actor for it. Holds no policy; see
// cluster/membership/group_supervisor.h.
//   made --FormGroup--> PlaceReplica to the coordinator --ReplicaPlaced--> replica_actor spawned
//   --ReplicaLost--> group aborted, address gone --LeaveGroup, RankLeft--> made again
//   any --StopReplica--> its replica stops, then its ranks end, and it does

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "actors/messages/observers.h"
#include "actors/messages/type_ids.h"
#include "actors/ranks/rank_ground.h"
#include "actors/roles/address_book.h"
#include "actors/roles/live_ranks.h"
#include "actors/roles/wake_timer.h"
#include "cluster/membership/group_supervisor.h"
#include "cluster/replica/replica_core.h"
#include "runtime/clock.h"

namespace herd::actors {

struct SupervisorConfig {
  membership::GroupSupervisorConfig core;
  replica::ReplicaCoreConfig replica;  // of every generation; which one, and what its operations cost, is filled in
  routing::NumericsId numerics;
  // Predicts from what the slowest of the ranks was measured to do; empty: nothing is predicted.
  std::function<scheduler::StepCost(const scheduler::DeviceRates&)> make_cost;
  std::shared_ptr<RankGround> ground;
  std::shared_ptr<AddressBook> addresses;
  std::shared_ptr<LiveRanks> live = std::make_shared<LiveRanks>();
  OnStep on_step{};                      // may be empty
  OnNote on_note{};                      // may be empty
  std::function<Instant()> clock;
  scheduler::SchedulerProbe scheduler_probe{};  // tests
  bool ranks_have_threads = true;        // false: tests, which run every actor themselves
};

class SupervisorState {
 public:
  using Self = SupervisorHandle::stateful_pointer<SupervisorState>;
  explicit SupervisorState(Self self) : self_(self) {}
  void start(SupervisorConfig config, CoordinatorHandle coordinator);

  // Asks the core, and does what it said.
  template <class Ask>
  void decide(Ask ask) {
    const Instant now = config_.clock();
    ask(*core_, now);
    carry_out(now);
  }
  [[nodiscard]] membership::SupervisorEffects& effects() { return effects_; }

  void on_rank_ready(const RankReady& ready);
  void on_rank_failed(const RankFailed& failed);
  void on_placed(const ReplicaPlaced& placed);
  void on_serving(const ReplicaServing& serving);
  void on_lost(const routing::ReplicaLoss& loss);
  void on_wake_up(const WakeUp& message);
  void on_stop();
  caf::typed_response_promise<Status> on_await_serving();
  [[nodiscard]] RankHandle find(std::uint32_t rank) const { return ranks_.at(rank).handle; }

 private:
  struct LivingRank {
    RankHandle handle;  // null: there is none
    std::shared_ptr<ProgressWord> progress;
    scheduler::DeviceRates rates;
    Status failure;     // what it said before it ended
  };

  void on_down(const caf::actor_addr& source, bool killed);
  void carry_out(Instant now);
  void carry_out(membership::StartRank& order, Instant now);
  void carry_out(membership::FormGroup& order, Instant now);
  void carry_out(membership::LeaveGroup& order, Instant now);
  void carry_out(membership::EndRank& order, Instant now);
  void carry_out(membership::GiveUp& order, Instant now);
  void carry_out(membership::WakeSupervisorAt& order, Instant now);
  void carry_out(membership::Note& order, Instant now);
  [[nodiscard]] Status form(const routing::ReplicaView& view);
  void spawn_replica(const routing::ReplicaView& view, Rendezvous rendezvous, const std::optional<scheduler::StepCost>& cost);
  void forget_generation(const Status& why);
  void end_ranks();
  void answer_waiting(const Status& status);
  [[nodiscard]] std::optional<scheduler::StepCost> predict() const;
  [[nodiscard]] ReplicaId replica_id() const { return config_.core.replica; }

  Self self_;
  SupervisorConfig config_;
  CoordinatorHandle coordinator_;
  std::optional<membership::GroupSupervisor> core_;
  membership::SupervisorEffects effects_;
  std::vector<LivingRank> ranks_;
  std::optional<routing::ReplicaGeneration> generation_;  // the one that is being formed or serves
  Epoch lost_;                                            // of the last one that was lost: what ranks are to leave
  ReplicaHandle replica_;                                 // its actor, watched; null: it is gone
  WakeTimer timer_;
  std::vector<caf::typed_response_promise<Status>> waiting_for_service_;
  std::optional<Status> started_;  // what they are told: it has served, or never will
  bool stopping_ = false;
};

// A replica's address in its process.
[[nodiscard]] std::string replica_address(ReplicaId replica);

SupervisorHandle::behavior_type supervisor_actor(SupervisorState::Self self, SupervisorConfig config,
                                                 CoordinatorHandle coordinator);

}  // namespace herd::actors
