#pragma once
// Runs step plans on one rank: batch, forward pass, sampling, result. A resource used by one thread. The only place
// that waits for the device; collectives' deadlines and aborts surface here as a failed StepResult.
//
// Where host and device share memory a step is done when submit returns. A device of its own computes while the host
// goes on: submit enqueues a step (device_steps.h), tokens of the step before included, and collect waits for its mark.

#include <chrono>
#include <deque>
#include <functional>
#include <memory>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "runtime/model/llama.h"
#include "runtime/sampling/sampler.h"
#include "runtime/step/step_plan.h"
#include "runtime/shard/device_steps.h"
#include "runtime/shard/rank_executor.h"
#include "runtime/shard/step_batch.h"

namespace herd::shard {

struct ShardConfig {
  model::LlamaConfig model;
  model::Encoding encoding;
  model::ShardPlan plan;
  std::int32_t block_size = 16;
  std::int64_t blocks = 0;            // of the KV pool
  std::int64_t rows_max = 512;        // max_num_batched_tokens
  std::int64_t sequences_max = 0;     // of a step (max_num_seqs); 0: rows_max
  std::int64_t logit_rows_max = 64;   // sampled rows of a step, and rows of logits handed out at once
  bool hash_logits = false;           // SampledToken.logits_hash (tests of P2)
};

class ShardExecutor final : public RankExecutor {
 public:
  // `collective` is shared with whoever may abort it.
  ShardExecutor(const ShardConfig& config, std::shared_ptr<const model::LlamaWeights> weights,
                std::shared_ptr<const model::RopeTable> rope, std::unique_ptr<Device> device,
                std::shared_ptr<Collective> collective);
  ~ShardExecutor() override;  // waits for steps under way: they use its memory

  // Before the first plan, all ranks of a replica together: allocates; on a GPU also computes what can be recorded and
  // one long chunk, so that no step is the first of its kind and free_bytes() says what is left. kMissing when memory
  // is short. After a failure, abort the group on all ranks before this is destroyed: freeing memory may wait for GPUs
  // that wait for this rank.
  [[nodiscard]] Status prepare();

  void submit(const step::StepPlan& plan) override;
  bool ready(std::chrono::microseconds patience) override;
  step::StepResult collect() override;

  // submit and collect in one, with nothing else under way.
  step::StepResult execute(const step::StepPlan& plan);

  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] Collective& collective() { return *collective_; }

 private:
  struct Step {
    step::StepResult result;
    std::vector<SampleTicket> tickets;
    bool under_way = false;               // on the device; else the result is complete
    std::uint64_t mark = 0;               // once it is reached,
    const SampledRow* sampled = nullptr;  // the tickets' rows are here
    std::chrono::steady_clock::time_point begin;
  };

  Status make_sampler();
  Status warm_up();  // leaves garbage in the KV blocks
  Status start(const step::StepPlan& plan, Step& step);
  Status run_on_host(Step& step);
  Status enqueue(Step& step);
  bool reached(const Step& step);
  void finish(Step& step);
  void complete(Step& step);
  std::function<void(int)> layer_capture();

  void collect_outputs(step::StepResult& result);
  void collect_prompt_logprobs(const StepBatch::Output& wanted, step::StepResult& result);
  void collect_rows(const StepBatch::Output& wanted, step::StepResult& result);
  template <class Take>
  void logits_in_pieces(std::int32_t row_begin, std::int64_t rows, const Take& take);
  TensorView logits_on_host();
  void capture_layer(int state);

  const ShardConfig config_;
  const std::shared_ptr<const model::LlamaWeights> weights_;
  const std::shared_ptr<const model::RopeTable> rope_;
  const std::unique_ptr<Device> device_;
  const std::shared_ptr<Collective> collective_;
  const std::int64_t positions_max_;
  std::unique_ptr<kv::KvStorage> kv_;
  std::unique_ptr<model::Llama> llama_;
  std::unique_ptr<DeviceSteps> steps_;            // null where host and device share memory
  // Judges rows of logits in host memory: every row where memory is shared, else those of prompt log-probabilities.
  std::unique_ptr<sampling::Sampler> sampler_;
  std::unique_ptr<Device> sampler_device_;        // of the second kind: a CPU, and a group of one
  std::unique_ptr<Collective> sampler_group_;
  std::unique_ptr<StagedBuffer> row_indices_;     // [logit_rows_max] int32
  std::vector<float> host_logits_;
  SequenceTable sequences_;
  StepBatch batch_;
  std::vector<std::vector<float>> layer_states_;  // [layers + 1] of [rows, hidden], while a slice asks for all layers
  std::deque<Step> under_way_;
  std::deque<step::StepResult> done_;        // results of steps that had to be finished early
  std::chrono::steady_clock::time_point last_done_;
};

}  // namespace herd::shard
