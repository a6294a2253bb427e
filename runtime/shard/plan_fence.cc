#include "runtime/shard/plan_fence.h"

#include <string>

namespace herd::shard {
namespace {

Status refused(const step::StepPlan& plan, const std::string& instead) {
  return {StatusCode::kInternal, "step plan: step " + std::to_string(plan.step.value) + " of epoch " +
                                     std::to_string(plan.epoch.value) + ", but " + instead};
}

}  // namespace

void PlanFence::join(Epoch epoch) {
  took_part_ = true;
  epoch_ = epoch;
  last_ = StepId{0};
}

void PlanFence::leave() {
  took_part_ = true;
  epoch_.reset();
}

Status PlanFence::admit(const step::StepPlan& plan) {
  if (!took_part_) join(plan.epoch);
  if (!epoch_) return refused(plan, "this rank is in no group");
  if (plan.epoch != *epoch_) return refused(plan, "this rank is in epoch " + std::to_string(epoch_->value));
  if (plan.step.value != last_.value + 1)
    return refused(plan, "step " + std::to_string(last_.value + 1) + " comes next");
  last_ = plan.step;
  return {};
}

}  // namespace herd::shard
