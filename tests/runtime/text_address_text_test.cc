// HOST:PORT of names and of both kinds of addresses.

#include "runtime/text/address_text.h"

#include <gtest/gtest.h>

namespace herd::text {
namespace {

TEST(AddressText, BracketsWhatHasColons) {
  EXPECT_EQ(address_text("node-1", 7000), "node-1:7000");
  EXPECT_EQ(address_text("10.0.0.1", "80"), "10.0.0.1:80");
  EXPECT_EQ(address_text("::1", 65535), "[::1]:65535");
  EXPECT_EQ(address_text("[fe80::1]", "443"), "[fe80::1]:443");
  EXPECT_EQ(address_text("", 0), ":0");
}

}  // namespace
}  // namespace herd::text
