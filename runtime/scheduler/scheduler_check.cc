// Scheduler::check_integrity: what must hold between any two events.

#include <algorithm>
#include <vector>

#include "kernels/check.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::scheduler {

void Scheduler::check_integrity() const {
  std::vector<const kv::BlockTable*> tables;
  std::vector<std::uint32_t> steps(sequences_.size());
  std::vector<std::uint32_t> samples(sequences_.size());
  HERD_CHECK(outstanding_.size() <= config_.steps_ahead, "too many plans are out");
  for (const PlanInFlight& plan : outstanding_) {
    for (const SliceInFlight& slice : plan.slices) {
      ++steps[slice.slot];
      samples[slice.slot] += slice.sample ? 1 : 0;
    }
  }
  std::uint64_t queue_tokens = 0;
  std::uint32_t waiting = 0, running = 0, draining = 0, free = 0, returning = 0, open = 0;
  for (Slot slot = 0; slot < sequences_.size(); ++slot) {
    const Sequence& sequence = sequences_[slot];
    const std::uint32_t blocks = static_cast<std::uint32_t>(sequence.table.blocks.size());
    HERD_CHECK(sequence.steps_in_flight == steps[slot] && sequence.samples_in_flight == samples[slot],
               "steps in flight are miscounted");
    tables.push_back(&sequence.table);
    const auto entry = open_.find(sequence.id);
    const bool is_open = entry != open_.end() && entry->second == slot;
    open += is_open ? 1 : 0;
    switch (sequence.state) {
      case SequenceState::kFree:
        ++free;
        HERD_CHECK(blocks == 0 && steps[slot] == 0 && !is_open, "a free slot is in use");
        continue;
      case SequenceState::kWaiting:
        ++waiting;
        queue_tokens += sequence.num_tokens();
        HERD_CHECK(waiting_.contains(rank_of(slot)) != sequence.held_by.has_value() &&
                       held_back_.contains(rank_of(slot)) == sequence.held_by.has_value(),
                   "a waiting sequence is not in its queue");
        HERD_CHECK(blocks == 0 && steps[slot] == 0, "a waiting sequence holds blocks or steps");
        break;
      case SequenceState::kRunning:
        ++running;
        HERD_CHECK(std::ranges::count(running_, slot) == 1, "a running sequence is not listed once");
        HERD_CHECK(sequence.planned_tokens <= std::uint64_t{blocks} * config_.block_size,
                   "rows are planned beyond the blocks");
        HERD_CHECK(sequence.sent_blocks <= blocks && sequence.computed_tokens <= sequence.planned_tokens,
                   "a running sequence's lengths contradict each other");
        HERD_CHECK(sequence.planned_tokens < sequence.tokens_max || !sequence.sampling,
                   "rows are planned beyond the end");
        break;
      case SequenceState::kPreempting:
      case SequenceState::kEnded:
        ++draining;
        returning += sequence.blocks_returning;
        HERD_CHECK(steps[slot] > 0, "a draining sequence has no step in flight");
        break;
    }
    HERD_CHECK(is_open == (sequence.state != SequenceState::kEnded), "open sequences and states differ");
    HERD_CHECK(sequence.num_tokens() >= sequence.prompt_tokens && sequence.prompt_tokens > 0, "the prompt is gone");
  }
  HERD_CHECK(waiting == num_waiting() && running == running_.size(), "a queue lists a sequence in another state");
  HERD_CHECK(free == free_slots_.size() && open == open_.size(), "slots are lost");
  HERD_CHECK(queue_tokens == queue_tokens_ && draining == num_draining_ && returning == blocks_returning_,
             "sums over sequences are off");
  HERD_CHECK(running <= config_.max_num_seqs, "more sequences run than ranks can hold");
  HERD_CHECK(std::ranges::is_sorted(running_, {}, [this](Slot slot) { return rank_of(slot); }),
             "running is out of order");
  HERD_CHECK(!open_.empty() || !outstanding_.empty() || blocks_.stats().num_held == 0, "blocks are held for nobody");
  blocks_.check_integrity(tables);
  check_leaders();
}

void Scheduler::check_leaders() const {
  std::size_t followers = 0;
  for (const Leader& leader : leaders_) {
    const Sequence& sequence = sequences_[leader.slot];
    HERD_CHECK(sequence.state == SequenceState::kRunning ||
                   (sequence.state == SequenceState::kPreempting && sequence.samples_in_flight > 0),
               "a leader will publish nothing");
    HERD_CHECK(sequence.sampling && !sequence.sampled_since_admission, "a leader has published its blocks");
    HERD_CHECK(std::ranges::count(leaders_, leader.slot, &Leader::slot) == 1, "a sequence leads twice");
    const auto led = static_cast<std::uint32_t>(std::ranges::count_if(
        held_back_, [&](const Rank& rank) { return sequences_[std::get<Slot>(rank)].held_by == leader.slot; }));
    HERD_CHECK(led == leader.followers, "followers are miscounted");
    followers += led;
  }
  HERD_CHECK(followers == held_back_.size(), "a sequence is held back by nobody");
  for (const Rank& rank : held_back_) {
    const Sequence& sequence = sequences_[std::get<Slot>(rank)];
    HERD_CHECK(sequence.state == SequenceState::kWaiting && rank_of(*sequence.held_by) < rank,
               "a sequence waits for one that is served after it");
  }
}

}  // namespace herd::scheduler
