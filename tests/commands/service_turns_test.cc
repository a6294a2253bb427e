// What a service manager is told, heard on a socket as systemd's.
#include "commands/service_turns.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "commands/systemd_service.h"

namespace herd::commands {
namespace {

using Heard = std::vector<std::string>;

class ServiceManager : public testing::Test {
 protected:
  void SetUp() override {
    name_ = "herd-test-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data(), name_.size());  // an abstract socket
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size())),
              0);
    ::setenv("NOTIFY_SOCKET", ("@" + name_).c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
    ::close(fd_);
  }
  // Asks for signs of life at such intervals that each turn owes one.
  static void watch() { ::setenv("WATCHDOG_USEC", "1", 1); }
  Heard heard() const {
    Heard all;
    char text[512];
    for (ssize_t size = 0; (size = ::recv(fd_, text, sizeof text, 0)) >= 0;) all.emplace_back(text, static_cast<std::size_t>(size));
    return all;
  }

  std::string name_;
  int fd_ = -1;
};

TEST_F(ServiceManager, IsToldByTheLoopThatItTurns) {
  watch();
  ServiceTurns turns;
  EXPECT_EQ(heard(), Heard{}) << "nothing before the first turn";
  turns.turn();
  turns.turn();
  EXPECT_EQ(heard(), (Heard{"WATCHDOG=1", "WATCHDOG=1"}));
}

TEST_F(ServiceManager, HearsNothingWhileTheThreadThatWorksDoesNotComeBy) {
  watch();
  ServiceTurns turns;
  std::vector<std::function<void()>> waiting;
  turns.set_through([&waiting](std::function<void()> done) { waiting.push_back(std::move(done)); });
  for (int i = 0; i < 3; ++i) turns.turn();
  EXPECT_EQ(heard(), Heard{});
  ASSERT_EQ(waiting.size(), 1U) << "signs for a thread that hangs do not pile up";
  waiting.front()();
  EXPECT_EQ(heard(), Heard{"WATCHDOG=1"});
  turns.turn();
  EXPECT_EQ(waiting.size(), 2U);
}

TEST_F(ServiceManager, AThreadThatComesByAfterItsLoopIsGoneHarmsNobody) {
  watch();
  std::function<void()> waiting;
  {
    ServiceTurns turns;
    turns.set_through([&waiting](std::function<void()> done) { waiting = std::move(done); });
    turns.turn();
  }
  waiting();
  EXPECT_EQ(heard(), Heard{"WATCHDOG=1"});
}

TEST_F(ServiceManager, IsToldAStateOnceAndOnOneLine) {
  ServiceTurns turns;
  turns.set_state([] { return std::string("waits\nREADY=1"); });
  turns.turn();
  turns.say("waits\nREADY=1");
  EXPECT_EQ(heard(), Heard{"STATUS=waits READY=1"});
  turns.say("serves");
  EXPECT_EQ(heard(), Heard{"STATUS=serves"});
  EXPECT_NE(turns.due(), WatchdogPlan::kNever) << "the state is looked at again";
}

TEST_F(ServiceManager, IsToldWhenAReloadBegan) {
  notify_reloading();
  const Heard all = heard();
  ASSERT_EQ(all.size(), 1U);
  const std::string begin = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_TRUE(all[0].starts_with(begin)) << all[0];
  EXPECT_GT(std::stoll(all[0].substr(begin.size())), 0);
}

TEST_F(ServiceManager, WatchesTheProcessThatItNames) {
  EXPECT_EQ(watchdog_interval_us(), std::nullopt);
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  EXPECT_EQ(watchdog_interval_us(), 30'000'000) << "whoever reads it is meant";
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  EXPECT_EQ(watchdog_interval_us(), 30'000'000);
  for (const char* other : {"1", "", "x"}) {
    ::setenv("WATCHDOG_PID", other, 1);
    EXPECT_EQ(watchdog_interval_us(), std::nullopt) << other;
  }
  ::unsetenv("WATCHDOG_PID");
  for (const char* no_interval : {"0", "-5", "", "1s", "99999999999999999999"}) {
    ::setenv("WATCHDOG_USEC", no_interval, 1);
    EXPECT_EQ(watchdog_interval_us(), std::nullopt) << no_interval;
  }
}

TEST(NoServiceManager, IsToldNothingAndNothingIsDue) {
  ::unsetenv("NOTIFY_SOCKET");
  ::setenv("WATCHDOG_USEC", "1", 1);
  const ServiceTurns turns;
  EXPECT_EQ(turns.due(), WatchdogPlan::kNever);
  EXPECT_EQ(turns.next(), std::nullopt);
  ::unsetenv("WATCHDOG_USEC");
  notify_service_manager("READY=1");
}

}  // namespace
}  // namespace herd::commands
