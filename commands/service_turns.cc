#include "commands/service_turns.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "commands/systemd_service.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

constexpr std::int64_t kLookEvery_us = 10'000'000;  // twice as often as this

std::optional<std::int64_t> watched_us() { return has_service_manager() ? watchdog_interval_us() : std::nullopt; }
std::optional<std::int64_t> looked_us() { return has_service_manager() ? std::optional(kLookEvery_us) : std::nullopt; }

}  // namespace

ServiceTurns::ServiceTurns() : watchdog_(watched_us(), steady_now()), look_(looked_us(), steady_now()) {}

Instant ServiceTurns::due() const { return std::min(watchdog_.due(), look_.due()); }

std::optional<Instant> ServiceTurns::next() const { return due() == WatchdogPlan::kNever ? std::nullopt : std::optional(due()); }

void ServiceTurns::turn() {
  const Instant now = steady_now();
  if (watchdog_.take(now)) give_sign();
  if (look_.take(now) && state_) say(state_());
}

void ServiceTurns::say(const std::string& state) {
  if (state == said_) return;
  said_ = state;
  std::string line = state;
  std::ranges::replace(line, '\n', ' ');  // a line feed would begin another assignment
  notify_service_manager("STATUS=" + line);
}

// One at a time: those for a thread that hangs do not pile up.
void ServiceTurns::give_sign() {
  if (!through_) return notify_alive();
  if (under_way_->exchange(true)) return;
  through_([under_way = under_way_] {
    notify_alive();
    *under_way = false;
  });
}

}  // namespace herd::commands
