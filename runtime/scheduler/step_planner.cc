#include "runtime/scheduler/step_planner.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "runtime/scheduler/probation.h"
#include "runtime/step/plan_size.h"

namespace herd::scheduler {

StepPlanner::StepPlanner(SchedulerState& state, Instant now, const StepCost* cost)
    : state_(state),
      sequences_(state.sequences),
      config_(state.config),
      now_(now),
      cost_(cost),
      words_besides_(step::plan_words(config_.max_num_seqs) +
                     step::copies_words(2 * std::size_t{config_.transfer_blocks_per_step} + kTransfersMax)),
      budget_{config_.max_num_batched_tokens, config_.max_prefill_seqs} {}

std::optional<step::StepPlan> StepPlanner::plan() {
  if (state_.outstanding.size() >= config_.steps_ahead) return std::nullopt;
  preempt_for_probe();
  plan_turn();
  plan_.released = sequences_.take_released();
  plan_copies();
  if (plan_.slices.empty() && plan_.released.empty() && record_.copies.empty() && plan_.forgotten.empty()) {
    HERD_CHECK(!state_.outstanding.empty() || (sequences_.running().empty() && sequences_.num_waiting() == 0),
               "work is open but nothing can be planned");
    return std::nullopt;
  }
  plan_.epoch = state_.epoch;
  plan_.step = StepId{++state_.last_step.value};
  record_.step = plan_.step;
  state_.outstanding.push_back(std::move(record_));
  ++state_.counters.steps_planned;
  return std::move(plan_);
}

// A plan of copies alone is made when nothing else is out: what comes next never waits for two of them.
void StepPlanner::plan_copies() {
  if (!state_.transfers.active()) return;
  const bool alone = plan_.slices.empty() && plan_.released.empty();
  if (!alone || state_.outstanding.empty()) state_.transfers.add_copies(plan_, record_.copies);
}

void StepPlanner::preempt_for_probe() {
  if (!state_.probe.preemptions) return;
  std::uint32_t& owed = state_.preemptions_owed;
  owed += state_.probe.preemptions(state_.counters.steps_planned);
  // Only sequences that gained a token since their admission, so that every round trip makes progress.
  for (std::size_t i = sequences_.running().size(); i > 0 && owed > 0; --i) {
    if (!sequences_[sequences_.running()[i - 1]].sampled_since_admission) continue;
    preempt(i - 1);
    --owed;
  }
  owed = std::min(owed, config_.max_num_seqs);
}

void StepPlanner::plan_turn() {
  const Turn turn = next_turn(state_);
  switch (turn.who) {
    case Turn::Who::kEverybody:
      return plan_everybody();
    case Turn::Who::kNobody:
      return;
    case Turn::Who::kOne:
      return plan_suspect(turn.suspect);
    case Turn::Who::kFirstWaiting: {
      Claims claims{sequences_.held_back().begin()};
      (void)admit_first(claims);
      state_.others_owed = !plan_.slices.empty();
      if (plan_.slices.empty()) plan_everybody();
      return;
    }
  }
}

void StepPlanner::plan_everybody() {
  plan_decodes();
  plan_prompts();
  if (!plan_.slices.empty()) state_.others_owed = false;
}

void StepPlanner::plan_suspect(Slot slot) {
  if (sequences_[slot].prefilling()) {
    plan_prefill_chunk(slot);
  } else {
    plan_decode(slot);
  }
}

void StepPlanner::plan_decodes() {
  // ensure_slot_for_decode() takes blocks from the back of running(), never from before i.
  for (std::size_t i = 0; i < sequences_.running().size(); ++i) {
    const Slot slot = sequences_.running()[i];
    if (!sequences_[slot].prefilling()) plan_decode(slot);
  }
}

// Inline: once for each running sequence and step.
inline void StepPlanner::plan_decode(Slot slot) {
  const Sequence& sequence = sequences_[slot];
  const std::uint32_t tokens = sequence.num_tokens() + sequence.samples_in_flight;
  // Nothing to feed (scoring), or the token in flight is the last one.
  if (sequence.planned_tokens >= tokens || tokens >= sequence.tokens_max) return;
  budget_.streams = true;
  if (!ensure_slot_for_decode(slot)) return;
  add_slice(slot, 1, true);
  --budget_.rows;
  ++state_.counters.decode_rows;
}

bool StepPlanner::ensure_slot_for_decode(Slot slot) {
  Sequence& sequence = sequences_[slot];
  while (!sequences_.blocks().grow(sequence.table, std::uint64_t{sequence.planned_tokens} + 1)) {
    // Blocks that return with a step in flight are enough: sit this step out rather than preempt one more.
    if (blocks_returning() > budget_.stalled) {
      ++budget_.stalled;
      return false;
    }
    if (state_.transfers.give_way(sequences_.blocks())) continue;
    const bool self = sequences_.running().back() == slot;
    preempt(sequences_.running().size() - 1);
    if (self) return false;
  }
  return true;
}

std::uint32_t StepPlanner::blocks_returning() const {
  return sequences_.blocks_returning() + state_.transfers.blocks_returning(sequences_.blocks());
}

void StepPlanner::preempt(std::size_t index) {
  const Slot slot = sequences_.running()[index];
  sequences_.preempt(index);
  ++state_.counters.preemptions;
  // A token in flight publishes what was computed all the same.
  if (sequences_[slot].samples_in_flight == 0) state_.leaders.stop_leading(slot, sequences_);
}

void StepPlanner::plan_prompts() {
  // In order of service, whoever runs and whoever waits: who was held back is not passed by a later one's long prompt.
  const std::vector<Slot>& running = sequences_.running();
  bool admitting = budget_.stalled == 0;
  Claims claims{sequences_.held_back().begin()};
  std::size_t next = 0;  // of running
  while (budget_.rows > 0 && budget_.prefills > 0 && !(room_ && room_->used_up)) {
    while (next < running.size() && !sequences_[running[next]].prefilling()) ++next;
    const bool all_planned = next == running.size();
    const std::set<Rank>& waiting = sequences_.waiting();
    if (admitting && !waiting.empty() && (all_planned || *waiting.begin() < sequences_.rank_of(running[next]))) {
      const std::size_t before = running.size();
      // A suspect is admitted in a plan of its own.
      admitting = !sequences_[std::get<Slot>(*waiting.begin())].on_probation() && admit_first(claims);
      next += running.size() - before;  // it went in before the next one, and has its rows
    } else if (!all_planned) {
      plan_prefill_chunk(running[next++]);
    } else {
      return;
    }
  }
}

bool StepPlanner::admit_first(Claims& claims) {
  // Strictly in order: a head that does not fit yet is not overtaken, so nobody starves within a priority.
  const Rank rank = *sequences_.waiting().begin();
  const Slot slot = std::get<Slot>(rank);
  const std::set<Rank>& held_back = sequences_.held_back();
  const std::size_t seats = config_.max_num_seqs - sequences_.running().size();
  for (; claims.seats < seats && claims.next != held_back.end() && *claims.next < rank; ++claims.next)
    claims.add(sequences_[std::get<Slot>(*claims.next)]);
  if (claims.seats >= seats) return false;
  Sequence& sequence = sequences_[slot];
  if (state_.leaders.hold_back(slot, sequences_)) {
    ++state_.counters.held_back;
    claims.add(sequence);
    return true;
  }
  // Many long prompts that the cache holds are few rows and a long message. One alone always fits.
  const std::uint64_t words = budget_.words + words_of(sequence);
  if (!plan_.started.empty() && words + words_besides_ > step::kPlanWordsMax) return false;
  const bool alone = sequences_.running().empty() && sequences_.num_draining() == 0;
  // Rows asked for must be computed, so such a sequence does not read the cache.
  const bool read_cache = sequence.output_owed() == step::OutputSelector::kNone;
  const std::uint64_t blocks_left = claims.blocks + (alone ? 0 : config_.watermark_blocks);
  const auto admit = [&] {
    return sequences_.blocks().admit(sequence.table, sequence.tokens, sequence.cache_salt, read_cache,
                                     static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks_left, config_.num_blocks)));
  };
  auto admission = admit();
  // Nobody else's end would bring it the blocks that transfers hold.
  while (!admission && alone && state_.transfers.give_way(sequences_.blocks())) admission = admit();
  if (!admission) return false;
  budget_.words = words;
  start(slot, *admission);
  plan_prefill_chunk(slot);
  return true;
}

std::uint64_t StepPlanner::words_of(const Sequence& sequence) const {
  return step::start_words(sequence.tokens.size(), sequences_.blocks().blocks_for(sequence.num_tokens()), sequence.params,
                           sequence.stop_ids.size());
}

void StepPlanner::start(Slot slot, const kv::Admission& admission) {
  sequences_.run_first();
  Sequence& sequence = sequences_[slot];
  sequence.prefill_target = sequence.num_tokens();
  sequence.planned_tokens = admission.cached_tokens;
  sequence.computed_tokens = admission.cached_tokens;
  sequence.sent_blocks = admission.cached_blocks;
  sequence.sampled_since_admission = false;
  if (!sequence.was_admitted) {
    sequence.was_admitted = true;
    sequence.cached_tokens = std::min(admission.cached_tokens, sequence.prompt_tokens);
    sequence.first_planned_at = now_;
  }
  state_.leaders.start_leading(slot, admission.cached_blocks, sequences_);
  const auto first = sequence.table.blocks.begin();
  plan_.started.push_back({sequence.id, sequence.tokens, sequence.prompt_tokens, sequence.params, sequence.stop_ids, 0,
                           sequence.output_owed(), {first, first + admission.cached_blocks}});
}

void StepPlanner::plan_prefill_chunk(Slot slot) {
  const Sequence& sequence = sequences_[slot];
  std::uint32_t rows = std::min(sequence.prefill_target - sequence.planned_tokens, budget_.rows);
  if (config_.prefill_chunk_max > 0) rows = std::min(rows, config_.prefill_chunk_max);
  rows = take_rows(sequence.planned_tokens, rows);
  const bool last = sequence.planned_tokens + rows == sequence.prefill_target;
  add_slice(slot, rows, last && sequence.sampling);
  budget_.rows -= rows;
  --budget_.prefills;
  state_.counters.prefill_rows += rows;
}

std::uint32_t StepPlanner::take_rows(std::uint32_t position, std::uint32_t rows_max) {
  if (cost_ == nullptr || !budget_.streams || config_.max_step_ms == 0U) return rows_max;
  if (!room_) {
    const StepShape decodes = shape_of(plan_);
    room_ = Room{decodes, step_seconds_max(config_.max_step_ms, cost_->step_seconds(decodes))};
  }
  // Who was admitted computes in the same plan, so it has a row even where there is no room.
  const ChunkBounds bounds{std::min(std::max(room_->rows_owed, 1U), rows_max), rows_max};
  const std::uint32_t rows = chunk_rows(*cost_, room_->step, position, bounds, room_->seconds_max);
  room_->step = with_chunk(room_->step, position, rows);
  room_->rows_owed -= std::min(room_->rows_owed, rows);
  room_->used_up = rows < rows_max || (room_->rows_owed == 0 && cost_->step_seconds(room_->step) > room_->seconds_max);
  return rows;
}

void StepPlanner::add_slice(Slot slot, std::uint32_t rows, bool sample) {
  Sequence& sequence = sequences_[slot];
  const std::uint32_t position = sequence.planned_tokens;
  const std::uint32_t output_index = sample ? position + rows - sequence.prompt_tokens : 0;
  const std::vector<BlockId>& blocks = sequence.table.blocks;
  plan_.slices.push_back(
      {sequence.id, position, rows, {blocks.begin() + sequence.sent_blocks, blocks.end()}, sample, output_index});
  record_.slices.push_back({slot, position, rows, sample, output_index});
  sequence.sent_blocks = static_cast<std::uint32_t>(blocks.size());
  sequence.planned_tokens += rows;
  ++sequence.steps_in_flight;
  sequence.samples_in_flight += sample ? 1 : 0;
}

}  // namespace herd::scheduler
