#pragma once
// rank_actor: one rank, on a thread of its own. It outlives the replica's generations: groups come and go, weights and memory
// stay. Holds no policy; what it drives is actors/ranks/rank.h.
//   made --PrepareRank--> free (RankReady to the supervisor; not ok: it ends)
//   free --JoinGroup--> in a group (RankJoined to the replica) --ExecutePlan--> in a group (StepDone to the replica)
//   in a group --LeaveGroup--> free (RankLeft to the supervisor)
// A failed status keeps the rank. One that throws is in no known state: it fails its step, says RankFailed and ends, and its
// supervisor starts another.
//
// A step may be under way when submit returns (a GPU's): then the actor tells itself to look (CollectStep), again and
// again until nothing is under way; there is one such message at most. Each look waits kPatience for the device and
// nowhere longer, so what comes meanwhile is met at once:
// - a plan that arrives while a step is under way lies in the mailbox before the next CollectStep, so it is submitted
//   before anybody waits for that step: the host's work of step N + 1 runs while the device computes step N.
// - LeaveGroup and the end of the actor are taken between two looks, even from a device that hangs: the group was aborted
//   before, so what is under way ends soon.
// A CPU's step is done when submit returns: its StepDone leaves at once and there is no CollectStep, as if the step had
// been executed in place. In all cases StepDones leave in the order of their plans.

#include <chrono>
#include <memory>

#include "actors/messages/type_ids.h"
#include "actors/ranks/rank_ground.h"
#include "actors/roles/live_ranks.h"
#include "actors/roles/rank_steps.h"

namespace herd::actors {

class RankState {
 public:
  using Self = RankHandle::stateful_pointer<RankState>;
  explicit RankState(Self self) : self_(self) {}
  void start(RankStart start, std::shared_ptr<RankGround> ground, std::shared_ptr<LiveRanks> live);

  void on_prepare(const PrepareRank& order);
  void on_join(const JoinGroup& order);
  void on_plan(const ExecutePlan& order);
  void on_block(const TakeBlock& given);
  void on_collect();
  void on_leave(const LeaveGroup& order);

 private:
  static constexpr std::chrono::microseconds kPatience{50};

  [[nodiscard]] Expected<scheduler::DeviceRates> prepare();
  void look_again();  // behind what is in the mailbox already
  void end_if_broken();
  void fail(Status why);

  Self self_;
  std::unique_ptr<LiveRanks::Place> place_;  // goes last: the thread is as good as back then
  RankStart start_;
  std::shared_ptr<RankGround> ground_;
  SupervisorHandle supervisor_;      // known from PrepareRank on
  ReplicaHandle replica_;            // of the group it is in, or was in last
  std::unique_ptr<Rank> rank_;       // made and destroyed on this actor's thread
  std::unique_ptr<RankSteps> steps_;  // in a group
  Epoch epoch_;                      // of that group
  Epoch newest_;                     // of the groups that it joined or was told to leave
  bool looking_ = false;             // a CollectStep is in the mailbox
};

RankHandle::behavior_type rank_actor(RankState::Self self, RankStart start, std::shared_ptr<RankGround> ground,
                                     std::shared_ptr<LiveRanks> live);

}  // namespace herd::actors
