#include "runtime/scheduler/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::scheduler {
namespace {

kv::BlockManagerConfig block_config(const SchedulerConfig& config) {
  return {config.block_size, config.num_blocks, config.prefix_caching, config.hash_bits};
}

std::string number(std::uint64_t value) { return std::to_string(value); }

// What would fail the step at the ranks, and with it the whole group: a gateway of another build or model may ask for it.
Status check_vocabulary(const step::Submission& submission, TokenId vocab_size) {
  if (vocab_size == 0) return {};
  const auto outside = [vocab_size](TokenId token) { return token < 0 || token >= vocab_size; };
  if (const auto token = std::ranges::find_if(submission.tokens, outside); token != submission.tokens.end())
    return bad_input("token id " + std::to_string(*token) + " at position " +
                     number(static_cast<std::uint64_t>(token - submission.tokens.begin())) +
                     " is outside the model's vocabulary of " + std::to_string(vocab_size));
  if (const auto end = std::ranges::find_if(submission.eos_ids, outside); end != submission.eos_ids.end())
    return bad_input("end id " + std::to_string(*end) + " is outside the model's vocabulary of " +
                     std::to_string(vocab_size));
  if (const Status status = submission.sampling.validate(vocab_size); !status.ok()) return bad_input(status.message());
  return {};
}

}  // namespace

Status SchedulerConfig::validate() const {
  if (max_num_seqs == 0) return usage_error("max_num_seqs is 0; at least one sequence must be able to run");
  if (max_num_batched_tokens < max_num_seqs) {
    return usage_error("max_num_batched_tokens (" + number(max_num_batched_tokens) + ") is below max_num_seqs (" +
                       number(max_num_seqs) + "); a step must hold one token of every running sequence");
  }
  if (max_prefill_seqs == 0)
    return usage_error("max_ce_batch_size is 0; at least one sequence must be able to prefill");
  if (queue_requests_max == 0) return usage_error("queue_requests_max is 0; nothing could be accepted");
  if (max_model_len == 0) return usage_error("max_model_len is 0");
  if (vocab_size < 0) return usage_error("vocab_size is negative");
  if (queue_tokens_max < max_model_len) {
    return usage_error("queue_tokens_max (" + number(queue_tokens_max) + ") is below max_model_len (" +
                       number(max_model_len) + "); the longest prompt could never be accepted");
  }
  if (steps_ahead < 1 || steps_ahead > 2)
    return usage_error("steps_ahead is " + number(steps_ahead) + "; it must be 1 or 2");
  if (watermark_blocks >= num_blocks && num_blocks > 0) return usage_error("watermark_blocks is not below num_blocks");
  return block_config(*this).validate();
}

Scheduler::Scheduler(const SchedulerConfig& config, Epoch epoch)
    : config_(config), epoch_(epoch), blocks_(block_config(config)) {
  HERD_CHECK(config.validate().ok(), "the scheduler's config is not valid");
  if (config_.watermark_blocks == 0) config_.watermark_blocks = config_.num_blocks / 100;
}

Status Scheduler::on_submit(const step::Submission& submission, Instant now) {
  if (lost_) return {StatusCode::kAborted, "the replica is lost"};
  if (Status status = check_submission(submission); !status.ok()) {
    ++counters_.refused_bad_input;
    return status;
  }
  if (num_waiting() >= config_.queue_requests_max ||
      queue_tokens_ + submission.tokens.size() > config_.queue_tokens_max) {
    ++counters_.refused_overloaded;
    return {StatusCode::kOverloaded, "the queue is full: " + number(num_waiting()) + " sequences with " +
                                         number(queue_tokens_) + " tokens wait; try again later"};
  }
  const Slot slot = new_slot();
  Sequence& sequence = sequences_[slot];
  sequence.id = submission.sequence;
  sequence.attempt = submission.attempt;
  sequence.tokens = submission.tokens;
  sequence.prompt_tokens = submission.prompt_tokens;
  sequence.sampling = submission.max_tokens > 0;
  sequence.tokens_max = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{submission.prompt_tokens} + submission.max_tokens, config_.max_model_len));
  sequence.params = submission.sampling;
  if (!submission.sampling.ignore_eos) sequence.stop_ids = submission.eos_ids;
  sequence.stop_ids.insert(sequence.stop_ids.end(), submission.sampling.stop_token_ids.begin(),
                           submission.sampling.stop_token_ids.end());
  sequence.priority = submission.priority;
  sequence.arrival = next_arrival_++;
  sequence.cache_salt = submission.cache_salt;
  sequence.output = submission.output;
  sequence.submitted_at = now;
  open_.emplace(sequence.id, slot);
  enqueue(slot);
  ++counters_.accepted;
  return {};
}

Status Scheduler::check_submission(const step::Submission& submission) const {
  const std::uint64_t tokens = submission.tokens.size();
  if (submission.prompt_tokens == 0 || submission.prompt_tokens > tokens) {
    return bad_input("the prompt is empty; give at least one token");
  }
  if (Status status = check_vocabulary(submission, config_.vocab_size); !status.ok()) return status;
  if (open_.contains(submission.sequence)) {
    return bad_input("sequence " + number(submission.sequence.value) + " is already open on this replica");
  }
  const bool scoring = submission.max_tokens == 0;
  if (scoring && (submission.output == step::OutputSelector::kNone || tokens > submission.prompt_tokens)) {
    return bad_input("max_tokens is 0; it must be at least 1 unless outputs of the prompt alone are asked for");
  }
  if (!scoring && tokens - submission.prompt_tokens >= submission.max_tokens) {
    return bad_input("all of max_tokens (" + number(submission.max_tokens) + ") is already emitted");
  }
  // A sampled token needs a place behind the others.
  const std::uint64_t tokens_max = scoring ? config_.max_model_len : config_.max_model_len - 1;
  if (tokens > tokens_max) {
    return bad_input("the prompt has " + number(tokens) + " tokens, the model's context holds " +
                     number(config_.max_model_len) + (scoring ? "" : " including at least one new one") +
                     "; shorten the prompt or raise --max-model-len");
  }
  // The last token emitted is never computed, so it needs no slot.
  const std::uint64_t length =
      std::min<std::uint64_t>(std::uint64_t{submission.prompt_tokens} + submission.max_tokens, config_.max_model_len);
  const std::uint64_t slots = scoring ? tokens : length - 1;
  const std::uint64_t pool = std::uint64_t{config_.num_blocks} * config_.block_size;
  if (slots > pool) {
    const bool prompt_fits = tokens <= pool;
    return bad_input("the sequence may need " + number(slots) + " KV slots, the cache has " + number(pool) + "; " +
                     (prompt_fits && !scoring ? "lower max_tokens to " + number(pool + 1 - submission.prompt_tokens)
                                              : "shorten the prompt to " + number(pool) + " tokens") +
                     " or give the KV cache more blocks");
  }
  return {};
}

std::optional<step::TokenDelta> Scheduler::on_abort(SequenceId id) {
  const auto open = open_.find(id);
  if (open == open_.end()) return std::nullopt;
  step::TokenDelta delta;
  end_sequence(open->second, delta, step::FinishReason::kAborted, {});
  return delta;
}

std::vector<SequenceId> Scheduler::on_replica_lost() {
  std::vector<std::pair<std::uint64_t, SequenceId>> open;
  for (Sequence& sequence : sequences_) {
    if (sequence.state != SequenceState::kFree && sequence.state != SequenceState::kEnded) {
      open.emplace_back(sequence.arrival, sequence.id);
    }
    blocks_.free(sequence.table);
  }
  std::ranges::sort(open);
  lost_ = true;
  sequences_.clear();
  free_slots_.clear();
  open_.clear();
  waiting_.clear();
  held_back_.clear();
  leaders_.clear();
  running_.clear();
  outstanding_.clear();
  released_.clear();
  queue_tokens_ = 0;
  blocks_returning_ = 0;
  num_draining_ = 0;
  preempt_next_ = 0;
  std::vector<SequenceId> ids;
  ids.reserve(open.size());
  for (const auto& [arrival, id] : open) ids.push_back(id);
  return ids;
}

Scheduler::Rank Scheduler::rank_of(Slot slot) const {
  const Sequence& sequence = sequences_[slot];
  return {config_.policy == SchedulingPolicy::kPriority ? sequence.priority : 0, sequence.arrival, slot};
}

Scheduler::Slot Scheduler::new_slot() {
  if (free_slots_.empty()) {
    // Waiting, running or preempting, and ended ones of the plans in flight.
    HERD_CHECK(sequences_.size() < std::uint64_t{config_.queue_requests_max} +
                                       std::uint64_t{config_.max_num_seqs} * (2 + config_.steps_ahead),
               "more sequences than queue and steps can hold");
    sequences_.emplace_back();
    return static_cast<Slot>(sequences_.size() - 1);
  }
  const Slot slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void Scheduler::enqueue(Slot slot) {
  Sequence& sequence = sequences_[slot];
  sequence.state = SequenceState::kWaiting;
  waiting_.insert(rank_of(slot));
  queue_tokens_ += sequence.num_tokens();
}

void Scheduler::end_sequence(Slot slot, step::TokenDelta& delta, step::FinishReason reason, Status error) {
  Sequence& sequence = sequences_[slot];
  delta.sequence = sequence.id;
  delta.attempt = sequence.attempt;
  delta.finish = reason;
  delta.error = std::move(error);
  report_service(sequence, delta);
  delta.preemptions = sequence.preemptions;
  switch (reason) {
    case step::FinishReason::kStop:
      ++counters_.finished_stop;
      break;
    case step::FinishReason::kLength:
      ++counters_.finished_length;
      break;
    case step::FinishReason::kAborted:
      ++counters_.aborted;
      break;
    case step::FinishReason::kFailed:
      ++counters_.failed;
      break;
    case step::FinishReason::kNone:
    case step::FinishReason::kRefused:
      HERD_CHECK(false, "not an end of an accepted sequence");
  }
  open_.erase(sequence.id);
  stop_leading(slot);
  switch (sequence.state) {
    case SequenceState::kWaiting:
      if (sequence.held_by) {
        forget_held_back(slot);
      } else {
        waiting_.erase(rank_of(slot));
      }
      queue_tokens_ -= sequence.num_tokens();
      sequence = {};
      free_slots_.push_back(slot);
      return;
    case SequenceState::kRunning:
      running_.erase(std::ranges::find(running_, slot));
      start_draining(slot);
      break;
    case SequenceState::kPreempting:
      break;  // released and draining already
    case SequenceState::kFree:
    case SequenceState::kEnded:
      HERD_CHECK(false, "a sequence ends once");
  }
  sequence.state = SequenceState::kEnded;
  settle(slot);
}

void Scheduler::start_draining(Slot slot) {
  Sequence& sequence = sequences_[slot];
  released_.push_back(sequence.id);
  sequence.blocks_returning = blocks_.exclusive_blocks(sequence.table);
  blocks_returning_ += sequence.blocks_returning;
  ++num_draining_;
}

void Scheduler::settle(Slot slot) {
  Sequence& sequence = sequences_[slot];
  if (sequence.state != SequenceState::kPreempting && sequence.state != SequenceState::kEnded) return;
  if (sequence.steps_in_flight > 0) return;
  blocks_returning_ -= sequence.blocks_returning;
  --num_draining_;
  blocks_.free(sequence.table);
  if (sequence.state == SequenceState::kEnded) {
    sequence = {};
    free_slots_.push_back(slot);
    return;
  }
  sequence.blocks_returning = 0;
  enqueue(slot);  // all lengths are set anew at admission
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = counters_;
  stats.num_waiting = static_cast<std::uint32_t>(num_waiting());
  stats.num_held_back = static_cast<std::uint32_t>(held_back_.size());
  stats.queue_tokens = queue_tokens_;
  stats.num_running = static_cast<std::uint32_t>(running_.size());
  stats.num_draining = num_draining_;
  stats.plans_outstanding = static_cast<std::uint32_t>(outstanding_.size());
  for (const std::set<Rank>* queue : {&waiting_, &held_back_}) {
    for (const Rank& rank : *queue) {
      const Instant since = sequences_[std::get<Slot>(rank)].submitted_at;
      if (stats.oldest_waiting_since == Instant{} || since < stats.oldest_waiting_since)
        stats.oldest_waiting_since = since;
    }
  }
  stats.blocks = blocks_.stats();
  return stats;
}

}  // namespace herd::scheduler
