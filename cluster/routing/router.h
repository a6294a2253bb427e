#pragma once
// Router: which replica takes the next sequence. Pure. Round robin over the serving ones.

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "runtime/ids.h"

namespace herd::routing {

class Router {
 public:
  // A repeat or an older epoch of a replica changes nothing.
  void on_replica_serving(ReplicaGeneration replica);
  // A generation that does not serve changes nothing.
  void on_replica_lost(ReplicaGeneration replica);

  // The next serving replica that is not among `excluded`; nullopt when there is none.
  [[nodiscard]] std::optional<ReplicaGeneration> pick(std::span<const ReplicaGeneration> excluded);

  [[nodiscard]] std::vector<ReplicaGeneration> serving() const;  // rising

 private:
  std::map<ReplicaId, Epoch> serving_;
  std::map<ReplicaId, Epoch> lost_;  // the last lost epoch of each replica
  ReplicaId next_;                   // pick begins here
};

}  // namespace herd::routing
