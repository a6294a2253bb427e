#pragma once
// StepsOut: what the steps compute that were sent to the ranks and are not done. Pure. Says afterwards whom they may have
// befallen.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "cluster/replica/attempt_table.h"
#include "cluster/routing/replica_loss.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/step/step_plan.h"

namespace herd::replica {

class StepsOut {
 public:
  struct Step {
    StepId step;
    scheduler::StepShape shape;
    std::vector<routing::AttemptInStep> attempts;
    bool copies = false;  // blocks, which no prediction knows of
  };

  // A plan is about to be sent; `attempts` knows all of its sequences.
  void push(const step::StepPlan& plan, const AttemptTable& attempts);
  // The oldest one is done by all ranks, and is that one.
  Step pop(StepId step);
  void clear();

  // Of all steps, each once, with the later of its steps. Rising.
  [[nodiscard]] std::vector<routing::AttemptInStep> attempts() const;
  [[nodiscard]] const std::deque<Step>& steps() const { return steps_; }  // oldest first

 private:
  std::deque<Step> steps_;
  std::map<SequenceId, std::uint32_t> emitted_at_start_;  // tokens, of the own ids that ranks know
};

}  // namespace herd::replica
