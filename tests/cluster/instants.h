#pragma once
// Instants of tests that move time by hand.

#include <cstdint>

#include "runtime/clock.h"

namespace herd {

constexpr Instant at(double seconds) { return {static_cast<std::int64_t>(seconds * 1e9)}; }

}  // namespace herd
