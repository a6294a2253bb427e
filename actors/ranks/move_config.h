#pragma once
// What a replica says of its KV blocks to others that take some of them, or give it some.

#include <string>

#include "cluster/placement/replica_plan.h"
#include "cluster/replica/block_fetches.h"
#include "runtime/scheduler/scheduler_config.h"

namespace herd::actors {

// `numerics_class`: of its devices (Device::numerics_class()). `numerics`: of the replica; empty where all replicas are of one process.
[[nodiscard]] replica::MoveConfig move_config(const placement::ShardedModel& model, const scheduler::SchedulerConfig& scheduler,
                                              const std::string& numerics_class, const routing::NumericsId& numerics);

}  // namespace herd::actors
