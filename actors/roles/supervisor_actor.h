#pragma once
// supervisor_actor: one replica through all its generations. It carries out what a GroupSupervisor says: starts ranks, asks the
// coordinator for a generation, and has it formed. Holds no policy; see cluster/membership/group_supervisor.h. Where ranks run and
// generations are formed, in this process or in others, is its ReplicaGround's.
//   made --FormGroup--> PlaceReplica to the coordinator --ReplicaPlaced--> the generation's replica is made
//   --ReplicaLost--> group aborted, address gone --LeaveGroup, RankLeft--> made again
//   any --StopReplica--> its replica drains and stops, then its ranks end, then it does

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "actors/messages/observers.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/replica_ground.h"
#include "actors/roles/wake_timer.h"
#include "cluster/membership/group_supervisor.h"
#include "runtime/clock.h"

namespace herd::actors {

struct SupervisorConfig {
  membership::GroupSupervisorConfig core;
  std::shared_ptr<ReplicaGround> ground;  // not null; this supervisor's own
  double drain_s = 0;  // a generation has so long to finish what it has, before a rank of it that was told to end is ended
  OnNote on_note{};  // may be empty
  std::function<Instant()> clock;
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
  void on_lost(const ReplicaLost& lost);
  void on_wake_up(const WakeUp& message);
  void on_stop(const StopReplica& order);
  caf::typed_response_promise<Status> on_await_serving();
  [[nodiscard]] RankHandle find(std::uint32_t rank) const { return ranks_.at(rank).handle; }

 private:
  struct LivingRank {
    RankHandle handle;  // null: there is none
    std::shared_ptr<const ProgressWord> progress;
    scheduler::DeviceRates rates;
    Status failure;     // what it said before it ended
  };

  void on_down(const caf::actor_addr& source, bool killed);
  void carry_out(Instant now);
  void carry_out(membership::StartRank& order, Instant now);
  void carry_out(membership::FormGroup& order, Instant now);
  void carry_out(membership::LeaveGroup& order, Instant now);
  void carry_out(membership::DrainGeneration& order, Instant now);
  void carry_out(membership::EndRank& order, Instant now);
  void carry_out(membership::GiveUp& order, Instant now);
  void carry_out(membership::WakeSupervisorAt& order, Instant now);
  void carry_out(membership::Note& order, Instant now);
  [[nodiscard]] Status form(const routing::ReplicaView& view);
  void forget_generation(const Status& why);
  void end_ranks();
  void quit_when_alone();
  void answer_waiting(const Status& status);
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

SupervisorHandle::behavior_type supervisor_actor(SupervisorState::Self self, SupervisorConfig config,
                                                 CoordinatorHandle coordinator);

}  // namespace herd::actors
