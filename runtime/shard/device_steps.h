#pragma once
// Steps on a device that computes while the host goes on: everything from token ids to sampled tokens is enqueued,
// nothing waits (but for outputs that a slice asked for), so the next step can follow before this one's tokens are known
// to the host. Steps in which every sequence has one row are filled up to a bucket of rows and recorded
// (StepRecorder::run_step).

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/step_recorder.h"
#include "runtime/shard/device_sampling.h"
#include "runtime/shard/output_collector.h"
#include "runtime/shard/step_inputs.h"
#include "runtime/shard/step_runner.h"

namespace herd::shard {

class DeviceSteps final : public StepRunner {
 public:
  // The device has all capabilities of kernels/device.h. kMissing when memory is short.
  [[nodiscard]] static Expected<std::unique_ptr<StepRunner>> make(const RankParts& parts);

  // Runs every bucket, with rows that write nothing, and one long chunk, so that no step is the first of its kind and
  // free_bytes() says what is left.
  Status warm_up() override;
  // Always under way. kInternal when the batch is beyond the limits.
  Expected<std::unique_ptr<StepUnderWay>> start(const StepBatch& batch, step::StepResult& result) override;

 private:
  explicit DeviceSteps(const RankParts& parts);
  Status allocate();
  // The forward pass of a batch; with the sampling behind it, as one recorded step, when `whole` and its shape allow:
  // true then.
  bool forward(const StepBatch& batch, bool whole);
  void sample(const StepBatch& batch);  // where forward() did not
  [[nodiscard]] std::int64_t bucket_of(const StepBatch& batch) const;
  void run_bucket(const StepBatch& batch, std::int64_t rows);

  const RankParts parts_;
  StepRecorder& recorder_;
  RowSampler& row_sampler_;
  const std::int64_t sequences_max_;
  const std::vector<std::int64_t> buckets_;
  std::unique_ptr<StepInputs> inputs_;
  std::unique_ptr<DeviceSampling> sampling_;
  std::unique_ptr<OutputCollector> outputs_;
};

}  // namespace herd::shard
