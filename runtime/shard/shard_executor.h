#pragma once
// Runs step plans on one rank: batch, forward pass, sampling, result. A resource used by one thread. The only place
// that waits for the device; collectives' deadlines and aborts surface here as a failed StepResult.

#include <functional>
#include <memory>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/model/llama.h"
#include "runtime/sampling/sampler.h"
#include "runtime/scheduler/step_plan.h"
#include "runtime/shard/step_batch.h"

namespace herd::shard {

struct ShardConfig {
  model::LlamaConfig model;
  model::Encoding encoding;
  parallel::ShardPlan plan;
  std::int32_t block_size = 16;
  std::int64_t blocks = 0;            // of the KV pool
  std::int64_t rows_max = 512;        // max_num_batched_tokens
  std::int64_t logit_rows_max = 64;   // sampled rows of a step, and rows of logits handed out at once
  bool hash_logits = false;           // SampledToken.logits_hash (tests of P2)
};

class ShardExecutor {
 public:
  // `collective` is shared with whoever may abort it. kMissing when memory is short.
  static Expected<std::unique_ptr<ShardExecutor>> make(const ShardConfig& config,
                                                       std::shared_ptr<const model::LlamaWeights> weights,
                                                       std::shared_ptr<const model::RopeTable> rope,
                                                       std::unique_ptr<Device> device,
                                                       std::shared_ptr<Collective> collective);

  // Blocks until the step is done on this rank.
  scheduler::StepResult execute(const scheduler::StepPlan& plan);

  [[nodiscard]] Collective& collective() { return *collective_; }

 private:
  ShardExecutor(const ShardConfig& config, std::int64_t positions_max, std::unique_ptr<Device> device,
                std::shared_ptr<Collective> collective);
  Status run(const scheduler::StepPlan& plan, scheduler::StepResult& result);
  void collect_outputs(scheduler::StepResult& result);
  void collect_prompt_logprobs(const StepBatch::Output& wanted, scheduler::StepResult& result);
  void collect_rows(const StepBatch::Output& wanted, scheduler::StepResult& result);
  template <class Take>
  void logits_in_pieces(std::int32_t row_begin, std::int64_t rows, const Take& take);
  void capture_layer(int state);

  const ShardConfig config_;
  std::unique_ptr<Device> device_;
  std::shared_ptr<Collective> collective_;
  std::unique_ptr<kv::KvStorage> kv_;
  std::unique_ptr<model::Llama> llama_;
  std::unique_ptr<sampling::Sampler> sampler_;
  SequenceTable sequences_;
  StepBatch batch_;
  std::vector<std::vector<float>> layer_states_;  // [layers + 1] of [rows, hidden], while a slice asks for all layers
};

}  // namespace herd::shard
