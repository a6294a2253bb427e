#include "runtime/shard/shard_executor.h"

#include <algorithm>
#include <iterator>
#include <thread>
#include <utility>

#include "kernels/check.h"
#include "kernels/death_mark.h"
#include "kernels/step_recorder.h"

namespace herd::shard {
namespace {

constexpr std::uint64_t kFailureMark = 1ULL << 40;  // beyond every token

// FNV-1a over (sequence, token), then over who failed: equal on every rank of a replica.
std::uint64_t hash_tokens(const step::StepResult& result) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  auto add = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3ULL; };
  for (const step::SampledToken& token : result.sampled) {
    add(token.sequence.value);
    add(static_cast<std::uint64_t>(static_cast<std::uint32_t>(token.token)) << 1 | (token.finite ? 1U : 0U));
  }
  for (const step::SequenceFailure& failure : result.failed) {
    add(failure.sequence.value);
    add(kFailureMark | static_cast<std::uint64_t>(failure.status.code()));
  }
  return hash;
}

// How often a step under way is looked at (Linux makes it 55 us or so). The step behind it is on the device already, so
// a late look delays its tokens a little and the device not at all; spinning would take a core from other work.
constexpr std::chrono::microseconds kPollEvery{5};

step::StepStats stats_of(const StepBatch& batch) {
  step::StepStats stats;
  stats.rows = static_cast<std::uint32_t>(batch.token_ids.size());
  stats.sequences = static_cast<std::uint32_t>(batch.context_length.size());
  for (const std::int32_t length : batch.context_length) stats.context_tokens += static_cast<std::uint64_t>(length);
  stats.prefill_rows = batch.prefill_rows;
  return stats;
}

}  // namespace

ShardExecutor::ShardExecutor(const ShardConfig& config, std::shared_ptr<const model::LlamaWeights> weights,
                             std::shared_ptr<const model::RopeTable> rope, std::unique_ptr<Device> device,
                             std::shared_ptr<Collective> collective)
    : config_(config),
      weights_(std::move(weights)),
      rope_(std::move(rope)),
      device_(std::move(device)),
      collective_(std::move(collective)),
      sequences_({config.model.vocab_size, config.block_size, config.blocks, config.rows_max, rope_->positions()}) {}

ShardExecutor::~ShardExecutor() {
  // An aborted group's steps may never end; what they still hold is freed when the device lets go of it.
  if (!under_way_.empty() && collective_->status().ok()) (void)device_->wait();
}

Status ShardExecutor::prepare() {
  if (Status status = allocate(); !status.ok()) return status;
  return warm_up();
}

Status ShardExecutor::allocate() {
  const KvLayout layout{config_.encoding.activations(), config_.block_size, config_.plan.kv_heads.size(),
                        config_.model.head_dim};
  auto kv = kv::KvStorage::make(*device_, layout, config_.model.layers, config_.blocks);
  if (!kv) return kv.error();
  kv_ = std::move(*kv);
  auto llama = model::Llama::make({config_.model, config_.plan, config_.encoding, weights_, rope_, config_.rows_max,
                                   config_.logit_rows_max},
                                  *device_, *collective_);
  if (!llama) return llama.error();
  llama_ = std::move(*llama);
  auto runner = make_step_runner({config_, rope_->positions(), *device_, *collective_, *llama_, *kv_});
  if (!runner) return runner.error();
  runner_ = std::move(*runner);
  copies_ = std::make_unique<BlockCopies>(*device_, *kv_, static_cast<std::uint32_t>(config_.plan.rank));
  return {};
}

Status ShardExecutor::warm_up() { return runner_->warm_up(); }

void ShardExecutor::join(Epoch epoch) {
  HERD_CHECK(under_way_.empty() && done_.empty(), "no step of another group is under way");
  fence_.join(epoch);
}

void ShardExecutor::leave() {
  fence_.leave();
  (void)device_->wait();  // the steps under way use memory that the next group's use too
  under_way_.clear();
  done_.clear();
  blocks_read_.clear();
  if (copies_ != nullptr) copies_->clear();
  sequences_.clear();
  if (StepRecorder* const recorder = device_->step_recorder(); recorder != nullptr) recorder->forget();
  begin(Operation::kIdle);
}

step::StepResult ShardExecutor::execute(const step::StepPlan& plan) {
  submit(plan);
  return collect();
}

void ShardExecutor::submit(const step::StepPlan& plan) {
  // Penalties count tokens that may not be here yet.
  while (!under_way_.empty() && sequences_.needs_pending(plan)) done_.push_back(finish_oldest());
  Step step;
  step.begin = std::chrono::steady_clock::now();
  step.result.epoch = plan.epoch;
  step.result.step = plan.step;
  step.result.rank = static_cast<std::uint32_t>(config_.plan.rank);
  step.result.status = fence_.admit(plan);
  if (step.result.status.ok()) {
    if (ProgressWord* const word = device_->progress(); word != nullptr) word->begin_step(plan.epoch.value, plan.step.value);
    begin(Operation::kPreparing);
    step.result.status = start(plan, step);
    step.result.stats = stats_of(batch_);
  }
  if (step.under_way == nullptr) complete(step);
  under_way_.push_back(std::move(step));
  begin_wait();
}

bool ShardExecutor::ready(std::chrono::microseconds patience) {
  if (!done_.empty()) return true;
  if (under_way_.empty()) return false;
  if (reached(under_way_.front())) return true;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kPollEvery);
    if (reached(under_way_.front())) return true;
  }
  return false;
}

step::StepResult ShardExecutor::collect() {
  if (!done_.empty()) {
    step::StepResult result = std::move(done_.front());
    done_.pop_front();
    return result;
  }
  HERD_CHECK(!under_way_.empty(), "a step is under way");
  return finish_oldest();
}

step::StepResult ShardExecutor::finish_oldest() {
  Step step = std::move(under_way_.front());
  under_way_.pop_front();
  finish(step);
  std::ranges::move(step.blocks_read, std::back_inserter(blocks_read_));
  return std::move(step.result);
}

Status ShardExecutor::start(const step::StepPlan& plan, Step& step) {
  if (Status status = sequences_.apply(plan, batch_); !status.ok()) return status;
  if (Status status = copies_->run(plan, step.result, step.blocks_read); !status.ok()) return status;
  step.result.failed = batch_.failed;
  if (batch_.token_ids.empty()) return {};
  const StepSequences sequences(batch_.sequence_ids);
  auto under_way = runner_->start(batch_, step.result);
  if (!under_way) return under_way.error();
  step.tickets = sequences_.expect_samples(batch_);
  step.under_way = std::move(*under_way);
  if (step.under_way == nullptr) sequences_.on_sampled(step.tickets, step.result.sampled);
  return {};
}

void ShardExecutor::finish(Step& step) {
  if (step.under_way == nullptr) return;
  while (!reached(step)) std::this_thread::sleep_for(kPollEvery);
  if (auto sampled = step.under_way->finish(step.tickets)) {
    step.result.sampled = std::move(*sampled);
    sequences_.on_sampled(step.tickets, step.result.sampled);
  } else {
    step.result.status = sampled.error();
  }
  complete(step);
  begin_wait();
}

void ShardExecutor::begin(Operation operation) {
  if (ProgressWord* const word = device_->progress(); word != nullptr) word->begin(operation);
}

void ShardExecutor::begin_wait() {
  const bool computes = std::any_of(under_way_.begin(), under_way_.end(),
                                    [](const Step& step) { return step.under_way != nullptr; });
  begin(computes ? Operation::kDevice : Operation::kIdle);
}

void ShardExecutor::complete(Step& step) {
  step::StepResult& result = step.result;
  result.token_hash = hash_tokens(result);
  if (!result.status.ok() || config_.plan.rank != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
    result.failed.clear();
  }
  if (!result.status.ok()) {
    result.damaged.clear();
    result.blocks_written = 0;
  }
  const auto now = std::chrono::steady_clock::now();
  result.stats.compute_seconds = std::chrono::duration<double>(now - std::max(step.begin, last_done_)).count();
  last_done_ = now;
}

}  // namespace herd::shard
