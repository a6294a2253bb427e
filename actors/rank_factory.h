#pragma once
// How a rank's executor is made and called, and who hears of its steps. Plain functions: actors do not know what computes a step.

#include <cstdint>
#include <functional>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/scheduler/step_plan.h"

namespace herd::actors {

// Runs one plan on one rank and waits for it. A failed step is a result whose status is not ok.
using ExecuteStep = std::function<scheduler::StepResult(const scheduler::StepPlan&)>;

// Makes one rank's executor. Called on that rank's own thread, which then makes every call and destroys it, so that
// first touch, affinity and float mode are right. The ranks of all replicas are made at the same time.
using RankFactory = std::function<Expected<ExecuteStep>(ReplicaId replica, std::uint32_t rank)>;

// Called when all ranks have done a step. `stats` are rank 0's. step_s is the step's share of the wall clock: from its
// plan's sending, or from the end of the step before when that came later, to the last rank's result.
using OnStep = std::function<void(ReplicaId replica, const scheduler::StepStats& stats, double step_s)>;

}  // namespace herd::actors
