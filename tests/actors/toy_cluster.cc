#include "tests/actors/toy_cluster.h"

#include <stdexcept>
#include <thread>
#include <utility>

namespace herd::actors {
namespace {

constexpr std::uint32_t kBlocks = 256;

scheduler::SchedulerConfig toy_scheduler() {
  scheduler::SchedulerConfig config;
  config.max_num_seqs = 16;
  config.max_num_batched_tokens = 64;
  config.max_model_len = 256;
  config.num_blocks = kBlocks;
  return config;
}

bool take(std::atomic<std::int64_t>& fault, std::int64_t rank) { return fault.compare_exchange_strong(rank, -1); }

scheduler::StepResult run_step(sim::ToyShard& shard, const scheduler::StepPlan& plan, std::int64_t replica,
                               std::uint32_t rank, ToyFaults& faults) {
  const std::int64_t name = replica * 100 + rank;
  const std::uint32_t step_us = faults.step_us;
  if (step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(step_us));
  if (take(faults.throw_rank, name)) throw std::runtime_error("the device is gone");
  scheduler::StepResult result = shard.execute(plan);
  if (shard.violation()) throw std::runtime_error(*shard.violation());
  result.rank = rank;
  if (rank != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
  }
  if (take(faults.other_tokens_rank, name)) result.token_hash ^= 1;
  const bool hang = take(faults.hang_rank, name);
  while (hang && faults.aborted_replicas == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (hang || take(faults.fail_rank, name)) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
    result.status = {StatusCode::kAborted, "injected"};
  }
  return result;
}

}  // namespace

InProcessClusterConfig toy_config(std::uint32_t replicas, std::uint32_t ranks, std::shared_ptr<ToyFaults> faults) {
  InProcessClusterConfig config;
  config.scheduler = toy_scheduler();
  config.replicas = replicas;
  config.ranks = ranks;
  config.make_rank = [faults](ReplicaId replica, std::uint32_t rank) -> Expected<ExecuteStep> {
    if (faults->refuse_rank == static_cast<std::int64_t>(replica.value) * 100 + rank)
      return fail(missing("no memory for rank " + std::to_string(rank)));
    const auto shard = std::make_shared<sim::ToyShard>(
        sim::ToyConfig{.block_size = 16, .num_blocks = kBlocks, .vocab_size = kToyVocabSize});
    return [faults, shard, replica, rank, thread = std::this_thread::get_id()](const scheduler::StepPlan& plan) {
      if (std::this_thread::get_id() != thread)
        throw std::logic_error("executed on another thread than it was made on");
      return run_step(*shard, plan, replica.value, rank, *faults);
    };
  };
  config.abort_replica = [faults](ReplicaId, const std::string&) { ++faults->aborted_replicas; };
  return config;
}

scheduler::Submission toy_submission(std::uint64_t sequence, std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
  scheduler::Submission submission;
  submission.sequence = SequenceId(sequence);
  for (std::uint32_t i = 0; i < prompt_tokens; ++i)
    submission.tokens.push_back(static_cast<TokenId>((i < prompt_tokens / 2 ? i : i * sequence) % kToyVocabSize));
  submission.prompt_tokens = prompt_tokens;
  submission.max_tokens = max_tokens;
  submission.sampling.seed = sequence * 7919;
  submission.sampling.temperature = 1.0F;
  submission.sampling.ignore_eos = true;
  return submission;
}

void ToyClient::submit(const scheduler::Submission& submission) {
  streams_.emplace(submission.sequence, sim::StreamChecker(submission, toy_scheduler().max_model_len, kToyVocabSize));
  cluster_.submit(submission, queue_);
}

bool ToyClient::read_one(std::chrono::milliseconds timeout) {
  const auto delta = queue_->next(timeout);
  if (!delta) return false;
  streams_.at(delta->sequence).on_delta(*delta);
  if (delta->finish != scheduler::FinishReason::kNone) errors_[delta->sequence] = delta->error;
  return true;
}

bool ToyClient::read_all(std::chrono::milliseconds timeout) {
  while (errors_.size() < streams_.size()) {
    if (!read_one(timeout)) return false;
  }
  return true;
}

bool ToyClient::read_until(SequenceId sequence, std::uint32_t tokens) {
  const sim::StreamChecker& stream = streams_.at(sequence);
  while (stream.tokens() < tokens && !stream.ended()) {
    if (!read_one(std::chrono::seconds(20))) return false;
  }
  return stream.tokens() >= tokens;
}

std::size_t ToyClient::count(scheduler::FinishReason finish) const {
  std::size_t count = 0;
  for (const auto& [sequence, stream] : streams_) count += stream.finish() == finish ? 1 : 0;
  return count;
}

std::string ToyClient::violation() const {
  for (const auto& [sequence, stream] : streams_) {
    if (stream.violation()) return "sequence " + std::to_string(sequence.value) + ": " + *stream.violation();
  }
  return "";
}

}  // namespace herd::actors
