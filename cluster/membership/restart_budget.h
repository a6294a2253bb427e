#pragma once
// RestartBudget: how often something that ends is started again before that is given up, and how long to wait in between.

#include <cstdint>

namespace herd::membership {

struct RestartBudget {
  std::uint32_t restarts = 3;     // within window_s; the one after is refused
  double window_s = 60.0;
  double backoff_s = 0.1;         // before the second of a window, doubled for each one after; the first waits for nothing
  double backoff_max_s = 5.0;
};

}  // namespace herd::membership
