// One process's part of a reload: it takes what it prepared last, when it is told so in time, and nothing else.

#include "cluster/reload/reload_vote.h"

#include <gtest/gtest.h>

#include "tests/cluster/instants.h"

namespace herd::reload {
namespace {

const Reading kRight{{}, "new", {"logs.log_level"}};

TEST(ReloadVote, TakesWhatItPreparedWhenItIsToldTo) {
  ReloadVote vote;
  const report::ReloadPrepared answer = vote.on_prepare({7, "new"}, kRight, at(1));
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.number, 7U);
  EXPECT_EQ(answer.changed, kRight.changed);
  EXPECT_TRUE(vote.on_decision({7, true}, at(2)));
  EXPECT_FALSE(vote.on_decision({7, true}, at(2))) << "once";
}

TEST(ReloadVote, ForgetsItWhenItIsToldToOrToldNothingForTooLong) {
  ReloadVote vote;
  (void)vote.on_prepare({7, "new"}, kRight, at(1));
  EXPECT_FALSE(vote.on_decision({7, false}, at(2)));
  EXPECT_FALSE(vote.on_decision({7, true}, at(2)));
  (void)vote.on_prepare({8, "new"}, kRight, at(1));
  EXPECT_FALSE(vote.on_decision({8, true}, at(1 + ReloadVote::kKept_s)));
}

TEST(ReloadVote, OnlyTheLastPrepareCounts) {
  ReloadVote vote;
  EXPECT_FALSE(vote.on_decision({0, true}, at(0)));
  (void)vote.on_prepare({7, "new"}, kRight, at(1));
  (void)vote.on_prepare({8, "new"}, {bad_input("x"), "", {}}, at(1));
  EXPECT_FALSE(vote.on_decision({7, true}, at(1)));
  EXPECT_FALSE(vote.on_decision({8, true}, at(1)));
}

TEST(ReloadVote, AWrongFileOrAnotherThanTheCoordinatorsIsRefused) {
  ReloadVote vote;
  EXPECT_EQ(vote.on_prepare({7, "new"}, {bad_input("f:1: x"), "", {}}, at(1)).status.message(), "f:1: x");
  const report::ReloadPrepared other = vote.on_prepare({8, "newer"}, kRight, at(1));
  EXPECT_EQ(other.status.code(), StatusCode::kBadInput);
  EXPECT_TRUE(other.changed.empty());
  EXPECT_FALSE(vote.on_decision({8, true}, at(1)));
}

}  // namespace
}  // namespace herd::reload
