#pragma once
// TokenBucket: a limit per minute that holds one minute's worth and starts full. Pure. It may go into debt: what was
// already made is charged whatever is left, and the debt keeps later requests out.
// The limit comes with each call, so that a new one holds at once. Where several gateways keep one limit, each has a bucket
// with a share of it: together they hold as much and fill as fast as one would.

#include "runtime/clock.h"

namespace herd::admission {

struct BucketLimit {
  double per_minute = 0;  // of all buckets together; 0: no limit
  double share = 1;       // of this bucket; [0, 1]
  bool operator==(const BucketLimit&) const = default;
};

class TokenBucket {
 public:
  // What is there at `now`; infinity without a limit.
  [[nodiscard]] double level(const BucketLimit& limit, Instant now) const;
  [[nodiscard]] bool used() const { return used_; }
  void take(double amount, const BucketLimit& limit, Instant now);
  // Of what was taken; the bucket holds no more than when it is full.
  void give_back(double amount, const BucketLimit& limit, Instant now);
  // Another share of the same limit, and `moved` more than there is (less: negative), which others have less. What is there stays,
  // so that a larger share makes nothing: it only fills faster.
  void move(double moved, const BucketLimit& before, const BucketLimit& after, Instant now);
  // Until the level is at least `wanted`; 0 when it is. A `wanted` above what the bucket can hold counts as that. Infinity: never.
  [[nodiscard]] double seconds_until(double wanted, const BucketLimit& limit, Instant now) const;
  // At least 1, so that a limit of less than one request a minute lets one through now and then.
  [[nodiscard]] static double capacity(const BucketLimit& limit);

 private:
  bool used_ = false;  // never used: full
  double level_ = 0;   // at `at_`
  Instant at_;
};

}  // namespace herd::admission
