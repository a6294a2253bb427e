// What a broken invariant prints: the condition, the operands of the comparison that failed, the message.
#include "kernels/check.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace herd {
namespace {

enum class Colour : std::uint8_t { kRed = 3, kBlue = 7 };

struct Id {
  std::uint64_t value = 0;
  bool operator==(const Id&) const = default;
};

struct Narrow {
  unsigned low : 3;
  bool operator==(const Narrow&) const = default;
};

TEST(CheckDeathTest, PrintsBothOperandsOfEveryComparison) {
  const int three = 3;
  const int four = 4;
  EXPECT_DEATH(HERD_CHECK(three == four, "m"), R"(check_test\.cc:[0-9]+: three == four \(3 == 4\): m)");
  EXPECT_DEATH(HERD_CHECK(three != three, "m"), R"(three != three \(3 != 3\): m)");
  EXPECT_DEATH(HERD_CHECK(four < three, "m"), R"(\(4 < 3\): m)");
  EXPECT_DEATH(HERD_CHECK(four <= three, "m"), R"(\(4 <= 3\): m)");
  EXPECT_DEATH(HERD_CHECK(three > four, "m"), R"(\(3 > 4\): m)");
  EXPECT_DEATH(HERD_CHECK(three >= four, "m"), R"(\(3 >= 4\): m)");
}

TEST(CheckDeathTest, PrintsEveryKindOfNumber) {
  const bool yes = true;
  EXPECT_DEATH(HERD_CHECK(yes == false, "m"), R"(\(true == false\))");
  EXPECT_DEATH(HERD_CHECK(std::numeric_limits<std::int64_t>::min() > 0, "m"), R"(\(-9223372036854775808 > 0\))");
  EXPECT_DEATH(HERD_CHECK(std::numeric_limits<std::uint64_t>::max() == 0, "m"), R"(\(18446744073709551615 == 0\))");
  EXPECT_DEATH(HERD_CHECK(0.5F > 1.25, "m"), R"(\(0\.5 > 1\.25\))");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_DEATH(HERD_CHECK(nan == nan, "m"), R"(\(-?nan == -?nan\))");
  EXPECT_DEATH(HERD_CHECK(Colour::kRed == Colour::kBlue, "m"), R"(\(3 == 7\))");
  EXPECT_DEATH(HERD_CHECK(std::uint8_t{200} < std::uint8_t{10}, "m"), R"(\(200 < 10\))");
  const Narrow narrow{5};
  EXPECT_DEATH(HERD_CHECK(narrow.low == 2, "m"), R"(\(5 == 2\))");
}

TEST(CheckDeathTest, PrintsPointersAndIds) {
  const int* none = nullptr;
  EXPECT_DEATH(HERD_CHECK(none != nullptr, "m"), R"(\(nullptr != nullptr\))");
  const int thing = 1;
  EXPECT_DEATH(HERD_CHECK(&thing == none, "m"), R"(\(0x[0-9a-f]+ == nullptr\))");
  EXPECT_DEATH(HERD_CHECK(Id{5} == Id{6}, "m"), R"(\(5 == 6\))");
}

TEST(CheckDeathTest, WhatItCannotShowIsAQuestionMark) {
  EXPECT_DEATH(HERD_CHECK(std::string("a") == "b", "m"), R"(\(\? == \?\): m)");
  EXPECT_DEATH(HERD_CHECK(std::optional<int>{} == 7, "m"), R"(\(\? == 7\): m)");
}

TEST(CheckDeathTest, AConditionWithoutComparisonPrintsNoOperands) {
  const std::vector<int> empty;
  EXPECT_DEATH(HERD_CHECK(!empty.empty(), "the message"), R"(!empty\.empty\(\): the message)");
  const std::unique_ptr<int> none;
  EXPECT_DEATH(HERD_CHECK(none, "the message"), "none: the message");
  EXPECT_DEATH(HERD_CHECK(false, "the message"), ": false: the message");
  EXPECT_DEATH(HERD_UNREACHABLE("the message"), R"(check_test\.cc:[0-9]+: .*not reached: the message)");
}

TEST(CheckDeathTest, OfAChainTheFirstComparisonIsSeen) {
  const int three = 3;
  EXPECT_DEATH(HERD_CHECK(three < 1 && three < 9, "m"), R"(three < 1 && three < 9 \(3 < 1\): m)");
  EXPECT_DEATH(HERD_CHECK(three < 9 && three < 1, "m"), R"(three < 9 && three < 1: m)");
  EXPECT_DEATH(HERD_CHECK(three < 1 || three < 2, "m"), R"(\(3 < 1\): m)");
}

TEST(Check, EvaluatesAConditionOnceAndKeepsShortCircuits) {
  int evaluated = 0;
  HERD_CHECK(++evaluated == 1, "once");
  EXPECT_EQ(evaluated, 1);
  const int* none = nullptr;
  HERD_CHECK(none == nullptr || *none == 1, "the second is not looked at");
  const int three = 3;
  HERD_CHECK(three == 4 || three == 3, "a chain goes on after its first comparison");
  HERD_CHECK(three + 1 <= 2 * 2 && three % 2 == 1, "arithmetic binds tighter");
}

}  // namespace
}  // namespace herd
