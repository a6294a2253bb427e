#pragma once
// Generations of replicas and an instant, as the tests of routing name them.

#include <cstdint>

#include "cluster/routing/replica_generation.h"
#include "runtime/clock.h"

namespace herd::routing {

constexpr ReplicaGeneration generation(std::uint32_t replica, std::uint64_t epoch = 1) { return {ReplicaId(replica), Epoch(epoch)}; }

inline constexpr ReplicaGeneration kA = generation(0), kB = generation(1);
inline constexpr Instant kNow{1000};

}  // namespace herd::routing
