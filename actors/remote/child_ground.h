#pragma once
// ChildGround: the ranks of a replica as child processes of a node (rank_child.h), and its generations led by the process of rank 0
// (led_replica.h).

#include <functional>
#include <memory>
#include <vector>

#include "actors/remote/rank_child.h"
#include "actors/roles/replica_ground.h"
#include "cluster/membership/replica_numerics.h"
#include "cluster/placement/rank_spec.h"
#include "cluster/replica/progress_watch.h"
#include "runtime/scheduler/scheduler_config.h"

namespace herd::actors {

struct ChildGroundConfig {
  std::vector<placement::RankSpec> specs;      // by rank
  std::vector<std::vector<int>> cpus;          // likewise; see RankChildConfig
  scheduler::SchedulerConfig scheduler;
  replica::WatchConfig watch;
  membership::ReplicaNumerics numerics;
  std::shared_ptr<const RankLauncher> launcher;
};

// `system` outlives it. kMissing: no memory or descriptors.
[[nodiscard]] Expected<std::shared_ptr<ReplicaGround>> ground_of_children(caf::actor_system& system, ChildGroundConfig config);

}  // namespace herd::actors
