#pragma once
// shard_actor: one rank. A thread of its own around one executor.
//   made --MakeRank--> ready (RankMade to the replica) --ExecutePlan--> ready (StepDone to the replica)
// It waits inside a step and nowhere else. An executor that throws has failed the step. Ends with its replica.

#include <cstdint>

#include "actors/rank_factory.h"
#include "actors/type_ids.h"
#include "actors/wire_roundtrip.h"

namespace herd::actors {

struct ShardState {
  ExecuteStep execute;  // made and destroyed on this actor's thread
};

ShardHandle::behavior_type shard_actor(ShardHandle::stateful_pointer<ShardState> self, ReplicaHandle replica,
                                       ReplicaId replica_id, std::uint32_t rank, RankFactory make_rank,
                                       WireRoundtrip through_wire);

}  // namespace herd::actors
