#pragma once
// How a rank's executor is made and driven, and who hears of its steps. Plain interfaces: actors do not know what
// computes a step.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/step_plan.h"
#include "runtime/shard/rank_executor.h"

namespace herd::actors {

// Makes one rank's executor. Called on that rank's own thread, which then makes every call and destroys it, so that
// first touch, affinity and float mode are right. The ranks of all replicas are made at the same time.
using RankFactory =
    std::function<Expected<std::unique_ptr<shard::RankExecutor>>(ReplicaId replica, std::uint32_t rank)>;

// Called when all ranks have done a step. `stats` are rank 0's. step_s is the step's share of the wall clock: from its
// plan's sending, or from the end of the step before when that came later, to the last rank's result.
using OnStep = std::function<void(ReplicaId replica, const step::StepStats& stats, double step_s)>;

}  // namespace herd::actors
