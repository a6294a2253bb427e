#include "endpoint/access/allowed_hosts.h"

#include <gtest/gtest.h>

namespace herd::access {
namespace {

AllowedHosts made(const std::vector<std::string>& listed, const std::string& own = "127.0.0.1") {
  auto hosts = AllowedHosts::make(listed, own);
  EXPECT_TRUE(hosts) << hosts.error().message();
  return *hosts;
}

TEST(AllowedHosts, OnLoopbackOnlyNamesOfThisMachine) {
  const AllowedHosts hosts = made({});
  for (const char* listener : {"127.0.0.1:8000", "[::1]:8000", "127.0.1.1:80", "[::ffff:127.0.0.1]:80"}) {
    for (const char* host : {"localhost", "LocalHost:8000", "localhost.", "a.localhost", "a.b.localhost:1", "127.0.0.1",
                             "127.0.0.1:8000", "127.255.1.2", "127.1", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]:80",
                             "[0:0:0:0:0:0:0:1]", "0.0.0.0:8000", "[::]:8000"})
      EXPECT_TRUE(hosts.allow(host, listener)) << host << " " << listener;
    for (const char* host :
         {"", ":8000", "rebound.example.com", "rebound.example.com:8000", "localhost.example.com", "notlocalhost",
          "127.0.0.1.example.com", "127.0.0.1.nip.io:8000", "128.0.0.1", "10.0.0.1", "[::2]", "[fe80::1]", "[::1",
          "[localhost]x", "herd", "127.0.0.1:80:90", "localhost:rebound.example.com",
          "local host"})
      EXPECT_FALSE(hosts.allow(host, listener)) << host << " " << listener;
  }
}

TEST(AllowedHosts, TheBoundAddressAndTheServersOwnNameToo) {
  const AllowedHosts hosts = made({}, "MyBox");
  EXPECT_TRUE(hosts.allow("mybox:8000", "127.0.1.1:8000"));
  EXPECT_FALSE(hosts.allow("yourbox:8000", "127.0.1.1:8000"));
}

TEST(AllowedHosts, WhatIsListedWithoutItsPort) {
  const AllowedHosts hosts = made({"herd.example.com", "GPU-1:9000", "10.1.2.3", "FD00::5", "[fd00::6]:80"});
  for (const char* host : {"herd.example.com", "HERD.example.com:1", "herd.example.com.", "gpu-1:8000", "10.1.2.3:8000",
                           "[fd00::5]:8000", "[FD00::5]", "[fd00::6]"})
    EXPECT_TRUE(hosts.allow(host, "127.0.0.1:8000")) << host;
  for (const char* host : {"a.herd.example.com", "example.com", "gpu-2", "10.1.2.4", "[fd00::7]"})
    EXPECT_FALSE(hosts.allow(host, "127.0.0.1:8000")) << host;
}

TEST(AllowedHosts, AStarIsAnyName) {
  const AllowedHosts hosts = made({"a", "*"});
  EXPECT_TRUE(hosts.allow("rebound.example.com", "127.0.0.1:8000"));
  EXPECT_TRUE(hosts.allow("", "127.0.0.1:8000"));
}

// Who listens for a network is called by names that nobody has told the server; only a list makes them known.
TEST(AllowedHosts, BeyondLoopbackAListAlone) {
  for (const char* listener : {"0.0.0.0:8000", "[::]:8000", "10.1.2.3:8000"}) {
    EXPECT_TRUE(made({}, "0.0.0.0").allow("rebound.example.com", listener)) << listener;
    const AllowedHosts hosts = made({"herd"}, "0.0.0.0");
    for (const char* host : {"herd:8000", "localhost", "10.1.2.3:8000", "10.9.9.9", "[fe80::1]"})
      EXPECT_TRUE(hosts.allow(host, listener)) << host << " " << listener;
    for (const char* host : {"rebound.example.com", "", "10.1.2.3.example.com"})
      EXPECT_FALSE(hosts.allow(host, listener)) << host << " " << listener;
  }
}

TEST(AllowedHosts, RefusesEntriesThatAreNoHosts) {
  for (const char* entry : {"", "http://a", "a/b", "*.example.com", "a b", "[::1", "a@b", ":80"}) {
    const auto hosts = AllowedHosts::make({"ok", entry}, "");
    ASSERT_FALSE(hosts) << entry;
    EXPECT_EQ(hosts.error().code(), StatusCode::kUsage);
    EXPECT_NE(hosts.error().message().find("--allowed-hosts"), std::string::npos);
  }
}

}  // namespace
}  // namespace herd::access
