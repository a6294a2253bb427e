#include "cluster/admission/token_bucket.h"

#include <algorithm>
#include <limits>

namespace herd::admission {
namespace {

constexpr double kRounding = 1e-9;  // of a token: what sums of fractions lose, not a lack
constexpr double kNever = std::numeric_limits<double>::infinity();

}  // namespace

double TokenBucket::capacity(const BucketLimit& limit) { return std::max(1.0, limit.per_minute * limit.share); }

double TokenBucket::level(const BucketLimit& limit, Instant now) const {
  if (limit.per_minute <= 0) return kNever;
  if (limit.share <= 0) return std::min(0.0, used_ ? level_ : 0);
  const double full = capacity(limit);
  if (!used_) return full;
  const double passed_s = std::max(0.0, seconds_between(at_, now));
  return std::min(full, level_ + passed_s * (limit.per_minute * limit.share) / 60);
}

void TokenBucket::take(double amount, const BucketLimit& limit, Instant now) {
  if (limit.per_minute <= 0) {
    used_ = false;  // should a limit come, it starts full
    return;
  }
  level_ = std::min(capacity(limit), level(limit, now) - amount);
  at_ = std::max(at_, now);
  used_ = true;
}

void TokenBucket::give_back(double amount, const BucketLimit& limit, Instant now) { take(-amount, limit, now); }

void TokenBucket::move(double moved, const BucketLimit& before, const BucketLimit& after, Instant now) {
  if (before.per_minute <= 0 || (before == after && moved == 0)) return;
  level_ = std::min(capacity(after), level(before, now) + moved);
  at_ = std::max(at_, now);
  used_ = true;
}

double TokenBucket::seconds_until(double wanted, const BucketLimit& limit, Instant now) const {
  if (limit.per_minute <= 0) return 0;
  if (limit.share <= 0) return kNever;
  const double lacking = std::min(wanted, capacity(limit)) - level(limit, now);
  return lacking <= kRounding ? 0 : lacking * 60 / (limit.per_minute * limit.share);
}

}  // namespace herd::admission
