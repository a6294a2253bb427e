#pragma once
// What a scheduler can never run, whatever else is going on.

#include "kernels/status.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/step/submission.h"

namespace herd::scheduler {

// kBadInput: nothing to compute, too long, can never fit the pool, or what would fail the step at the ranks (a token outside
// the vocabulary, sampling parameters out of range).
[[nodiscard]] Status check_submission(const step::Submission& submission, const SchedulerConfig& config);

}  // namespace herd::scheduler
