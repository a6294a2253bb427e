#pragma once
// Every actor's interface and every type CAF may carry.

#include <cstdint>
#include <string>
#include <vector>

#include "actors/messages/caf_compat.h"
#include "actors/messages/messages.h"
#include "actors/ranks/rank.h"

namespace herd::actors {

struct GatewayJoined;
struct JoinGroup;
struct PlaceReplica;
struct PrepareRank;
struct ReplicaServing;

using RankHandle = caf::typed_actor<caf::reacts_to<PrepareRank>, caf::reacts_to<JoinGroup>, caf::reacts_to<ExecutePlan>,
                                    caf::reacts_to<TakeBlock>, caf::reacts_to<CollectStep>, caf::reacts_to<LeaveGroup>>;

using ReplicaHandle =
    caf::typed_actor<caf::reacts_to<GatewayJoined>, caf::reacts_to<RunSequence>, caf::reacts_to<StopSequence>,
                     caf::reacts_to<RankJoined>, caf::reacts_to<StepDone>, caf::reacts_to<WakeUp>, caf::reacts_to<Tick>,
                     caf::reacts_to<StopReplica>, caf::reacts_to<BlockRead>, caf::reacts_to<MoveHeard>>;

using SupervisorHandle =
    caf::typed_actor<caf::reacts_to<RankReady>, caf::reacts_to<RankLeft>, caf::reacts_to<RankLeaving>,
                     caf::reacts_to<RankFailed>, caf::reacts_to<ReplicaPlaced>, caf::reacts_to<ReplicaServing>, caf::reacts_to<ReplicaLost>,
                     caf::reacts_to<WakeUp>, caf::reacts_to<StopReplica>, caf::reacts_to<SetBudget>,
                     caf::replies_to<AwaitServing>::with<Status>,
                     caf::replies_to<FindRank>::with<RankHandle>>;

using CoordinatorHandle = caf::typed_actor<caf::reacts_to<GatewayJoined>, caf::reacts_to<PlaceReplica>,
                                           caf::reacts_to<ReplicaServing>, caf::reacts_to<ReplicaLost>,
                                           caf::reacts_to<ReplicaGivenUp>>;

using GatewayHandle =
    caf::typed_actor<caf::reacts_to<SubmitRequest>, caf::reacts_to<DeltasConsumed>, caf::reacts_to<StopChoice>,
                     caf::reacts_to<ReaderGone>, caf::reacts_to<DeltasMade>, caf::reacts_to<ReplicaReported>,
                     caf::reacts_to<ReplicaLost>, caf::reacts_to<ViewChanged>, caf::reacts_to<WakeUp>,
                     caf::reacts_to<Tick>, caf::reacts_to<LookAtQuotas>, caf::reacts_to<StopGateway>>;

// To a rank, from its supervisor: take weights and memory; what becomes of you is told there.
struct PrepareRank {
  SupervisorHandle supervisor;
};

// To a rank, from the replica of a generation: enter its group; your results go there.
struct JoinGroup {
  Epoch epoch;
  Rendezvous rendezvous;
  ReplicaHandle replica;
};

// To the coordinator, from a supervisor: a generation of that replica is about to be formed. Answered by ReplicaPlaced.
struct PlaceReplica {
  ReplicaId replica;
  std::string address;
  routing::NumericsId numerics;
  std::uint32_t sequences_max = 1;
  std::int64_t max_model_len = 0;  // prompt + emitted tokens of one sequence
  SupervisorHandle supervisor;
};

// To the coordinator and to replicas, from a gateway: this is where its views, reports and deltas go.
struct GatewayJoined {
  GatewayId id;
  GatewayHandle gateway;
  std::shared_ptr<const void> held{};  // messages.h
};

// To the coordinator and its supervisor, from a replica whose ranks have all joined.
struct ReplicaServing {
  routing::ReplicaView view;
  ReplicaHandle replica;
};

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::Status)
HERD_LOCAL_MESSAGE(herd::actors::AwaitServing)
HERD_LOCAL_MESSAGE(herd::actors::BlockRead)
HERD_LOCAL_MESSAGE(herd::actors::CollectStep)
HERD_LOCAL_MESSAGE(herd::actors::DeltasConsumed)
HERD_LOCAL_MESSAGE(herd::actors::DeltasMade)
HERD_LOCAL_MESSAGE(herd::actors::ExecutePlan)
HERD_LOCAL_MESSAGE(herd::actors::FindRank)
HERD_LOCAL_MESSAGE(herd::actors::GatewayJoined)
HERD_LOCAL_MESSAGE(herd::actors::JoinGroup)
HERD_LOCAL_MESSAGE(herd::actors::LeaveGroup)
HERD_LOCAL_MESSAGE(herd::actors::LookAtQuotas)
HERD_LOCAL_MESSAGE(herd::actors::MoveHeard)
HERD_LOCAL_MESSAGE(herd::actors::PlaceReplica)
HERD_LOCAL_MESSAGE(herd::actors::PrepareRank)
HERD_LOCAL_MESSAGE(herd::actors::RankFailed)
HERD_LOCAL_MESSAGE(herd::actors::RankHandle)
HERD_LOCAL_MESSAGE(herd::actors::RankJoined)
HERD_LOCAL_MESSAGE(herd::actors::RankLeaving)
HERD_LOCAL_MESSAGE(herd::actors::RankLeft)
HERD_LOCAL_MESSAGE(herd::actors::RankReady)
HERD_LOCAL_MESSAGE(herd::actors::ReaderGone)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaGivenUp)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaLost)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaPlaced)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaReported)
HERD_LOCAL_MESSAGE(herd::actors::ReplicaServing)
HERD_LOCAL_MESSAGE(herd::actors::RunSequence)
HERD_LOCAL_MESSAGE(herd::actors::SetBudget)
HERD_LOCAL_MESSAGE(herd::actors::StepDone)
HERD_LOCAL_MESSAGE(herd::actors::StopChoice)
HERD_LOCAL_MESSAGE(herd::actors::StopGateway)
HERD_LOCAL_MESSAGE(herd::actors::StopReplica)
HERD_LOCAL_MESSAGE(herd::actors::StopSequence)
HERD_LOCAL_MESSAGE(herd::actors::SubmitRequest)
HERD_LOCAL_MESSAGE(herd::actors::TakeBlock)
HERD_LOCAL_MESSAGE(herd::actors::Tick)
HERD_LOCAL_MESSAGE(herd::actors::ViewChanged)
HERD_LOCAL_MESSAGE(herd::actors::WakeUp)
