#pragma once
// What actors tell each other, as plain structs: facts in past tense, orders in the imperative. Those that carry an
// actor's handle are in type_ids.h. `held` is set in messages that came over a connection: its end says that the message has been
// dealt with, so that a peer that sends faster than that is made to wait.

#include <cstdint>
#include <memory>
#include <vector>

#include "actors/client/request_stream.h"
#include "cluster/gateway/gateway_effects.h"
#include "cluster/membership/restart_budget.h"
#include "cluster/replica/move_messages.h"
#include "cluster/replica/replica_core.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/kv/block_news.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/block_bytes.h"
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
// From its client, or whoever hears the coordinator: somebody was refused by quota, or shares of quotas are others now.
struct LookAtQuotas {};

// To a gateway, from a replica.
struct DeltasMade {
  routing::ReplicaGeneration from;
  std::vector<step::TokenDelta> deltas;
  std::shared_ptr<const void> held{};
};
struct ReplicaReported {
  routing::ReplicaGeneration from;
  replica::ReplicaStats stats;
  bool draining = false;  // it takes nothing new
  std::shared_ptr<const kv::BlockNews> news{};  // of its prefix cache; null: none
  std::shared_ptr<const void> held{};
};

// To a gateway, from the coordinator.
struct ViewChanged {
  routing::ClusterView view;
  std::shared_ptr<const void> held{};
};

// To coordinator, gateways and its supervisor: that generation is gone, with all it was running.
struct ReplicaLost {
  routing::ReplicaLoss loss;
  replica::LastSteps last{};  // for its supervisor
  std::shared_ptr<const void> held{};
};

// To a replica, from a gateway. One that joins again is told anew how the replica stands, and all that its prefix cache holds.
struct RunSequence {
  step::Submission submission;
  std::shared_ptr<const void> held{};
};
struct StopSequence {
  step::AttemptKey attempt;
  std::shared_ptr<const void> held{};
};

// To a replica, while KV blocks move between it and others.
struct MoveHeard {
  replica::MoveEvent what;
  std::shared_ptr<const void> held{};
};

// To a replica, from its ranks.
struct BlockRead {  // for another replica; before the StepDone of the plan that read it
  Epoch epoch;      // of that plan
  std::shared_ptr<step::BlockBytes> bytes;  // nobody else's
};
struct RankJoined {
  std::uint32_t rank = 0;
  Status status;
};
struct StepDone {
  step::StepResult result;
};

// To a supervisor, and from it to the replica of its generation.
struct StopReplica {     // take nothing new, end once nothing is left, or with the steps that are in flight after that time
  double drain_s = 0;    // [0, 86400]; a later one replaces the earlier
};
// To a supervisor, from its node: the cluster's file has another one now.
struct SetBudget {
  membership::RestartBudget budget;
};

// To a supervisor, from whoever started it.
struct AwaitServing {};  // answered by a Status once it serves for the first time, or will not
struct FindRank {        // answered by the actor of that rank as it is now; null: it is being started again
  std::uint32_t rank = 0;
};

// To a supervisor, from its ranks.
struct RankReady {  // not ok: it could not be made, and ends
  std::uint32_t rank = 0;
  Status status;
  scheduler::DeviceRates rates;
};
struct RankLeft {
  std::uint32_t rank = 0;
  Epoch epoch;
};
struct RankLeaving {  // its process was told to end
  std::uint32_t rank = 0;
};
struct RankFailed {  // it is in no known state, and ends
  std::uint32_t rank = 0;
  Status why;
};

// To a supervisor, from the coordinator: what it asked to place, under its new generation.
struct ReplicaPlaced {
  routing::ReplicaView view;
};

// To the coordinator, from a supervisor.
struct ReplicaGivenUp {
  ReplicaId replica;
  Status why;
};

// To a rank, from its supervisor.
struct LeaveGroup {
  Epoch epoch;
};

// To a rank, from its replica.
struct ExecutePlan {
  std::shared_ptr<const step::StepPlan> plan;  // shared by all ranks
};

// The same: bytes of a block that a later plan writes.
struct TakeBlock {
  Epoch epoch;  // of the group: transfers of another one have the same numbers
  replica::SharedBlockBytes bytes;
};

// To a rank, from itself: look whether the oldest step under way is done.
struct CollectStep {};
// To a gateway or a replica, from itself: the core's timer, and what is to be said several times a second.
struct WakeUp {
  std::uint64_t ticket = 0;
};
struct Tick {};

}  // namespace herd::actors
