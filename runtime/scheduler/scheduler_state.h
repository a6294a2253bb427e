#pragma once
// SchedulerState: all that a scheduler keeps between two events. One class makes a plan from it (step_planner.h), one takes
// the result of a plan (result_taker.h); both live for one event.

#include <cstdint>
#include <deque>
#include <vector>

#include "runtime/ids.h"
#include "runtime/scheduler/block_transfers.h"
#include "runtime/scheduler/prefix_leaders.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/scheduler/scheduler_probe.h"
#include "runtime/scheduler/sequence_table.h"
#include "runtime/step/submission.h"

namespace herd::scheduler {

struct SliceInFlight {
  Slot slot = 0;
  std::uint32_t position = 0;
  std::uint32_t rows = 0;
  bool sample = false;
  std::uint32_t output_index = 0;
};

struct PlanInFlight {
  StepId step;
  std::vector<SliceInFlight> slices;
  CopiesInFlight copies;
};

struct SchedulerState {
  SchedulerState(const SchedulerConfig& scheduler_config, Epoch replica_epoch, const SchedulerProbe& scheduler_probe);

  // The terminal delta of an open sequence, which then ends.
  void end_sequence(Slot slot, step::TokenDelta& delta, step::FinishReason reason, Status error);

  SchedulerConfig config;
  Epoch epoch;
  SchedulerProbe probe;
  SequenceTable sequences;
  PrefixLeaders leaders;
  BlockTransfers transfers;
  std::deque<PlanInFlight> outstanding;  // at most steps_ahead
  StepId last_step;
  bool others_owed = false;  // a suspect was planned last: its neighbours are next
  std::uint32_t preemptions_owed = 0;  // to the probe
  SchedulerStats counters;   // the counting fields only
};

// From its first admission on: what the delta says about cache and queue.
void report_service(const Sequence& sequence, step::TokenDelta& delta);

}  // namespace herd::scheduler
