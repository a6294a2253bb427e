#pragma once
// Who hears of what replicas do, without being an actor.

#include <functional>

#include "cluster/membership/group_supervisor.h"
#include "runtime/ids.h"
#include "runtime/step/step_plan.h"

namespace herd::actors {

// Called when all ranks have done a step. `stats` are rank 0's. step_s is the step's share of the wall clock: from its
// plan's sending, or from the end of the step before when that came later, to the last rank's result.
using OnStep = std::function<void(ReplicaId replica, const step::StepStats& stats, double step_s)>;

// Called when a replica lost something, got it back or gave up, in words for a log and with a kind for counters.
using OnNote = std::function<void(ReplicaId replica, const membership::Note& note)>;

}  // namespace herd::actors
