#pragma once
// ResultTaker: takes the result of one plan. Tokens, rows, ends and failures become deltas, and the blocks of those who
// drained with that plan return.

#include <cstddef>
#include <vector>

#include "runtime/scheduler/scheduler_state.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::scheduler {

// For one result: made, asked once, forgotten.
class ResultTaker {
 public:
  ResultTaker(SchedulerState& state, const step::StepResult& result, Instant now)
      : state_(state), result_(result), now_(now) {}

  // Of the oldest plan that is out. Deltas in plan order.
  [[nodiscard]] std::vector<step::TokenDelta> take();

 private:
  void take_slice(const SliceInFlight& slice);
  void take_rows(Sequence& sequence, const SliceInFlight& slice, const step::SampledToken* sampled,
                 step::TokenDelta& delta);
  void take_token(Slot slot, const step::SampledToken& sampled, step::TokenDelta& delta);
  void take_outputs(Sequence& sequence, const SliceInFlight& slice, step::TokenDelta& delta);
  void fail_all();

  SchedulerState& state_;
  const step::StepResult& result_;
  const Instant now_;
  std::size_t cursor_ = 0;  // in result_.sampled
  std::vector<step::TokenDelta> deltas_;
};

}  // namespace herd::scheduler
