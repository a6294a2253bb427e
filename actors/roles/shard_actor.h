#pragma once
// shard_actor: one rank. A thread of its own around one executor.
//   made --MakeRank--> ready (RankMade to the replica) --ExecutePlan--> ready (StepDone to the replica)
// Ends with its replica. An executor that throws has failed the step.
//
// A step may be under way when submit returns (a GPU's): then the actor tells itself to look (CollectStep), again and
// again until nothing is under way; there is one such message at most. Each look waits kPatience for the device and
// nowhere longer, so what comes meanwhile is met at once:
// - a plan that arrives while a step is under way lies in the mailbox before the next CollectStep, so it is submitted
//   before anybody waits for that step: the host's work of step N + 1 runs while the device computes step N.
// - the end of the actor (its replica has failed or stopped) is taken between two looks, even from a device that hangs;
//   the executor's destructor then has to end what is under way.
// A CPU's step is done when submit returns: its StepDone leaves at once and there is no CollectStep, as if the step had
// been executed in place. In all cases StepDones leave in the order of their plans.

#include <chrono>
#include <cstdint>
#include <memory>

#include "actors/messages/rank_factory.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/rank_steps.h"

namespace herd::actors {

struct ShardState {
  static constexpr std::chrono::microseconds kPatience{50};
  ShardState() = default;

  ReplicaHandle replica;             // known from MakeRank on
  std::unique_ptr<RankSteps> steps;  // made and destroyed on this actor's thread
  bool looking = false;              // a CollectStep is in the mailbox
};

ShardHandle::behavior_type shard_actor(ShardHandle::stateful_pointer<ShardState> self, ReplicaId replica,
                                       std::uint32_t rank, RankFactory make_rank);

}  // namespace herd::actors
