#include "runtime/scheduler/probation.h"

#include <algorithm>
#include <optional>

#include "kernels/check.h"

namespace herd::scheduler {
namespace {

struct Out {
  bool any = false;  // slices of whomever
  std::optional<Slot> suspect;
};

// A suspect that was preempted or has ended meanwhile counts: its rows are computed all the same.
Out who_is_out(const SchedulerState& state) {
  Out out;
  for (const PlanInFlight& plan : state.outstanding) {
    for (const SliceInFlight& slice : plan.slices) {
      out.any = true;
      if (state.sequences[slice.slot].on_probation()) out.suspect = slice.slot;
    }
  }
  return out;
}

bool first_waiting_is_suspect(const SequenceTable& sequences) {
  return !sequences.waiting().empty() && sequences[std::get<Slot>(*sequences.waiting().begin())].on_probation();
}

}  // namespace

Turn next_turn(const SchedulerState& state) {
  const SequenceTable& sequences = state.sequences;
  if (sequences.num_suspects() == 0) return {};
  const Out out = who_is_out(state);
  // One at most: a second one is not admitted.
  const auto runs =
      std::ranges::find_if(sequences.running(), [&](Slot slot) { return sequences[slot].on_probation(); });
  if (runs != sequences.running().end()) {
    const bool others_out = out.any && out.suspect != *runs;
    return others_out ? Turn{Turn::Who::kNobody} : Turn{Turn::Who::kOne, *runs};
  }
  if (out.suspect) return {Turn::Who::kNobody};
  if (!first_waiting_is_suspect(sequences)) return {};
  const bool others_first = state.others_owed && !sequences.running().empty();
  if (others_first || sequences.running().size() >= state.config.max_num_seqs) return {};
  return {out.any ? Turn::Who::kNobody : Turn::Who::kFirstWaiting};
}

void check_probation(const SchedulerState& state) {
  const Out out = who_is_out(state);
  if (!out.suspect) return;
  for (const PlanInFlight& plan : state.outstanding) {
    for (const SliceInFlight& slice : plan.slices)
      HERD_CHECK(slice.slot == *out.suspect, "a suspect shares its steps with another sequence");
  }
}

}  // namespace herd::scheduler
