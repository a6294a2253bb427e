#pragma once
// One life of a replica. What is lost is a generation; the replica itself comes back under the next epoch.

#include <compare>

#include "runtime/ids.h"

namespace herd::routing {

struct ReplicaGeneration {
  ReplicaId replica;
  Epoch epoch;
  constexpr auto operator<=>(const ReplicaGeneration&) const = default;
};

}  // namespace herd::routing
