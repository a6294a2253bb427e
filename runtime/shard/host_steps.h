#pragma once
// Steps where host and device share memory: operations run when they are enqueued, the Sampler works on the logits
// where they are, and a step is done when start() returns.

#include <memory>

#include "runtime/sampling/sampler.h"
#include "runtime/shard/output_collector.h"
#include "runtime/shard/step_runner.h"

namespace herd::shard {

class HostSteps final : public StepRunner {
 public:
  // kMissing when memory is short.
  [[nodiscard]] static Expected<std::unique_ptr<StepRunner>> make(const RankParts& parts);

  Status warm_up() override { return {}; }  // nothing is recorded, no step differs from the next
  // Never under way: null.
  Expected<std::unique_ptr<StepUnderWay>> start(const StepBatch& batch, step::StepResult& result) override;

 private:
  explicit HostSteps(const RankParts& parts);
  Status sample(const StepBatch& batch, step::StepResult& result);

  const RankParts parts_;
  sampling::Sampler sampler_;
  std::unique_ptr<OutputCollector> outputs_;
};

}  // namespace herd::shard
