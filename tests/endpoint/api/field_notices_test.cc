// FieldNotices: the log hears of an unknown field once, and of a bounded number of them.

#include <gtest/gtest.h>

#include "endpoint/api/field_notices.h"

namespace herd::api {
namespace {

TEST(FieldNotices, NameEachFieldOnce) {
  FieldNotices notices;
  EXPECT_EQ(notices.first_time({}), "");
  EXPECT_EQ(notices.first_time({"a", "messages[].x"}), "a,messages[].x");
  EXPECT_EQ(notices.first_time({"a", "b"}), "b");
  EXPECT_EQ(notices.first_time({"a", "b", "messages[].x"}), "");
}

TEST(FieldNotices, AreBounded) {
  FieldNotices notices;
  for (std::size_t i = 0; i < FieldNotices::kNamesMax; ++i)
    EXPECT_NE(notices.first_time({"f" + std::to_string(i)}), "");
  EXPECT_EQ(notices.first_time({"one more"}), "");
  EXPECT_EQ(notices.first_time({"f0"}), "");
}

TEST(FieldNotices, JoinAllOfThemForTheHeader) {
  EXPECT_EQ(joined({}), "");
  EXPECT_EQ(joined({"a"}), "a");
  EXPECT_EQ(joined({"a", "b.c"}), "a,b.c");
}

}  // namespace
}  // namespace herd::api
