#pragma once
// The monotonic clock of a process as Instants. For shells, threads and commands; pure machines are handed `now`.

#include <chrono>

#include "runtime/clock.h"

namespace herd {

inline Instant steady_now() {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
              .count()};
}

}  // namespace herd
