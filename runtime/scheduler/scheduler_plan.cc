// The half of Scheduler that makes plans: who computes how many rows next, and who gives blocks up for it.

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::scheduler {

std::optional<step::StepPlan> Scheduler::plan_step(Instant now) {
  if (lost_ || outstanding_.size() >= config_.steps_ahead) return std::nullopt;
  step::StepPlan plan;
  PlanInFlight record;
  Budget budget{config_.max_num_batched_tokens, config_.max_prefill_seqs, 0};
  preempt_forced();
  plan_decodes(plan, record, budget);
  plan_prompts(plan, record, budget, now);
  plan.released = std::exchange(released_, {});
  if (plan.slices.empty() && plan.released.empty()) {
    HERD_CHECK(!outstanding_.empty() || (running_.empty() && num_waiting() == 0),
               "work is open but nothing can be planned");
    return std::nullopt;
  }
  plan.epoch = epoch_;
  plan.step = StepId{++last_step_.value};
  record.step = plan.step;
  outstanding_.push_back(std::move(record));
  ++counters_.steps_planned;
  if (config_.preempt_every_steps > 0 && counters_.steps_planned % config_.preempt_every_steps == 0) force_preempt(1);
  return plan;
}

void Scheduler::preempt_forced() {
  // Only sequences that gained a token since their admission, so that every round trip makes progress.
  for (std::size_t i = running_.size(); i > 0 && preempt_next_ > 0; --i) {
    if (!sequences_[running_[i - 1]].sampled_since_admission) continue;
    preempt(i - 1);
    --preempt_next_;
  }
  preempt_next_ = std::min(preempt_next_, config_.max_num_seqs);
}

void Scheduler::plan_decodes(step::StepPlan& plan, PlanInFlight& record, Budget& budget) {
  // ensure_slot_for_decode() takes blocks from the back of running_, never from before i.
  for (std::size_t i = 0; i < running_.size(); ++i) {
    const Slot slot = running_[i];
    const Sequence& sequence = sequences_[slot];
    if (sequence.prefilling()) continue;
    const std::uint32_t tokens = sequence.num_tokens() + sequence.samples_in_flight;
    // Nothing to feed (scoring), or the token in flight is the last one.
    if (sequence.planned_tokens >= tokens || tokens >= sequence.tokens_max) continue;
    if (!ensure_slot_for_decode(slot, budget)) continue;
    add_slice(slot, 1, true, plan, record);
    --budget.rows;
    ++counters_.decode_rows;
  }
}

bool Scheduler::ensure_slot_for_decode(Slot slot, Budget& budget) {
  Sequence& sequence = sequences_[slot];
  while (!blocks_.grow(sequence.table, std::uint64_t{sequence.planned_tokens} + 1)) {
    // Blocks that return with a step in flight are enough: sit this step out rather than preempt one more.
    if (blocks_returning_ > budget.stalled) {
      ++budget.stalled;
      return false;
    }
    const bool self = running_.back() == slot;
    preempt(running_.size() - 1);
    if (self) return false;
  }
  return true;
}

void Scheduler::preempt(std::size_t index) {
  const Slot slot = running_[index];
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  start_draining(slot);
  sequences_[slot].state = SequenceState::kPreempting;
  ++sequences_[slot].preemptions;
  ++counters_.preemptions;
  // A token in flight publishes what was computed all the same.
  if (sequences_[slot].samples_in_flight == 0) stop_leading(slot);
  settle(slot);
}

void Scheduler::plan_prompts(step::StepPlan& plan, PlanInFlight& record, Budget& budget, Instant now) {
  // In order of service, whoever runs and whoever waits: who was held back is not passed by a later one's long prompt.
  bool admitting = budget.stalled == 0;
  Claims claims{held_back_.begin()};
  std::size_t next = 0;  // of running_
  while (budget.rows > 0 && budget.prefills > 0) {
    while (next < running_.size() && !sequences_[running_[next]].prefilling()) ++next;
    const bool all_planned = next == running_.size();
    if (admitting && !waiting_.empty() && (all_planned || *waiting_.begin() < rank_of(running_[next]))) {
      const std::size_t running = running_.size();
      admitting = admit_first(plan, record, budget, claims, now);
      next += running_.size() - running;  // it went in before the next one, and has its rows
    } else if (!all_planned) {
      plan_prefill_chunk(running_[next++], plan, record, budget);
    } else {
      return;
    }
  }
}

bool Scheduler::admit_first(step::StepPlan& plan, PlanInFlight& record, Budget& budget, Claims& claims, Instant now) {
  // Strictly in order: a head that does not fit yet is not overtaken, so nobody starves within a priority.
  const Rank rank = *waiting_.begin();
  const Slot slot = std::get<Slot>(rank);
  const std::size_t seats = config_.max_num_seqs - running_.size();
  for (; claims.seats < seats && claims.next != held_back_.end() && *claims.next < rank; ++claims.next)
    claims.add(sequences_[std::get<Slot>(*claims.next)]);
  if (claims.seats >= seats) return false;
  Sequence& sequence = sequences_[slot];
  if (hold_back(slot)) {
    claims.add(sequence);
    return true;
  }
  const bool alone = running_.empty() && num_draining_ == 0;
  // Rows asked for must be computed, so such a sequence does not read the cache.
  const step::OutputSelector output = sequence.output_owed();
  const std::uint64_t blocks_left = claims.blocks + (alone ? 0 : config_.watermark_blocks);
  const auto admission =
      blocks_.admit(sequence.table, sequence.tokens, sequence.cache_salt, output == step::OutputSelector::kNone,
                    static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks_left, config_.num_blocks)));
  if (!admission) return false;
  waiting_.erase(waiting_.begin());
  queue_tokens_ -= sequence.num_tokens();
  sequence.state = SequenceState::kRunning;
  sequence.prefill_target = sequence.num_tokens();
  sequence.planned_tokens = admission->cached_tokens;
  sequence.computed_tokens = admission->cached_tokens;
  sequence.sent_blocks = admission->cached_blocks;
  sequence.sampled_since_admission = false;
  if (!sequence.was_admitted) {
    sequence.was_admitted = true;
    sequence.cached_tokens = std::min(admission->cached_tokens, sequence.prompt_tokens);
    sequence.first_planned_at = now;
  }
  running_.insert(std::ranges::upper_bound(running_, rank, {}, [this](Slot other) { return rank_of(other); }), slot);
  start_leading(slot, admission->cached_blocks);
  const auto first = sequence.table.blocks.begin();
  plan.started.push_back({sequence.id, sequence.tokens, sequence.prompt_tokens, sequence.params, sequence.stop_ids, 0,
                          output, {first, first + admission->cached_blocks}});
  plan_prefill_chunk(slot, plan, record, budget);
  return true;
}

void Scheduler::plan_prefill_chunk(Slot slot, step::StepPlan& plan, PlanInFlight& record, Budget& budget) {
  const Sequence& sequence = sequences_[slot];
  std::uint32_t rows = std::min(sequence.prefill_target - sequence.planned_tokens, budget.rows);
  if (config_.prefill_chunk_max > 0) rows = std::min(rows, config_.prefill_chunk_max);
  const bool last = sequence.planned_tokens + rows == sequence.prefill_target;
  add_slice(slot, rows, last && sequence.sampling, plan, record);
  budget.rows -= rows;
  --budget.prefills;
  counters_.prefill_rows += rows;
}

void Scheduler::add_slice(Slot slot, std::uint32_t rows, bool sample, step::StepPlan& plan, PlanInFlight& record) {
  Sequence& sequence = sequences_[slot];
  const std::uint32_t position = sequence.planned_tokens;
  const std::uint32_t output_index = sample ? position + rows - sequence.prompt_tokens : 0;
  const std::vector<BlockId>& blocks = sequence.table.blocks;
  plan.slices.push_back(
      {sequence.id, position, rows, {blocks.begin() + sequence.sent_blocks, blocks.end()}, sample, output_index});
  record.slices.push_back({slot, position, rows, sample, output_index});
  sequence.sent_blocks = static_cast<std::uint32_t>(blocks.size());
  sequence.planned_tokens += rows;
  ++sequence.steps_in_flight;
  sequence.samples_in_flight += sample ? 1 : 0;
}

}  // namespace herd::scheduler
