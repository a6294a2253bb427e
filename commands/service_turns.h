#pragma once
// ServiceTurns: what a process tells its service manager again and again while it runs: signs of life, and in what state it is. Its main
// loop comes by with turn(): a loop that hangs says nothing, and is ended and started again (WatchdogSec= of the units). Where the
// work is another thread's, each sign of life goes through that one, and stays away when either hangs.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "commands/watchdog_plan.h"
#include "runtime/clock.h"

namespace herd::commands {

class ServiceTurns {
 public:
  // Has `done` called once by the thread that works, when that comes by; from the main loop, and must not wait. A process that ends
  // may leave it out.
  using Through = std::function<void(std::function<void()> done)>;

  // Whoever is told, by the environment (systemd_service.h); without a manager nothing is ever due.
  ServiceTurns();

  // Until one is set the main loop's own turn is the sign. Main loop, as all that follows.
  void set_through(Through through) { through_ = std::move(through); }
  // A line for people; asked at each turn.
  void set_state(std::function<std::string()> state) { state_ = std::move(state); }

  // turn() is wanted by then; kNever and nullopt: not at all.
  [[nodiscard]] Instant due() const;
  [[nodiscard]] std::optional<Instant> next() const;
  void turn();
  // This line, unless it was said last.
  void say(const std::string& state);

 private:
  void give_sign();

  WatchdogPlan watchdog_;
  WatchdogPlan look_;  // at the state
  Through through_;
  std::function<std::string()> state_;
  std::string said_;
  const std::shared_ptr<std::atomic<bool>> under_way_ = std::make_shared<std::atomic<bool>>(false);  // a sign that goes through
};

}  // namespace herd::commands
