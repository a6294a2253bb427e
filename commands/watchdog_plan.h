#pragma once
// WatchdogPlan: when a process whose service manager waits for signs of life owes it the next one. Pure.
//
//   asked for every I --> due at once --take()--> due half of I later, and so on
//   never asked for: never due

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "runtime/clock.h"

namespace herd::commands {

class WatchdogPlan {
 public:
  static constexpr Instant kNever{std::numeric_limits<std::int64_t>::max()};

  // `interval_us`: as WATCHDOG_USEC says it, above 0; nullopt: nobody waits for signs of life.
  WatchdogPlan(std::optional<std::int64_t> interval_us, Instant now)
      : half_ns_(interval_us ? std::optional(*interval_us < kLongest_us ? *interval_us * 500 : kLongest_us * 500) : std::nullopt),
        due_(half_ns_ ? now : kNever) {}

  // The loop is to come by then.
  [[nodiscard]] Instant due() const { return due_; }
  // The loop has come by: whether it owes a sign of life now. A loop that came late owes one, not all that it missed.
  [[nodiscard]] bool take(Instant now) {
    if (!half_ns_ || now < due_) return false;
    due_ = Instant{now.ns + *half_ns_};
    return true;
  }

 private:
  static constexpr std::int64_t kLongest_us = std::int64_t{1} << 50;  // 35 years, beside which the clock's own time fits

  const std::optional<std::int64_t> half_ns_;
  Instant due_;
};

}  // namespace herd::commands
