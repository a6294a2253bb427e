#include "cluster/membership/told_epochs.h"

#include <gtest/gtest.h>

namespace herd::membership {
namespace {

constexpr Epoch kNow(1'800'000'000'000);
constexpr Epoch beyond(std::uint64_t epochs) { return Epoch(kEpochOfOnePeerMax.value + epochs); }

TEST(ToldEpochs, OnePeerIsBelievedWhateverAClockHasShown) {
  ToldEpochs told;
  EXPECT_TRUE(told.believe("a", {}, kNow));
  EXPECT_TRUE(told.believe("a", Epoch(kNow.value + 10), kNow));
  EXPECT_TRUE(told.believe("a", kEpochOfOnePeerMax, kNow));
}

TEST(ToldEpochs, OnePeerAloneLeadsNoFurther) {
  ToldEpochs told;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(told.believe("a", beyond(5), kNow));
  EXPECT_FALSE(told.believe("b", beyond(6), kNow)) << "nobody else has told one that is as new";
  EXPECT_TRUE(told.believe("a", beyond(6), kNow));
  EXPECT_TRUE(told.believe("b", beyond(5), kNow));
  EXPECT_TRUE(told.believe("c", beyond(9), beyond(9))) << "what is known needs no second word";
}

TEST(ToldEpochs, NobodyIsBelievedTheLastOne) {
  ToldEpochs told;
  for (const char* who : {"a", "b", "c"}) EXPECT_FALSE(told.believe(who, kClusterEpochMax, kNow));
}

}  // namespace
}  // namespace herd::membership
