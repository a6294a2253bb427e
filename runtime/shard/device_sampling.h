#pragma once
// Rows of a step sampled by the device (RowSampler): the host describes what they ask for, the device draws, and the
// results go back in one copy. Everything lies at fixed addresses, so that recorded steps find it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device.h"
#include "kernels/row_sampler.h"
#include "kernels/staging.h"
#include "runtime/model/llama.h"
#include "runtime/shard/step_batch.h"

namespace herd::shard {

struct DeviceSamplingLimits {
  std::int64_t logit_rows = 0;    // rows that are sampled together
  std::int64_t sequences = 0;     // rows that a step samples at most
  std::int32_t vocab_size = 0;
  bool hash_logits = false;
};

// Resource, one per rank, used by one thread. `device` and `llama` outlive it.
class DeviceSampling {
 public:
  // The device has a row sampler. kMissing when memory is short.
  [[nodiscard]] static Expected<std::unique_ptr<DeviceSampling>> make(Device& device, model::Llama& llama,
                                                                      const DeviceSamplingLimits& limits);

  // Describes the batch's samples from `begin` on: as many as there is room for, their edits included (a single row
  // always fits). Returns how many.
  std::size_t describe(const StepBatch& batch, std::size_t begin);
  // Enqueues the upload of what was described last, filled up to `rows` rows that sample nothing.
  void upload(std::int64_t rows);
  // Enqueues: logits and draw of `count` rows of the step (indices in memory of the device) as uploaded last, their
  // results from result `first` on.
  void sample(const std::int32_t* rows, std::int64_t count, std::size_t first);

  // Of the step enqueued last: [sequences], memory of the device.
  [[nodiscard]] SampledRow* results() const { return static_cast<SampledRow*>(results_->device()); }
  // Enqueues the copy of the first `samples` results: they are there once a mark set later is reached, until the second
  // call after this.
  [[nodiscard]] const SampledRow* read_back(std::size_t samples);

 private:
  DeviceSampling(Device& device, model::Llama& llama, const DeviceSamplingLimits& limits);
  [[nodiscard]] std::size_t edits_at() const;  // bytes, in inputs_

  RowSampler& sampler_;
  model::Llama& llama_;
  const DeviceSamplingLimits limits_;
  const std::size_t edits_max_;
  std::unique_ptr<StagedBuffer> inputs_;     // SampleRowParams [logit_rows], then LogitEdit [edits_max_]
  std::unique_ptr<ReadbackBuffer> results_;  // SampledRow [sequences]
  std::vector<SampleRowParams> params_;      // what the rows described last ask for
  std::vector<LogitEdit> edits_;
};

}  // namespace herd::shard
