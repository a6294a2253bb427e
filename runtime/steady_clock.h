#pragma once
// Where Instants come from outside of simulations: the machine's monotonic clock. Whoever calls this is a shell (an
// actor, a thread of I/O); a pure machine takes `now` as an argument (clock.h).

#include <chrono>

#include "runtime/clock.h"

namespace herd {

[[nodiscard]] inline Instant steady_now() {
  return {std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)};
}

}  // namespace herd
