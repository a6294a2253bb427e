#pragma once
// StepPlanner: makes one plan. Who computes how many rows next, and who gives blocks up for it: decodes go first, the
// leftover budget prefills, in order of service.

#include <cstdint>
#include <optional>
#include <set>

#include "runtime/scheduler/scheduler_state.h"
#include "runtime/step/step_plan.h"

namespace herd::scheduler {

// For one plan: made, asked once, forgotten.
class StepPlanner {
 public:
  StepPlanner(SchedulerState& state, Instant now);

  // nullopt when there is nothing to do, or nothing before a result arrives.
  [[nodiscard]] std::optional<step::StepPlan> plan();

 private:
  struct Budget {
    std::uint32_t rows = 0;
    std::uint32_t prefills = 0;
    std::uint32_t stalled = 0;  // sequences that wait for blocks to return
    std::uint64_t words = 0;    // of the plan's message: what its starts take
  };
  // What those held back who are served before a given sequence will take.
  struct Claims {
    std::set<Rank>::const_iterator next;  // of held_back(): the first that is not counted yet
    std::uint32_t seats = 0;
    std::uint64_t blocks = 0;
    void add(const Sequence& sequence) {
      ++seats;
      blocks += sequence.blocks_claimed;
    }
  };

  void preempt_for_probe();
  void plan_turn();
  void plan_everybody();
  void plan_suspect(Slot slot);
  void plan_decodes();
  void plan_prompts();
  // The first of those who wait is admitted or held back. False: it stays where it is, and so does who is behind it.
  bool admit_first(Claims& claims);
  // Of the plan's message.
  [[nodiscard]] std::uint64_t words_of(const Sequence& sequence) const;
  void start(Slot slot, const kv::Admission& admission);
  void plan_decode(Slot slot);
  void plan_prefill_chunk(Slot slot);
  void add_slice(Slot slot, std::uint32_t rows, bool sample);
  bool ensure_slot_for_decode(Slot slot);
  void preempt(std::size_t index);  // of running()

  SchedulerState& state_;
  SequenceTable& sequences_;
  const SchedulerConfig& config_;
  const Instant now_;
  Budget budget_;
  step::StepPlan plan_;
  PlanInFlight record_;
};

}  // namespace herd::scheduler
