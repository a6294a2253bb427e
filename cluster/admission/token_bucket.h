#pragma once
// TokenBucket: a limit per minute that holds one minute's worth and starts full. Pure. It may go into debt: what was
// already made is charged whatever is left, and the debt keeps later requests out.
// The limit comes with each call, so that a new one holds at once; 0 is no limit.

#include "runtime/clock.h"

namespace herd::admission {

class TokenBucket {
 public:
  // What is there at `now`; infinity without a limit.
  [[nodiscard]] double level(double per_minute, Instant now) const;
  void take(double amount, double per_minute, Instant now);
  void give_back(double amount, double per_minute, Instant now);  // of what was taken; the bucket holds no more than when it is full
  // Until the level is at least `wanted`; 0 when it is. A `wanted` above what the bucket can hold counts as that.
  [[nodiscard]] double seconds_until(double wanted, double per_minute, Instant now) const;
  // At least 1, so that a limit of less than one request a minute lets one through now and then.
  [[nodiscard]] static double capacity(double per_minute);

 private:
  bool used_ = false;  // never used: full
  double level_ = 0;   // at `at_`
  Instant at_;
};

}  // namespace herd::admission
