#pragma once
// RestartBudget: how often something that ends is started again before that is given up, and how long to wait in between.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "runtime/clock.h"

namespace herd::membership {

struct RestartBudget {
  std::uint32_t restarts = 3;     // within window_s; the one after is refused
  double window_s = 60.0;
  double backoff_s = 0.1;         // before the second of a window, doubled for each one after; the first waits for nothing
  double backoff_max_s = 5.0;
};

// Of so many restarts in so many seconds. Nothing waits for so long that the restarts which are allowed would not fit into their
// window.
[[nodiscard]] RestartBudget budget_of(std::uint32_t restarts, double window_s);

// What was spent of it. Pure.
class RestartLog {
 public:
  explicit RestartLog(const RestartBudget& budget) : budget_(budget) {}

  // From the next end on.
  void set_budget(const RestartBudget& budget) { budget_ = budget; }
  // It has ended: so many seconds to wait before it is started again. nullopt: it is not.
  [[nodiscard]] std::optional<double> on_ended(Instant now);
  // Ends within the window, the last one included.
  [[nodiscard]] std::size_t ends() const { return ends_.size(); }
  // How often it may end now and is started again: it grows as ends get old.
  [[nodiscard]] std::uint32_t left(Instant now) const;

 private:
  RestartBudget budget_;
  std::deque<Instant> ends_;
};

}  // namespace herd::membership
