#pragma once
// Every actor's interface and every type CAF may carry.

#include <vector>

#include "actors/messages/caf_compat.h"
#include "actors/messages/messages.h"

namespace herd::actors {

struct MakeRank;
struct GatewayJoined;
struct ReplicaServing;

using ShardHandle =
    caf::typed_actor<caf::reacts_to<MakeRank>, caf::reacts_to<ExecutePlan>, caf::reacts_to<CollectStep>>;

using ReplicaHandle =
    caf::typed_actor<caf::reacts_to<GatewayJoined>, caf::reacts_to<RunSequence>, caf::reacts_to<StopSequence>,
                     caf::reacts_to<RankMade>, caf::reacts_to<StepDone>, caf::reacts_to<WakeUp>, caf::reacts_to<Tick>,
                     caf::reacts_to<StopReplica>, caf::replies_to<AwaitServing>::with<Status>>;

using CoordinatorHandle = caf::typed_actor<caf::reacts_to<GatewayJoined>, caf::reacts_to<ReplicaServing>,
                                           caf::reacts_to<ReplicaLost>>;

using GatewayHandle =
    caf::typed_actor<caf::reacts_to<SubmitRequest>, caf::reacts_to<DeltasConsumed>, caf::reacts_to<StopChoice>,
                     caf::reacts_to<ReaderGone>, caf::reacts_to<DeltasMade>, caf::reacts_to<ReplicaReported>,
                     caf::reacts_to<ReplicaLost>, caf::reacts_to<ViewChanged>, caf::reacts_to<WakeUp>,
                     caf::reacts_to<Tick>, caf::reacts_to<StopGateway>>;

// To a rank, from its replica: make your executor; your results go there.
struct MakeRank {
  ReplicaHandle replica;
};

// To the coordinator and to replicas, from a gateway: this is where its views, reports and deltas go.
struct GatewayJoined {
  GatewayId id;
  GatewayHandle gateway;
};

// To the coordinator, from a replica whose ranks are all made.
struct ReplicaServing {
  routing::ReplicaView view;
  ReplicaHandle replica;
};

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::Status)
HERD_LOCAL_MESSAGE(herd::actors::AwaitServing)
HERD_LOCAL_MESSAGE(herd::actors::CollectStep)
HERD_LOCAL_MESSAGE(herd::actors::DeltasConsumed)
HERD_LOCAL_MESSAGE(herd::actors::DeltasMade)
HERD_LOCAL_MESSAGE(herd::actors::ExecutePlan)
HERD_LOCAL_MESSAGE(herd::actors::GatewayJoined)
HERD_LOCAL_MESSAGE(herd::actors::MakeRank)
HERD_LOCAL_MESSAGE(herd::actors::RankMade)
HERD_LOCAL_MESSAGE(herd::actors::ReaderGone)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaLost)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaReported)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaServing)
HERD_LOCAL_MESSAGE(herd::actors::RunSequence)
HERD_LOCAL_MESSAGE(herd::actors::StepDone)
HERD_LOCAL_MESSAGE(herd::actors::StopChoice)
HERD_LOCAL_MESSAGE(herd::actors::StopGateway)
HERD_LOCAL_MESSAGE(herd::actors::StopReplica)
HERD_LOCAL_MESSAGE(herd::actors::StopSequence)
HERD_LOCAL_MESSAGE(herd::actors::SubmitRequest)
HERD_LOCAL_MESSAGE(herd::actors::Tick)
HERD_LOCAL_MESSAGE(herd::actors::ViewChanged)
HERD_LOCAL_MESSAGE(herd::actors::WakeUp)
