#include "runtime/scheduler/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "runtime/scheduler/probation.h"
#include "runtime/scheduler/result_taker.h"
#include "runtime/scheduler/step_planner.h"
#include "runtime/scheduler/submission_check.h"

namespace herd::scheduler {
namespace {

Status replica_lost() { return {StatusCode::kAborted, "the replica is lost"}; }

Sequence sequence_of(const step::Submission& submission, const SchedulerConfig& config, Instant now) {
  Sequence sequence;
  sequence.id = submission.sequence;
  sequence.attempt = submission.attempt;
  sequence.tokens = submission.tokens;
  sequence.prompt_tokens = submission.prompt_tokens;
  sequence.sampling = submission.max_tokens > 0;
  sequence.tokens_max = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{submission.prompt_tokens} + submission.max_tokens, config.max_model_len));
  sequence.params = submission.sampling;
  if (!submission.sampling.ignore_eos) sequence.stop_ids = submission.eos_ids;
  sequence.stop_ids.insert(sequence.stop_ids.end(), submission.sampling.stop_token_ids.begin(),
                           submission.sampling.stop_token_ids.end());
  sequence.priority = submission.priority;
  sequence.cache_salt = submission.cache_salt;
  sequence.output = submission.output;
  sequence.alone_until = submission.alone_until;
  sequence.submitted_at = now;
  return sequence;
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, Epoch epoch, const SchedulerProbe& probe)
    : state_(config, epoch, probe) {
  HERD_CHECK(config.validate().ok(), "the scheduler's config is not valid");
}

Status Scheduler::may_submit(const step::Submission& submission, std::size_t waiting_besides, std::uint64_t tokens_besides) {
  if (lost_) return replica_lost();
  Status status = check_submission(submission, state_.config);
  if (status.ok() && state_.sequences.find(submission.sequence))
    status = bad_input("sequence " + std::to_string(submission.sequence.value) + " is already open on this replica");
  if (!status.ok()) {
    ++state_.counters.refused_bad_input;
    return status;
  }
  const std::size_t waiting = state_.sequences.num_waiting() + waiting_besides;
  const std::uint64_t tokens = state_.sequences.queue_tokens() + tokens_besides;
  if (waiting >= state_.config.queue_requests_max || tokens + submission.tokens.size() > state_.config.queue_tokens_max) {
    ++state_.counters.refused_overloaded;
    return {StatusCode::kOverloaded, "the queue is full: " + std::to_string(waiting) + " sequences with " +
                                         std::to_string(tokens) + " tokens wait; try again later"};
  }
  return {};
}

Status Scheduler::on_submit(const step::Submission& submission, Instant now) {
  if (Status status = may_submit(submission); !status.ok()) return status;
  state_.sequences.add(sequence_of(submission, state_.config, now));
  ++state_.counters.accepted;
  return {};
}

std::optional<step::TokenDelta> Scheduler::on_abort(SequenceId id) {
  const auto slot = state_.sequences.find(id);
  if (!slot) return std::nullopt;
  step::TokenDelta delta;
  state_.end_sequence(*slot, delta, step::FinishReason::kAborted, {});
  return delta;
}

std::optional<step::StepPlan> Scheduler::plan_step(Instant now, const StepCost* cost) {
  if (lost_) return std::nullopt;
  return StepPlanner(state_, now, cost).plan();
}

std::vector<step::TokenDelta> Scheduler::on_step_done(const step::StepResult& result, Instant now) {
  const std::deque<PlanInFlight>& outstanding = state_.outstanding;
  if (outstanding.empty() || result.epoch != state_.epoch || result.step != outstanding.front().step) {
    ++state_.counters.stale_results;
    return {};
  }
  return ResultTaker(state_, result, now).take();
}

std::vector<SequenceId> Scheduler::on_replica_lost() {
  lost_ = true;
  state_.leaders.clear();
  state_.transfers.clear(state_.sequences.blocks());
  state_.outstanding.clear();
  state_.preemptions_owed = 0;
  return state_.sequences.clear();
}

Expected<ExportBegun> Scheduler::begin_export(TransferId transfer, std::span<const kv::BlockHash> hashes, std::uint64_t salt,
                                              std::uint32_t first) {
  if (lost_) return fail(replica_lost());
  return state_.transfers.begin_export(state_.sequences.blocks(), transfer, hashes, salt, first);
}

Expected<std::uint32_t> Scheduler::begin_import(TransferId transfer, std::vector<TokenId> tokens, std::uint64_t salt) {
  if (lost_) return fail(replica_lost());
  return state_.transfers.begin_import(state_.sequences.blocks(), transfer, std::move(tokens), salt);
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = state_.counters;
  stats.num_waiting = static_cast<std::uint32_t>(state_.sequences.num_waiting());
  stats.num_held_back = static_cast<std::uint32_t>(state_.sequences.held_back().size());
  stats.queue_tokens = state_.sequences.queue_tokens();
  stats.num_running = static_cast<std::uint32_t>(state_.sequences.running().size());
  stats.num_draining = state_.sequences.num_draining();
  stats.plans_outstanding = static_cast<std::uint32_t>(state_.outstanding.size());
  stats.oldest_waiting_since = state_.sequences.oldest_waiting_since();
  state_.transfers.report(stats);
  stats.blocks = blocks().stats();
  return stats;
}

void Scheduler::check_integrity() const {
  const SequenceTable& sequences = state_.sequences;
  std::vector<std::uint32_t> steps(sequences.num_slots());
  std::vector<std::uint32_t> samples(sequences.num_slots());
  HERD_CHECK(state_.outstanding.size() <= state_.config.steps_ahead, "too many plans are out");
  std::vector<const CopiesInFlight*> copies;
  for (const PlanInFlight& plan : state_.outstanding) {
    copies.push_back(&plan.copies);
    for (const SliceInFlight& slice : plan.slices) {
      ++steps[slice.slot];
      samples[slice.slot] += slice.sample ? 1 : 0;
    }
  }
  std::vector<const kv::BlockTable*> tables;
  state_.transfers.list_tables(tables);
  sequences.check_integrity(steps, samples, std::move(tables));
  state_.transfers.check_integrity(copies);
  HERD_CHECK(sequences.running().size() <= state_.config.max_num_seqs, "more sequences run than ranks can hold");
  HERD_CHECK(num_open() > 0 || !state_.outstanding.empty() || state_.transfers.active() || blocks().stats().num_held == 0,
             "blocks are held for nobody");
  state_.leaders.check_integrity(sequences);
  check_probation(state_);
}

}  // namespace herd::scheduler
