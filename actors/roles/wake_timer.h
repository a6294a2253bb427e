#pragma once
// WakeTimer: a core says often when it wants to be woken, mostly later than before; its actor sends itself few messages.
// Pure.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "actors/messages/messages.h"
#include "runtime/clock.h"

namespace herd::actors {

class WakeTimer {
 public:
  // A message to send to oneself after the delay.
  struct Order {
    std::chrono::nanoseconds delay;
    WakeUp message;
  };

  // The core's last word. Nothing: a message that comes early enough is under way.
  [[nodiscard]] std::optional<Order> want(Instant at, Instant now) {
    wanted_ = at;
    if (under_way_ && *under_way_ <= at) return std::nullopt;
    return send(now);
  }

  // A message came. Due: the core is to be asked. Otherwise the order of the next message, if one must be sent.
  struct Woken {
    bool due = false;
    std::optional<Order> next;
  };
  [[nodiscard]] Woken on_message(const WakeUp& message, Instant now) {
    if (message.ticket != ticket_ || !wanted_) return {};  // an earlier one took its place
    under_way_.reset();
    if (*wanted_ > now) return {.due = false, .next = send(now)};
    wanted_.reset();
    return {.due = true, .next = {}};
  }

 private:
  // An instant far away, or "never", is looked at once a minute.
  static constexpr std::chrono::nanoseconds kLongest = std::chrono::minutes(1);

  Order send(Instant now) {
    const std::chrono::nanoseconds delay{std::clamp<std::int64_t>(wanted_->ns - now.ns, 0, kLongest.count())};
    under_way_ = Instant{now.ns + delay.count()};
    return {delay, {++ticket_}};
  }

  std::optional<Instant> wanted_;
  std::optional<Instant> under_way_;  // when the last message that was sent comes
  std::uint64_t ticket_ = 0;          // of that message
};

}  // namespace herd::actors
