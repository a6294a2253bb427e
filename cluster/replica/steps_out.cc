#include "cluster/replica/steps_out.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "kernels/check.h"

namespace herd::replica {

void StepsOut::push(const step::StepPlan& plan, const AttemptTable& attempts) {
  Step& out = steps_.emplace_back(Step{plan.step, scheduler::shape_of(plan), {}, !plan.reads.empty() || !plan.writes.empty()});
  out.attempts.reserve(plan.slices.size());
  for (const SequenceId own : plan.released) emitted_at_start_.erase(own);
  for (const step::SequenceStart& start : plan.started)
    emitted_at_start_[start.sequence] = static_cast<std::uint32_t>(start.tokens.size()) - start.prompt_tokens;
  for (const step::SequenceSlice& slice : plan.slices) {
    const std::uint32_t before = slice.sample ? slice.output_index : emitted_at_start_.at(slice.sequence);
    out.attempts.push_back({attempts.key_of(slice.sequence), before + 1});
  }
}

StepsOut::Step StepsOut::pop(StepId step) {
  HERD_CHECK(!steps_.empty() && steps_.front().step == step, "steps end in the order in which they were sent");
  Step done = std::move(steps_.front());
  steps_.pop_front();
  return done;
}

void StepsOut::clear() {
  steps_.clear();
  emitted_at_start_.clear();
}

std::vector<routing::AttemptInStep> StepsOut::attempts() const {
  std::vector<routing::AttemptInStep> attempts;
  for (const Step& step : steps_) attempts.insert(attempts.end(), step.attempts.begin(), step.attempts.end());
  std::ranges::sort(attempts, std::ranges::greater());
  const auto same = [](const auto& one, const auto& other) { return one.attempt == other.attempt; };
  attempts.erase(std::unique(attempts.begin(), attempts.end(), same), attempts.end());
  std::ranges::reverse(attempts);
  return attempts;
}

}  // namespace herd::replica
