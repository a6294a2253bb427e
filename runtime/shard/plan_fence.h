#pragma once
// PlanFence: which plans a rank executes: those of the group it is in, one step after the other from step 1 on. A plan that
// came too late, twice or not at all is seen here, before it writes a key or a value. Pure.

#include <optional>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/step_plan.h"

namespace herd::shard {

class PlanFence {
 public:
  // From here on the rank is in the group of that epoch, before its first step.
  void join(Epoch epoch);
  // From here on it is in none: every plan is refused.
  void leave();

  // Not ok (kInternal): the plan is of another group, or another step is next. The message says what came and what was
  // expected. A rank that never joined or left a group joins that of its first plan.
  [[nodiscard]] Status admit(const step::StepPlan& plan);

 private:
  bool took_part_ = false;      // joined or left a group once
  std::optional<Epoch> epoch_;  // of the group
  StepId last_;                 // admitted
};

}  // namespace herd::shard
