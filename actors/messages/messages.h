#pragma once
// What actors tell each other, as plain structs: facts in past tense, orders in the imperative. Those that carry an
// actor's handle are in type_ids.h.

#include <cstdint>
#include <memory>
#include <vector>

#include "actors/client/request_stream.h"
#include "cluster/gateway/gateway_effects.h"
#include "cluster/replica/replica_core.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::actors {

// To the gateway, from its client.
struct SubmitRequest {
  gateway::GatewayRequest request;
  std::shared_ptr<RequestStream> stream;
};
struct DeltasConsumed {
  RequestId request;
  std::size_t deltas = 0;
};
struct StopChoice {
  RequestId request;
  std::uint32_t choice = 0;
};
struct ReaderGone {
  RequestId request;
};
struct StopGateway {};

// To a gateway, from a replica.
struct DeltasMade {
  routing::ReplicaGeneration from;
  std::vector<step::TokenDelta> deltas;
};
struct ReplicaReported {
  routing::ReplicaGeneration from;
  replica::ReplicaStats stats;
};

// To a gateway, from the coordinator.
struct ViewChanged {
  routing::ClusterView view;
};

// To coordinator and gateways: that generation is gone, with all it was running.
struct ReplicaLost {
  routing::ReplicaLoss loss;
};

// To a replica, from a gateway.
struct RunSequence {
  step::Submission submission;
};
struct StopSequence {
  step::AttemptKey attempt;
};

// To a replica, from its ranks.
struct RankMade {
  std::uint32_t rank = 0;
  Status status;
};
struct StepDone {
  step::StepResult result;
};

// To a replica, from whoever started it.
struct AwaitServing {};  // answered by a Status once all ranks are made, or one is not
struct StopReplica {};   // finish the steps in flight, then end

// To a rank, from its replica.
struct ExecutePlan {
  std::shared_ptr<const step::StepPlan> plan;  // shared by all ranks
};

// To a rank, from itself: look whether the oldest step under way is done.
struct CollectStep {};
// To a gateway or a replica, from itself: the core's timer, and what is to be said several times a second.
struct WakeUp {
  std::uint64_t ticket = 0;
};
struct Tick {};

}  // namespace herd::actors
