#pragma once
// A probe under which sequences give their blocks up though there are enough.

#include <cstdint>

#include "runtime/scheduler/scheduler_probe.h"

namespace herd::scheduler {

// One sequence after every so many plans; 0: never.
inline SchedulerProbe preempting_every(std::uint32_t plans) {
  SchedulerProbe probe;
  if (plans == 0) return probe;
  probe.preemptions = [plans, last = std::uint64_t{0}](std::uint64_t made) mutable {
    const bool due = made % plans == 0 && made != last;
    if (due) last = made;
    return due ? 1U : 0U;
  };
  return probe;
}

}  // namespace herd::scheduler
