#pragma once
// Runs step plans on one rank: plan to batch (step_batch.h), batch to tokens (step_runner.h), result. A resource used by
// one thread; collectives' deadlines and aborts surface here as a failed StepResult.
//
// Where host and device share memory a step is done when submit returns. A device of its own computes while the host
// goes on: submit enqueues a step, tokens of the step before included, and collect waits for it.
//
// KV blocks that a plan copies to or from another replica (block_copies.h) are copied while it is submitted.
//
// made --prepare--> in no group --join--> in a group --leave--> in no group --join (next epoch)--> ...
// The device's progress word (kernels/progress.h) says where it is: the operations of a step, kDevice while the device
// computes what was enqueued, kIdle when nothing is under way.

#include <chrono>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "kernels/progress.h"
#include "runtime/ids.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/model/llama.h"
#include "runtime/shard/block_copies.h"
#include "runtime/shard/plan_fence.h"
#include "runtime/shard/rank_executor.h"
#include "runtime/shard/shard_config.h"
#include "runtime/shard/step_batch.h"
#include "runtime/shard/step_runner.h"
#include "runtime/step/step_plan.h"

namespace herd::shard {

class ShardExecutor final : public RankExecutor {
 public:
  // `collective` is shared with whoever may abort it. It is the same object for all groups: what it forwards to may change
  // between leave() and join().
  ShardExecutor(const ShardConfig& config, std::shared_ptr<const model::LlamaWeights> weights,
                std::shared_ptr<const model::RopeTable> rope, std::unique_ptr<Device> device,
                std::shared_ptr<Collective> collective);
  ~ShardExecutor() override;  // waits for steps under way: they use its memory

  // Before the first plan, all ranks of a replica together: allocates; on a GPU also computes what can be recorded and
  // one long chunk, so that no step is the first of its kind and free_bytes() says what is left. kMissing when memory
  // is short. After a failure, abort the group on all ranks before this is destroyed: freeing memory may wait for GPUs
  // that wait for this rank.
  [[nodiscard]] Status prepare();
  // Its two halves, for ranks that are in one group after another: the memory, once and in no group; what is computed with the
  // others, again in each group.
  [[nodiscard]] Status allocate();
  [[nodiscard]] Status warm_up();

  // Enters the group of that epoch, with nothing under way: plans of other epochs and plans out of order become failed
  // results (plan_fence.h). A rank that nobody had join is in the group of its first plan.
  void join(Epoch epoch);
  // Forgets the group: steps under way and their results, all sequences, what the device recorded. Keeps weights, KV memory
  // and step buffers. After an abort of the group it returns soon; otherwise it waits for the device.
  void leave();

  void submit(const step::StepPlan& plan) override;
  bool ready(std::chrono::microseconds patience) override;
  step::StepResult collect() override;
  void give(step::BlockBytes block) override { copies_->give(std::move(block)); }  // once allocated
  std::vector<step::BlockBytes> take_blocks_read() override { return std::exchange(blocks_read_, {}); }

  // submit and collect in one, with nothing else under way.
  step::StepResult execute(const step::StepPlan& plan);

  [[nodiscard]] Device& device() { return *device_; }
  [[nodiscard]] const kv::KvStorage& kv() const { return *kv_; }  // once allocated
  [[nodiscard]] Collective& collective() { return *collective_; }

 private:
  struct Step {
    step::StepResult result;
    std::vector<step::BlockBytes> blocks_read;
    std::unique_ptr<StepUnderWay> under_way;  // null: the result is complete
    std::vector<SampleTicket> tickets;
    std::chrono::steady_clock::time_point begin;
  };

  Status start(const step::StepPlan& plan, Step& step);
  static bool reached(const Step& step) { return step.under_way == nullptr || step.under_way->reached(); }
  [[nodiscard]] step::StepResult finish_oldest();
  void finish(Step& step);
  void complete(Step& step);
  void begin(Operation operation);
  // Between two operations of the host: what it waits for.
  void begin_wait();

  const ShardConfig config_;
  const std::shared_ptr<const model::LlamaWeights> weights_;
  const std::shared_ptr<const model::RopeTable> rope_;
  const std::unique_ptr<Device> device_;
  const std::shared_ptr<Collective> collective_;
  std::unique_ptr<kv::KvStorage> kv_;
  std::unique_ptr<model::Llama> llama_;
  std::unique_ptr<StepRunner> runner_;
  std::unique_ptr<BlockCopies> copies_;
  PlanFence fence_;
  SequenceTable sequences_;
  StepBatch batch_;
  std::deque<Step> under_way_;          // oldest first, complete ones among them
  std::deque<step::StepResult> done_;   // results of steps that had to be finished early
  std::vector<step::BlockBytes> blocks_read_;  // by steps that are finished
  std::chrono::steady_clock::time_point last_done_;
};

}  // namespace herd::shard
