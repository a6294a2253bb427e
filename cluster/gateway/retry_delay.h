#pragma once
// RetryDelay: how long to wait before something is tried again. Random, so that many gateways do not ask in step; the range
// doubles with each failure in a row. Pure: the same seed gives the same delays.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

#include "runtime/clock.h"

namespace herd::gateway {

class RetryDelay {
 public:
  RetryDelay(double min_s, double max_s, std::uint64_t seed) : min_s_(min_s), max_s_(max_s), random_(seed) {}

  // In [min, min(max, min * 2^failures)] from `now` on; failures >= 1, of this one included.
  [[nodiscard]] Instant after(Instant now, std::uint32_t failures) {
    const double most_s = std::min(max_s_, std::ldexp(min_s_, static_cast<int>(std::min(failures, 60U))));
    const double share = std::ldexp(static_cast<double>(random_() >> 11), -53);  // [0, 1)
    const double delay_s = min_s_ + (most_s - min_s_) * share;
    return later(now, delay_s);
  }
  [[nodiscard]] Instant longest_after(Instant now) const { return later(now, max_s_); }

 private:
  static Instant later(Instant now, double delay_s) {
    return {now.ns + std::max<std::int64_t>(1, static_cast<std::int64_t>(delay_s * 1e9))};
  }

  double min_s_;
  double max_s_;
  std::mt19937_64 random_;
};

}  // namespace herd::gateway
