// How many connections are let in, also when the limits become others.
#include "endpoint/http/connection_counts.h"

#include <gtest/gtest.h>

namespace herd::http {
namespace {

TEST(ConnectionCounts, NewLimitsHoldForWhoeverComesNext) {
  ConnectionCounts counts(2, 2);
  const AddressKey one{1}, two{2};
  EXPECT_TRUE(counts.enter(&one));
  EXPECT_TRUE(counts.enter(&one));
  EXPECT_FALSE(counts.enter(nullptr));
  counts.set_limits(4, 1);
  EXPECT_FALSE(counts.enter(&one)) << "it has more than it may, and keeps them";
  EXPECT_TRUE(counts.enter(&two));
  EXPECT_TRUE(counts.enter(nullptr));
  EXPECT_FALSE(counts.enter(nullptr));
  counts.leave(&one);
  EXPECT_FALSE(counts.enter(&one));
  counts.leave(&one);
  EXPECT_TRUE(counts.enter(&one));
}

}  // namespace
}  // namespace herd::http
