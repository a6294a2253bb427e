#pragma once
// StopPlan: when a server that is told to stop does what. Pure.
//   running --a signal--> draining for `drain_s` --> ending, for kEnding_s at the most
//   draining --a second signal--> ending
//   any --a fault: nothing can be served any more--> ending
// What has not ended by last_resort() hangs: the process is ended over its head.

#include <algorithm>
#include <optional>

#include "runtime/clock.h"

namespace herd::commands {

class StopPlan {
 public:
  // Less than the second that is promised, for what ends a process itself.
  static constexpr double kEnding_s = 0.8;

  explicit StopPlan(double drain_s) : drain_s_(std::clamp(drain_s, 0.0, 1e9)) {}

  // For a signal that is still to come.
  void set_drain(double drain_s) { drain_s_ = std::clamp(drain_s, 0.0, 1e9); }
  void on_signal(Instant now) { end_by(ending_at_ ? now : seconds_after(now, drain_s_)); }
  void on_fault(Instant now) { end_by(now); }

  [[nodiscard]] bool told() const { return ending_at_.has_value(); }
  // Open requests have so long. nullopt: it was not told to stop.
  [[nodiscard]] std::optional<Instant> ending_at() const { return ending_at_; }
  [[nodiscard]] std::optional<Instant> last_resort() const {
    return ending_at_ ? std::optional(seconds_after(*ending_at_, kEnding_s)) : std::nullopt;
  }

 private:
  void end_by(Instant at) { ending_at_ = ending_at_ ? std::min(*ending_at_, at) : at; }

  double drain_s_;
  std::optional<Instant> ending_at_;
};

}  // namespace herd::commands
