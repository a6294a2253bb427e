#pragma once
// StepRunner: how a rank gets from the arrays of a step (step_batch.h) to its sampled tokens. Two kinds:
//   HostSteps (host_steps.h)      host and device share memory: a step is done when start() returns
//   DeviceSteps (device_steps.h)  the device computes and samples while the host goes on with the next step
// Both give the same tokens, log-probabilities and hashes where the devices' classes of arithmetic are equal.

#include <memory>
#include <vector>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/model/llama.h"
#include "runtime/shard/shard_config.h"
#include "runtime/shard/step_batch.h"
#include "runtime/step/step_plan.h"

namespace herd::shard {

// What a runner works with. All of it outlives the runner.
struct RankParts {
  const ShardConfig& config;
  std::int64_t positions_max;  // as many as the RoPE table has
  Device& device;
  Collective& tp;
  model::Llama& llama;
  kv::KvStorage& kv;
};

// A step that the device may not have finished.
class StepUnderWay {
 public:
  virtual ~StepUnderWay() = default;
  // Whether the device is through with it, or the group is given up: an aborted group's steps may never end.
  [[nodiscard]] virtual bool reached() = 0;
  // Once reached: the tokens it sampled, parallel to `tickets`. The device's or the group's error otherwise.
  [[nodiscard]] virtual Expected<std::vector<step::SampledToken>> finish(const std::vector<SampleTicket>& tickets) = 0;
};

// Resource, one per rank, used by one thread.
class StepRunner {
 public:
  virtual ~StepRunner() = default;
  // Before the first step, all ranks of a replica together: computes what can be recorded and one long chunk where steps
  // are the device's, which leaves garbage in the KV blocks. After a failure, abort the group on all ranks before this
  // is destroyed: freeing memory may wait for GPUs that wait for this rank.
  [[nodiscard]] virtual Status warm_up() = 0;
  // Starts the step of a batch that has rows; steps in order, each finished in that order too. `result` gets the rows
  // that slices asked for and, where null is returned (the step is done), the sampled tokens. Not ok: the step failed,
  // `result` holds nothing of use.
  [[nodiscard]] virtual Expected<std::unique_ptr<StepUnderWay>> start(const StepBatch& batch,
                                                                      step::StepResult& result) = 0;
};

// The runner that the device calls for, with all it allocates. Computes nothing yet. kMissing when memory is short.
[[nodiscard]] Expected<std::unique_ptr<StepRunner>> make_step_runner(const RankParts& parts);

}  // namespace herd::shard
