#include "cluster/admission/token_bucket.h"

#include <algorithm>
#include <limits>

namespace herd::admission {
namespace {

constexpr double kRounding = 1e-9;  // of a token: what sums of fractions lose, not a lack

}  // namespace

double TokenBucket::capacity(double per_minute) { return std::max(1.0, per_minute); }

double TokenBucket::level(double per_minute, Instant now) const {
  if (per_minute <= 0) return std::numeric_limits<double>::infinity();
  const double full = capacity(per_minute);
  if (!used_) return full;
  const double passed_s = std::max(0.0, seconds_between(at_, now));
  return std::min(full, level_ + passed_s * per_minute / 60);
}

void TokenBucket::take(double amount, double per_minute, Instant now) {
  if (per_minute <= 0) {
    used_ = false;  // should a limit come, it starts full
    return;
  }
  level_ = std::min(capacity(per_minute), level(per_minute, now) - amount);
  at_ = std::max(at_, now);
  used_ = true;
}

void TokenBucket::give_back(double amount, double per_minute, Instant now) { take(-amount, per_minute, now); }

double TokenBucket::seconds_until(double wanted, double per_minute, Instant now) const {
  if (per_minute <= 0) return 0;
  const double lacking = std::min(wanted, capacity(per_minute)) - level(per_minute, now);
  return lacking <= kRounding ? 0 : lacking * 60 / per_minute;
}

}  // namespace herd::admission
