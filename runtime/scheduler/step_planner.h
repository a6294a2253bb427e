#pragma once
// StepPlanner: makes one plan. Who computes how many rows next, and who gives blocks up for it: decodes go first, the
// leftover budget prefills, in order of service.
//
// While streams wait for the step, its prompts share what its decodes leave of the longest time that it may take: the first
// in the order of service takes as many rows as fit, and who comes after it what it leaves. All of them together get
// kPromptRowsMin rows in any case, where max_num_batched_tokens has room. A chunk may end anywhere: blocks are published with the
// first token, whatever their borders. What is computed again after a preemption or on another replica is a prompt like any
// other. A suspect's chunks are as long as they like: the streams wait until it is through with all of them.

#include <cstdint>
#include <optional>
#include <set>

#include "runtime/scheduler/chunk_rows.h"
#include "runtime/scheduler/scheduler_state.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/step/step_plan.h"

namespace herd::scheduler {

// For one plan: made, asked once, forgotten.
class StepPlanner {
 public:
  // `cost`: see Scheduler::plan_step.
  StepPlanner(SchedulerState& state, Instant now, const StepCost* cost);

  // nullopt when there is nothing to do, or nothing before a result arrives.
  [[nodiscard]] std::optional<step::StepPlan> plan();

 private:
  struct Budget {
    std::uint32_t rows = 0;
    std::uint32_t prefills = 0;
    std::uint32_t stalled = 0;  // sequences that wait for blocks to return
    std::uint64_t words = 0;    // of the plan's message: what its starts take
    bool streams = false;       // some wait for this step
  };
  // What the decodes leave to prompts of a step that streams wait for.
  struct Room {
    StepShape step;  // what it computes so far
    double seconds_max = 0.0;
    std::uint32_t rows_owed = kPromptRowsMin;
    bool used_up = false;
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
  void plan_copies();
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
  // Of a chunk behind `position` tokens: at least 1, at most `rows_max`, which is at least 1.
  std::uint32_t take_rows(std::uint32_t position, std::uint32_t rows_max);
  void add_slice(Slot slot, std::uint32_t rows, bool sample);
  bool ensure_slot_for_decode(Slot slot);
  [[nodiscard]] std::uint32_t blocks_returning() const;  // of those who drain
  void preempt(std::size_t index);  // of running()

  SchedulerState& state_;
  SequenceTable& sequences_;
  const SchedulerConfig& config_;
  const Instant now_;
  const StepCost* const cost_;
  const std::uint64_t words_besides_;  // of the plan's message: what all but its starts takes at most
  Budget budget_;
  std::optional<Room> room_;  // nullopt: as much as they like
  step::StepPlan plan_;
  PlanInFlight record_;
};

}  // namespace herd::scheduler
