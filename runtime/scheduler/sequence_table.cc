#include "runtime/scheduler/sequence_table.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::scheduler {

SequenceTable::SequenceTable(const SchedulerConfig& config, std::uint32_t hash_bits)
    : by_priority_(config.policy == SchedulingPolicy::kPriority),
      block_size_(config.block_size),
      // Waiting, running or preempting, and ended ones of the plans in flight.
      slots_max_(std::uint64_t{config.queue_requests_max} + std::uint64_t{config.max_num_seqs} * (2 + config.steps_ahead)),
      blocks_({config.block_size, config.num_blocks, config.prefix_caching, hash_bits}) {}

Slot SequenceTable::add(Sequence sequence) {
  const Slot slot = new_slot();
  sequence.arrival = next_arrival_++;
  num_suspects_ += sequence.alone_until > 0 ? 1 : 0;
  sequences_[slot] = std::move(sequence);
  open_.emplace(sequences_[slot].id, slot);
  enqueue(slot);
  return slot;
}

Slot SequenceTable::new_slot() {
  if (free_slots_.empty()) {
    HERD_CHECK(sequences_.size() < slots_max_, "more sequences than queue and steps can hold");
    sequences_.emplace_back();
    return static_cast<Slot>(sequences_.size() - 1);
  }
  const Slot slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void SequenceTable::free_slot(Slot slot) {
  num_suspects_ -= sequences_[slot].alone_until > 0 ? 1 : 0;
  sequences_[slot] = {};
  free_slots_.push_back(slot);
}

void SequenceTable::enqueue(Slot slot) {
  Sequence& sequence = sequences_[slot];
  sequence.state = SequenceState::kWaiting;
  waiting_.insert(rank_of(slot));
  queue_tokens_ += sequence.num_tokens();
}

void SequenceTable::run_first() {
  const Rank rank = *waiting_.begin();
  const Slot slot = std::get<Slot>(rank);
  waiting_.erase(waiting_.begin());
  queue_tokens_ -= sequences_[slot].num_tokens();
  sequences_[slot].state = SequenceState::kRunning;
  running_.insert(std::ranges::upper_bound(running_, rank, {}, [this](Slot other) { return rank_of(other); }), slot);
}

void SequenceTable::preempt(std::size_t index) {
  const Slot slot = running_[index];
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  start_draining(slot);
  sequences_[slot].state = SequenceState::kPreempting;
  ++sequences_[slot].preemptions;
  settle(slot);
}

void SequenceTable::end(Slot slot) {
  Sequence& sequence = sequences_[slot];
  open_.erase(sequence.id);
  switch (sequence.state) {
    case SequenceState::kWaiting:
      (sequence.held_by ? held_back_ : waiting_).erase(rank_of(slot));
      queue_tokens_ -= sequence.num_tokens();
      return free_slot(slot);
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

void SequenceTable::start_draining(Slot slot) {
  Sequence& sequence = sequences_[slot];
  released_.push_back(sequence.id);
  sequence.blocks_returning = blocks_.exclusive_blocks(sequence.table);
  blocks_returning_ += sequence.blocks_returning;
  ++num_draining_;
}

void SequenceTable::finish_draining(Slot slot) {
  Sequence& sequence = sequences_[slot];
  blocks_returning_ -= sequence.blocks_returning;
  --num_draining_;
  blocks_.free(sequence.table);
  if (sequence.state == SequenceState::kEnded) return free_slot(slot);
  sequence.blocks_returning = 0;
  enqueue(slot);  // all lengths are set anew at admission
}

void SequenceTable::hold_back(Slot slot, Slot leader, std::uint32_t blocks_claimed) {
  sequences_[slot].held_by = leader;
  sequences_[slot].blocks_claimed = blocks_claimed;
  held_back_.insert(waiting_.extract(rank_of(slot)));
}

void SequenceTable::let_go_of(Slot leader) {
  for (auto rank = held_back_.begin(); rank != held_back_.end();) {
    Sequence& follower = sequences_[std::get<Slot>(*rank)];
    const auto current = rank++;
    if (follower.held_by != leader) continue;
    follower.held_by.reset();
    waiting_.insert(held_back_.extract(current));
  }
}

std::vector<SequenceId> SequenceTable::take_released() { return std::exchange(released_, {}); }

std::vector<SequenceId> SequenceTable::clear() {
  std::vector<SequenceId> open;
  for (const Slot slot : open_slots()) open.push_back(sequences_[slot].id);
  for (Sequence& sequence : sequences_) blocks_.free(sequence.table);
  sequences_.clear();
  free_slots_.clear();
  open_.clear();
  waiting_.clear();
  held_back_.clear();
  running_.clear();
  released_.clear();
  queue_tokens_ = 0;
  blocks_returning_ = 0;
  num_draining_ = 0;
  num_suspects_ = 0;
  return open;
}

std::optional<Slot> SequenceTable::find(SequenceId id) const {
  const auto open = open_.find(id);
  return open == open_.end() ? std::nullopt : std::optional(open->second);
}

std::vector<Slot> SequenceTable::open_slots() const {
  std::vector<Slot> slots;
  slots.reserve(open_.size());
  for (Slot slot = 0; slot < sequences_.size(); ++slot) {
    const SequenceState state = sequences_[slot].state;
    if (state != SequenceState::kFree && state != SequenceState::kEnded) slots.push_back(slot);
  }
  std::ranges::sort(slots, {}, [this](Slot slot) { return sequences_[slot].arrival; });
  return slots;
}

Instant SequenceTable::oldest_waiting_since() const {
  Instant oldest;
  for (const std::set<Rank>* queue : {&waiting_, &held_back_}) {
    for (const Rank& rank : *queue) {
      const Instant since = sequences_[std::get<Slot>(rank)].submitted_at;
      if (oldest == Instant{} || since < oldest) oldest = since;
    }
  }
  return oldest;
}

void SequenceTable::check_integrity(std::span<const std::uint32_t> steps, std::span<const std::uint32_t> samples,
                                    std::vector<const kv::BlockTable*> tables) const {
  Sums sums;
  for (Slot slot = 0; slot < sequences_.size(); ++slot) {
    HERD_CHECK(sequences_[slot].steps_in_flight == steps[slot] && sequences_[slot].samples_in_flight == samples[slot],
               "steps in flight are miscounted");
    tables.push_back(&sequences_[slot].table);
    check_sequence(slot, steps[slot], sums);
  }
  HERD_CHECK(sums.waiting == num_waiting() && sums.running == running_.size(),
             "a queue lists a sequence in another state");
  HERD_CHECK(sums.free == free_slots_.size() && sums.open == open_.size(), "slots are lost");
  HERD_CHECK(sums.queue_tokens == queue_tokens_ && sums.draining == num_draining_ &&
                 sums.returning == blocks_returning_ && sums.suspects == num_suspects_,
             "sums over sequences are off");
  HERD_CHECK(std::ranges::is_sorted(running_, {}, [this](Slot slot) { return rank_of(slot); }),
             "running is out of order");
  blocks_.check_integrity(tables);
}

void SequenceTable::check_sequence(Slot slot, std::uint32_t steps, Sums& sums) const {
  const Sequence& sequence = sequences_[slot];
  const bool has_blocks = !sequence.table.blocks.empty();
  const bool is_open = find(sequence.id) == slot;
  sums.open += is_open ? 1 : 0;
  sums.suspects += sequence.alone_until > 0 ? 1 : 0;
  switch (sequence.state) {
    case SequenceState::kFree:
      ++sums.free;
      HERD_CHECK(!has_blocks && steps == 0 && !is_open, "a free slot is in use");
      return;
    case SequenceState::kWaiting:
      ++sums.waiting;
      sums.queue_tokens += sequence.num_tokens();
      HERD_CHECK(waiting_.contains(rank_of(slot)) != sequence.held_by.has_value() &&
                     held_back_.contains(rank_of(slot)) == sequence.held_by.has_value(),
                 "a waiting sequence is not in its queue");
      HERD_CHECK(!has_blocks && steps == 0, "a waiting sequence holds blocks or steps");
      break;
    case SequenceState::kRunning:
      ++sums.running;
      check_running(sequence, slot);
      break;
    case SequenceState::kPreempting:
    case SequenceState::kEnded:
      ++sums.draining;
      sums.returning += sequence.blocks_returning;
      HERD_CHECK(steps > 0, "a draining sequence has no step in flight");
      break;
  }
  HERD_CHECK(is_open == (sequence.state != SequenceState::kEnded), "open sequences and states differ");
  HERD_CHECK(sequence.num_tokens() >= sequence.prompt_tokens && sequence.prompt_tokens > 0, "the prompt is gone");
}

void SequenceTable::check_running(const Sequence& sequence, Slot slot) const {
  const std::size_t blocks = sequence.table.blocks.size();
  HERD_CHECK(std::ranges::count(running_, slot) == 1, "a running sequence is not listed once");
  HERD_CHECK(sequence.planned_tokens <= blocks * block_size_, "rows are planned beyond the blocks");
  HERD_CHECK(sequence.sent_blocks <= blocks && sequence.computed_tokens <= sequence.planned_tokens,
             "a running sequence's lengths contradict each other");
  HERD_CHECK(sequence.planned_tokens < sequence.tokens_max || !sequence.sampling, "rows are planned beyond the end");
}

}  // namespace herd::scheduler
