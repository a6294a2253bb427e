#pragma once
// What actors tell each other, as plain structs: facts in past tense, orders in the imperative. Those that carry an
// actor's handle are in type_ids.h.

#include <cstdint>
#include <memory>
#include <vector>

#include "actors/messages/delta_sink.h"
#include "cluster/routing/replica_generation.h"
#include "cluster/gateway/request_ledger.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::actors {

// To the gateway, from outside.
struct SubmitSequence {
  step::Submission submission;
  std::shared_ptr<DeltaSink> sink;
};
struct AbortSequence {
  SequenceId sequence;
};
struct StopGateway {};
struct AskGatewayStats {};

// To the gateway, from a replica.
struct DeltasMade {
  std::vector<step::TokenDelta> deltas;
};

// To coordinator and gateway: that generation is gone, with all it was running.
struct ReplicaLost {
  routing::ReplicaGeneration replica;
  Status why;
};

// To the coordinator, from a gateway; answered by Route.
struct AskRoute {
  SequenceId sequence;
  std::vector<routing::ReplicaGeneration> excluded;
};

// To a replica, from the gateway.
struct RunSequence {
  step::Submission submission;
};
struct StopSequence {
  SequenceId sequence;
};

// To a replica, from its ranks.
struct RankMade {
  std::uint32_t rank = 0;
  Status status;
};
struct StepDone {
  step::StepResult result;
};

// To a replica, from itself: look whether a step is overdue.
struct CheckDeadline {};

// To a replica, from whoever started it.
struct AwaitServing {};  // answered by a Status once all ranks are made, or one is not
struct StopReplica {};   // finish the steps in flight, then end
struct KillRank {        // tests
  std::uint32_t rank = 0;
};
struct AskReplicaStats {};
struct ReplicaStats {
  bool serving = false;
  std::uint64_t steps = 0;  // finished
  scheduler::SchedulerStats scheduler;
};

// To a rank, from its replica.
struct MakeRank {};
struct ExecutePlan {
  std::shared_ptr<const step::StepPlan> plan;  // shared by all ranks
};

// To a rank, from itself: look whether the oldest step under way is done.
struct CollectStep {};

}  // namespace herd::actors
