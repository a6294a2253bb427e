#pragma once
// Steps on a device that samples for itself: everything from token ids to sampled tokens is enqueued, nothing waits, so
// the next step can follow before this one's tokens are known to the host. Steps in which every sequence has one row
// are filled up to a bucket of rows and recorded (StepRecorder::run_step).

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device.h"
#include "kernels/row_sampler.h"
#include "kernels/staging.h"
#include "kernels/step_recorder.h"
#include "runtime/model/llama.h"
#include "runtime/shard/step_batch.h"
#include "runtime/shard/step_inputs.h"

namespace herd::shard {

struct DeviceStepLimits {
  StepInputLimits inputs;
  std::int64_t logit_rows = 0;    // rows of logits at a time
  std::int32_t vocab_size = 0;
  std::int32_t group_max = 0;     // see AttentionBatch
  bool hash_logits = false;
};

class DeviceSteps {
 public:
  // kMissing when memory is short. `device` and `llama` outlive it.
  static Expected<std::unique_ptr<DeviceSteps>> make(Device& device, model::Llama& llama,
                                                     const DeviceStepLimits& limits);

  [[nodiscard]] Status check(const StepBatch& batch) const { return inputs_->check(batch); }

  // The forward pass of a batch. `recorded`: with the sampling behind it, as one recorded step, when its shape allows;
  // true when it was.
  bool forward(const StepBatch& batch, kv::KvStorage& kv, bool recorded, const std::function<void(int)>& on_layer);
  // Samples the batch's rows, where forward() did not.
  void sample(const StepBatch& batch);
  // Enqueues the copy of the results: [samples] once a mark set later is reached, until the second call after this.
  [[nodiscard]] const SampledRow* read_back(std::size_t samples);

  // Runs every bucket, with rows that write nothing, so that nothing is left to be recorded or loaded later.
  void warm_up(kv::KvStorage& kv);

 private:
  DeviceSteps(Device& device, model::Llama& llama, const DeviceStepLimits& limits);
  std::size_t describe_samples(const StepBatch& batch, std::size_t begin);
  void upload_samples();
  [[nodiscard]] std::int64_t bucket_of(const StepBatch& batch) const;
  void run_bucket(const StepBatch& batch, std::int64_t rows, kv::KvStorage& kv);
  void sample_rows(const std::int32_t* rows, std::int64_t count, SampledRow* out);
  [[nodiscard]] SampledRow* sampled() const { return static_cast<SampledRow*>(results_->device()); }

  Device& device_;
  model::Llama& llama_;
  const DeviceStepLimits limits_;
  const std::vector<std::int64_t> buckets_;
  std::size_t edits_max_ = 0;
  std::unique_ptr<StepInputs> inputs_;
  std::unique_ptr<StagedBuffer> sample_inputs_;  // SampleRowParams [logit_rows], then LogitEdit [edits_max_]
  std::unique_ptr<ReadbackBuffer> results_;      // SampledRow [sequences]
  std::vector<SampleRowParams> params_;          // of the rows described last
  std::vector<LogitEdit> edits_;
};

}  // namespace herd::shard
