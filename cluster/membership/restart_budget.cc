#include "cluster/membership/restart_budget.h"

#include <algorithm>
#include <cmath>

namespace herd::membership {

RestartBudget budget_of(std::uint32_t restarts, double window_s) {
  RestartBudget budget;
  budget.restarts = restarts;
  budget.window_s = window_s;
  budget.backoff_max_s = std::min(budget.backoff_max_s, window_s / std::max(1U, restarts));
  budget.backoff_s = std::min(budget.backoff_s, budget.backoff_max_s);
  return budget;
}

std::uint32_t RestartLog::left(Instant now) const {
  const auto recent = std::ranges::count_if(ends_, [&](Instant end) { return seconds_between(end, now) <= budget_.window_s; });
  return budget_.restarts - std::min(budget_.restarts, static_cast<std::uint32_t>(recent));
}

std::optional<double> RestartLog::on_ended(Instant now) {
  while (!ends_.empty() && seconds_between(ends_.front(), now) > budget_.window_s) ends_.pop_front();
  ends_.push_back(now);
  if (ends_.size() > budget_.restarts) return std::nullopt;
  if (ends_.size() == 1) return 0.0;
  const int doublings = static_cast<int>(std::min<std::size_t>(ends_.size() - 2, 60));
  return std::min(std::ldexp(budget_.backoff_s, doublings), budget_.backoff_max_s);
}

}  // namespace herd::membership
