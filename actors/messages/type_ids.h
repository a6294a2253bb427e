#pragma once
// Every actor's interface and every type CAF may carry.

#include <optional>
#include <vector>

#include "actors/messages/caf_compat.h"
#include "actors/messages/messages.h"

namespace herd::actors {

using ShardHandle =
    caf::typed_actor<caf::reacts_to<MakeRank>, caf::reacts_to<ExecutePlan>, caf::reacts_to<CollectStep>>;

using ReplicaHandle =
    caf::typed_actor<caf::reacts_to<RunSequence>, caf::reacts_to<StopSequence>, caf::reacts_to<RankMade>,
                     caf::reacts_to<StepDone>, caf::reacts_to<CheckDeadline>, caf::reacts_to<StopReplica>,
                     caf::reacts_to<KillRank>, caf::replies_to<AwaitServing>::with<Status>,
                     caf::replies_to<AskReplicaStats>::with<ReplicaStats>>;

// To the coordinator, from a replica whose ranks are all made.
struct ReplicaServing {
  routing::ReplicaGeneration generation;
  ReplicaHandle replica;
};

// The coordinator's answer; nothing when no replica can take the sequence.
struct Route {
  std::optional<ReplicaServing> to;
};

using CoordinatorHandle = caf::typed_actor<caf::reacts_to<ReplicaServing>, caf::reacts_to<ReplicaLost>,
                                           caf::replies_to<AskRoute>::with<Route>>;

using GatewayHandle =
    caf::typed_actor<caf::reacts_to<SubmitSequence>, caf::reacts_to<AbortSequence>, caf::reacts_to<DeltasMade>,
                     caf::reacts_to<ReplicaLost>, caf::reacts_to<StopGateway>,
                     caf::replies_to<AskGatewayStats>::with<gateway::RequestLedgerStats>>;

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::Status)
HERD_LOCAL_MESSAGE(herd::actors::AbortSequence)
HERD_LOCAL_MESSAGE(herd::actors::AskGatewayStats)
HERD_LOCAL_MESSAGE(herd::actors::AskReplicaStats)
HERD_LOCAL_MESSAGE(herd::actors::AskRoute)
HERD_LOCAL_MESSAGE(herd::actors::AwaitServing)
HERD_LOCAL_MESSAGE(herd::actors::CheckDeadline)
HERD_LOCAL_MESSAGE(herd::actors::CollectStep)
HERD_LOCAL_MESSAGE(herd::actors::DeltasMade)
HERD_LOCAL_MESSAGE(herd::actors::ExecutePlan)
HERD_LOCAL_MESSAGE(herd::actors::KillRank)
HERD_LOCAL_MESSAGE(herd::actors::MakeRank)
HERD_LOCAL_MESSAGE(herd::actors::RankMade)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaLost)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaServing)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaStats)
HERD_LOCAL_MESSAGE(herd::actors::Route)
HERD_LOCAL_MESSAGE(herd::actors::RunSequence)
HERD_LOCAL_MESSAGE(herd::actors::StepDone)
HERD_LOCAL_MESSAGE(herd::actors::StopGateway)
HERD_LOCAL_MESSAGE(herd::actors::StopReplica)
HERD_LOCAL_MESSAGE(herd::actors::StopSequence)
HERD_LOCAL_MESSAGE(herd::actors::SubmitSequence)
HERD_LOCAL_MESSAGE(herd::gateway::RequestLedgerStats)
