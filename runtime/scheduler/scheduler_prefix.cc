// The part of Scheduler that lets a prefix be computed once: who computes one that is not cached yet, and who is held
// back until it is.

#include <algorithm>
#include <optional>

#include "kernels/check.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::scheduler {
namespace {

// With chunks of a limited length a follower could compute beside its leader instead. It waits for at most so many rows
// of the leader for each row that it is spared.
constexpr std::uint64_t kRowsWaitedPerRowSpared = 2;

}  // namespace

void Scheduler::start_leading(Slot slot, std::uint32_t cached_blocks) {
  Sequence& sequence = sequences_[slot];
  if (!config_.prefix_caching || config_.shared_prefix_min == 0) return;
  // Scoring alone publishes nothing, and only full blocks are shared.
  if (!sequence.sampling || sequence.num_tokens() / config_.block_size <= cached_blocks) return;
  leaders_.push_back(
      {slot, cached_blocks, blocks_.hash_of(sequence.table, sequence.tokens, sequence.cache_salt, cached_blocks), 0});
}

void Scheduler::stop_leading(Slot slot) {
  const auto leader = std::ranges::find(leaders_, slot, &Leader::slot);
  if (leader == leaders_.end()) return;
  const bool followed = leader->followers > 0;
  leaders_.erase(leader);
  if (!followed) return;
  for (auto rank = held_back_.begin(); rank != held_back_.end();) {
    Sequence& follower = sequences_[std::get<Slot>(*rank)];
    const auto current = rank++;
    if (follower.held_by != slot) continue;
    follower.held_by.reset();
    waiting_.insert(held_back_.extract(current));
  }
}

bool Scheduler::hold_back(Slot slot) {
  Sequence& sequence = sequences_[slot];
  // Who owes rows of the prompt computes them, cached or not.
  if (leaders_.empty() || sequence.output_owed() != step::OutputSelector::kNone) return false;
  const Rank rank = rank_of(slot);
  std::optional<std::uint32_t> cached;
  std::uint32_t end = 0;
  Leader* chosen = nullptr;
  for (Leader& leader : leaders_) {
    if (rank < rank_of(leader.slot)) continue;
    const std::uint32_t shared = shared_blocks_end(sequence, leader);
    if (shared <= end) continue;
    if (!cached) cached = blocks_.cached_blocks(sequence.table, sequence.tokens, sequence.cache_salt);
    if (shared <= *cached) continue;
    const std::uint64_t rows_spared = std::uint64_t{shared - *cached} * config_.block_size;
    if (rows_spared < config_.shared_prefix_min) continue;
    const Sequence& other = sequences_[leader.slot];
    const std::uint32_t rows_to_come = other.prefill_target - other.planned_tokens;
    if (config_.prefill_chunk_max > 0 && rows_to_come > rows_spared * kRowsWaitedPerRowSpared) continue;
    end = shared;
    chosen = &leader;
  }
  if (chosen == nullptr) return false;
  sequence.held_by = chosen->slot;
  sequence.blocks_claimed = blocks_.blocks_for(sequence.num_tokens()) - end;
  ++chosen->followers;
  ++counters_.held_back;
  held_back_.insert(waiting_.extract(rank));
  return true;
}

std::uint32_t Scheduler::shared_blocks_end(Sequence& sequence, const Leader& leader) const {
  const Sequence& other = sequences_[leader.slot];
  // The row of the last token is computed in any case.
  const std::uint32_t usable = (sequence.num_tokens() - 1) / config_.block_size;
  if (usable <= leader.first_block || sequence.cache_salt != other.cache_salt) return 0;
  if (blocks_.hash_of(sequence.table, sequence.tokens, sequence.cache_salt, leader.first_block) != leader.hash)
    return 0;
  const auto differ = std::ranges::mismatch(sequence.tokens, other.tokens).in1;
  const auto equal = static_cast<std::uint32_t>(differ - sequence.tokens.begin());
  return std::min(equal / config_.block_size, usable);
}

void Scheduler::forget_held_back(Slot slot) {
  Sequence& sequence = sequences_[slot];
  const auto leader = std::ranges::find(leaders_, *sequence.held_by, &Leader::slot);
  HERD_CHECK(leader != leaders_.end(), "a sequence is held back by nobody");
  --leader->followers;
  held_back_.erase(rank_of(slot));
  sequence.held_by.reset();
}

}  // namespace herd::scheduler
