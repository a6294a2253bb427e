#include "endpoint/http/host_port.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace herd::http {
namespace {

// "host|port", in brackets where the host was; "-": refused.
std::string split(std::string_view text) {
  const auto parts = split_host_port(text);
  if (!parts) return "-";
  const std::string host(parts->host);
  return (parts->bracketed ? "[" + host + "]" : host) + "|" + std::string(parts->port);
}

TEST(SplitHostPort, TakesHostAndPortApart) {
  EXPECT_EQ(split("localhost"), "localhost|");
  EXPECT_EQ(split("localhost:8000"), "localhost|8000");
  EXPECT_EQ(split("localhost:"), "localhost|");
  EXPECT_EQ(split(":8000"), "|8000");
  EXPECT_EQ(split(""), "|");
  EXPECT_EQ(split("[::1]"), "[::1]|");
  EXPECT_EQ(split("[::1]:8000"), "[::1]|8000");
  EXPECT_EQ(split("[]:1"), "[]|1");
}

TEST(SplitHostPort, RefusesWhatTwoReadersCouldReadInTwoWays) {
  for (const char* text : {"a:b", "a:80:90", "::1", "[::1", "[::1]x", "[::1]x:80", "[::1]:8a", "a]", "a[b]:80", "[a][b]",
                           "a:-1", "a: 80"})
    EXPECT_EQ(split(text), "-") << text;
}

}  // namespace
}  // namespace herd::http
