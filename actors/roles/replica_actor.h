#pragma once
// replica_actor: one generation of a replica. It carries out what a ReplicaCore says: its ranks join a group, plans go to them,
// deltas to the gateways that joined. Holds no policy and no phases; see cluster/replica/replica_core.h. It ends with its
// generation; its ranks go on, in the next one.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "actors/messages/observers.h"
#include "actors/messages/type_ids.h"
#include "actors/ranks/progress_page.h"
#include "actors/ranks/rank_ground.h"
#include "actors/roles/address_book.h"
#include "actors/roles/move_port.h"
#include "actors/roles/rank_fate.h"
#include "actors/roles/wake_timer.h"
#include "cluster/replica/replica_core.h"
#include "runtime/clock.h"

namespace herd::actors {

struct ReplicaRank {
  RankHandle handle;
  std::shared_ptr<const ProgressWord> progress;
  std::shared_ptr<const RankFate> fate{};  // how it ended, when it has; null: its end itself says so
};

struct ReplicaConfig {
  replica::ReplicaCoreConfig core;
  routing::ReplicaView view;  // as the coordinator is told of it once it serves
  std::vector<ReplicaRank> ranks;  // prepared, and in no group
  Rendezvous rendezvous;
  std::shared_ptr<RankGround> ground;
  std::shared_ptr<ProgressPage> page{};  // of ranks that are processes: what they died of, and whose sequences these are; else null
  std::shared_ptr<AddressBook> addresses{};  // it can be reached there before it can serve; null: others take its gateways
  OnStep on_step{};  // may be empty
  std::function<void(const replica::ReplicaStats&)> on_stats{};  // as often as gateways hear of them; may be empty
  // How it reaches replicas that KV blocks move from and to, from now until what this returns is gone; may be empty.
  std::function<std::shared_ptr<MovePort>(routing::ReplicaGeneration, ReplicaHandle)> join_moves{};
  std::function<Instant()> clock;
  scheduler::SchedulerProbe scheduler_probe{};  // tests
};

class ReplicaState {
 public:
  using Self = ReplicaHandle::stateful_pointer<ReplicaState>;
  explicit ReplicaState(Self self) : self_(self) {}
  // `coordinator` null: it hears from the supervisor.
  void start(ReplicaConfig config, CoordinatorHandle coordinator, SupervisorHandle supervisor);

  // Asks the core, says how things stand, and does what the core said, in that order: whoever sees the last token of all
  // finds the numbers up to date.
  template <class Ask>
  void decide(Ask ask) {
    const Instant now = config_.clock();
    ask(*core_, now);
    report(now);
    carry_out(now);
  }
  [[nodiscard]] replica::ReplicaEffects& effects() { return effects_; }

  void on_gateway_joined(const GatewayJoined& joined);
  void on_move(const MoveHeard& heard);
  void on_wake_up(const WakeUp& message);
  void on_tick();

 private:
  [[nodiscard]] ReplicaReported reported(const replica::ReplicaStats& stats, std::optional<kv::BlockNews> news) const;
  void on_down(const caf::actor_addr& source, bool killed);
  void report(Instant now);
  void tell_gateways(const replica::ReplicaStats& stats);
  void carry_out(Instant now);
  void carry_out(replica::ExecuteOnRanks& order, Instant now);
  void carry_out(replica::SendDeltas& order, Instant now);
  void carry_out(replica::SayServing& order, Instant now);
  void carry_out(replica::SayLost& order, Instant now);
  void carry_out(replica::AbortGroup& order, Instant now);
  void carry_out(replica::EndGeneration& order, Instant now);
  void carry_out(replica::StepFinished& order, Instant now);
  void carry_out(replica::WakeReplicaAt& order, Instant now);
  void carry_out(replica::SendToHolder& order, Instant now);
  void carry_out(replica::SendToTaker& order, Instant now);
  void carry_out(replica::GiveBlock& order, Instant now);

  Self self_;
  ReplicaConfig config_;
  std::optional<replica::ReplicaCore> core_;
  replica::ReplicaEffects effects_;
  std::shared_ptr<MovePort> moves_;  // null: nothing moves
  CoordinatorHandle coordinator_;
  SupervisorHandle supervisor_;
  std::map<GatewayId, GatewayHandle> gateways_;  // watched
  WakeTimer timer_;
  Instant reported_;
  bool tick_under_way_ = false;
  bool said_draining_ = false;
};

ReplicaHandle::behavior_type replica_actor(ReplicaState::Self self, ReplicaConfig config, CoordinatorHandle coordinator,
                                           SupervisorHandle supervisor);

}  // namespace herd::actors
