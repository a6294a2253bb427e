#include "runtime/scheduler/prefix_leaders.h"

#include <algorithm>
#include <optional>

#include "kernels/check.h"

namespace herd::scheduler {
namespace {

// With chunks of a limited length a follower could compute beside its leader instead. It waits for at most so many rows
// of the leader for each row that it is spared.
constexpr std::uint64_t kRowsWaitedPerRowSpared = 2;

}  // namespace

void PrefixLeaders::start_leading(Slot slot, std::uint32_t cached_blocks, SequenceTable& sequences) {
  if (shared_prefix_min_ == 0) return;
  Sequence& sequence = sequences[slot];
  // Scoring alone publishes nothing, and only full blocks are shared.
  if (!sequence.sampling || sequence.num_tokens() / block_size_ <= cached_blocks) return;
  leaders_.push_back(
      {slot, cached_blocks,
       sequences.blocks().hash_of(sequence.table, sequence.tokens, sequence.cache_salt, cached_blocks), 0});
}

void PrefixLeaders::stop_leading(Slot slot, SequenceTable& sequences) {
  const auto leader = std::ranges::find(leaders_, slot, &Leader::slot);
  if (leader == leaders_.end()) return;
  const bool followed = leader->followers > 0;
  leaders_.erase(leader);
  if (followed) sequences.let_go_of(slot);
}

bool PrefixLeaders::hold_back(Slot slot, SequenceTable& sequences) {
  Sequence& sequence = sequences[slot];
  // Who owes rows of the prompt computes them, cached or not.
  if (leaders_.empty() || sequence.output_owed() != step::OutputSelector::kNone) return false;
  const Rank rank = sequences.rank_of(slot);
  const kv::BlockManager& blocks = sequences.blocks();
  std::optional<std::uint32_t> cached;
  std::uint32_t end = 0;
  Leader* chosen = nullptr;
  for (Leader& leader : leaders_) {
    if (rank < sequences.rank_of(leader.slot)) continue;
    const std::uint32_t shared = shared_blocks_end(sequence, leader, sequences);
    if (shared <= end) continue;
    if (!cached) cached = blocks.cached_blocks(sequence.table, sequence.tokens, sequence.cache_salt);
    if (shared <= *cached) continue;
    const std::uint64_t rows_spared = std::uint64_t{shared - *cached} * block_size_;
    if (rows_spared < shared_prefix_min_) continue;
    const Sequence& other = sequences[leader.slot];
    const std::uint32_t rows_to_come = other.prefill_target - other.planned_tokens;
    if (prefill_chunk_max_ > 0 && rows_to_come > rows_spared * kRowsWaitedPerRowSpared) continue;
    end = shared;
    chosen = &leader;
  }
  if (chosen == nullptr) return false;
  ++chosen->followers;
  sequences.hold_back(slot, chosen->slot, blocks.blocks_for(sequence.num_tokens()) - end);
  return true;
}

std::uint32_t PrefixLeaders::shared_blocks_end(Sequence& sequence, const Leader& leader,
                                               const SequenceTable& sequences) const {
  const Sequence& other = sequences[leader.slot];
  // The row of the last token is computed in any case.
  const std::uint32_t usable = (sequence.num_tokens() - 1) / block_size_;
  if (usable <= leader.first_block || sequence.cache_salt != other.cache_salt) return 0;
  if (sequences.blocks().hash_of(sequence.table, sequence.tokens, sequence.cache_salt, leader.first_block) != leader.hash)
    return 0;
  const auto differ = std::ranges::mismatch(sequence.tokens, other.tokens).in1;
  const auto equal = static_cast<std::uint32_t>(differ - sequence.tokens.begin());
  return std::min(equal / block_size_, usable);
}

void PrefixLeaders::forget_follower(const Sequence& follower) {
  const auto leader = std::ranges::find(leaders_, *follower.held_by, &Leader::slot);
  HERD_CHECK(leader != leaders_.end(), "a sequence is held back by nobody");
  --leader->followers;
}

void PrefixLeaders::check_integrity(const SequenceTable& sequences) const {
  std::size_t followers = 0;
  for (const Leader& leader : leaders_) {
    const Sequence& sequence = sequences[leader.slot];
    HERD_CHECK(sequence.state == SequenceState::kRunning ||
                   (sequence.state == SequenceState::kPreempting && sequence.samples_in_flight > 0),
               "a leader will publish nothing");
    HERD_CHECK(sequence.sampling && !sequence.sampled_since_admission, "a leader has published its blocks");
    HERD_CHECK(std::ranges::count(leaders_, leader.slot, &Leader::slot) == 1, "a sequence leads twice");
    const auto led = static_cast<std::uint32_t>(std::ranges::count_if(sequences.held_back(), [&](const Rank& rank) {
      return sequences[std::get<Slot>(rank)].held_by == leader.slot;
    }));
    HERD_CHECK(led == leader.followers, "followers are miscounted");
    followers += led;
  }
  HERD_CHECK(followers == sequences.held_back().size(), "a sequence is held back by nobody");
  for (const Rank& rank : sequences.held_back()) {
    const Sequence& sequence = sequences[std::get<Slot>(rank)];
    HERD_CHECK(sequence.state == SequenceState::kWaiting && sequences.rank_of(*sequence.held_by) < rank,
               "a sequence waits for one that is served after it");
  }
}

}  // namespace herd::scheduler
