#pragma once
// Delta debugging (Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input"): of the events with which a run
// fails, few with which it still does.

#include <functional>

#include "tests/sim/script.h"

namespace herd::sim {

using StillFails = std::function<bool(const EventNumbers&)>;

// It fails with all of `events`. Of what is returned none can be left out alone.
[[nodiscard]] EventNumbers shrink(const EventNumbers& events, const StillFails& fails);

}  // namespace herd::sim
