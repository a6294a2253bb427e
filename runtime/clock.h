#pragma once
// Instant: monotonic time as pure machines see it. They never read a clock; the actor passes `now` in.

#include <compare>
#include <cstdint>

namespace herd {

// Nanoseconds since an arbitrary start of this process (or of the simulation).
struct Instant {
  std::int64_t ns = 0;
  constexpr auto operator<=>(const Instant&) const = default;
};

// To the nearest nanosecond. `seconds`: at least 0, at most some years.
constexpr Instant seconds_after(Instant from, double seconds) { return {from.ns + static_cast<std::int64_t>(seconds * 1e9 + 0.5)}; }
constexpr double seconds_between(Instant from, Instant to) { return static_cast<double>(to.ns - from.ns) * 1e-9; }

}  // namespace herd
