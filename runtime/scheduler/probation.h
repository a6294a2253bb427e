#pragma once
// Probation: whose turn it is while a suspect is about. A suspect is a sequence during which a rank died of itself elsewhere;
// should it be fatal again, it alone must have been under way. So it is planned only when no step of another sequence is
// out, and nobody else is planned while a step of it is, until it has emitted enough (Sequence::on_probation) or has ended.
// The others keep their blocks meanwhile, and go on.
//
// Suspects wait in the order of service as everybody does, and run one after the other. Between two of them the others
// get a plan, so that a row of suspects cannot stop them for good.

#include <cstdint>
#include <deque>

#include "runtime/scheduler/scheduler_state.h"

namespace herd::scheduler {

struct Turn {
  enum class Who : std::uint8_t {
    kEverybody,     // as usual; a suspect that waits is not admitted
    kNobody,        // before the plans that are out have come back
    kOne,           // `suspect` alone, which runs
    kFirstWaiting,  // a suspect, if it can be admitted; if not, everybody
  };
  Who who = Who::kEverybody;
  Slot suspect = 0;
};

[[nodiscard]] Turn next_turn(const SchedulerState& state);

// Of any two sequences with slices in the plans that are out, none is a suspect.
void check_probation(const SchedulerState& state);

}  // namespace herd::scheduler
