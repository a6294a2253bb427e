#include "commands/up/up_core.h"

#include <gtest/gtest.h>

namespace herd::up {
namespace {

using handshake::Role;

constexpr std::size_t kCoordinator = 0, kNodeA = 1, kNodeB = 2, kGateway = 3;
const ProcessEnd kDrained{"exited with code 0", 0};
const ProcessEnd kKilled{"killed by signal 9 (SIGKILL)", std::nullopt};

// A core with a clock; effects as texts: "start 1", "end 3", "kill 3", "over 0"; what is said is kept apart.
struct Host {
  explicit Host(membership::RestartBudget budget = {})
      : core({{Role::kCoordinator, "c"}, {Role::kNode, "a"}, {Role::kNode, "b"}, {Role::kGateway, "g"}}, {budget, 30}) {
    UpEffects effects;
    core.on_begin(effects);
    begun = texts(effects);
  }

  std::vector<std::string> texts(const UpEffects& effects) {
    std::vector<std::string> out;
    for (const UpEffect& effect : effects) {
      if (const auto* start = std::get_if<StartProcess>(&effect)) {
        core.on_started(start->process, now);
        out.push_back("start " + std::to_string(start->process));
        last_start = *start;
      } else if (const auto* end = std::get_if<EndProcess>(&effect)) {
        out.push_back((end->order == Order::kEnd ? "end " : "kill ") + std::to_string(end->process));
      } else if (const auto* say = std::get_if<Say>(&effect)) {
        said.push_back(say->text);
      } else {
        out.push_back("over " + std::to_string(std::get<Over>(effect).exit_code));
      }
    }
    return out;
  }
  void pass(double seconds) { now.ns += static_cast<std::int64_t>(seconds * 1e9); }
  std::vector<std::string> ended(std::size_t process, const ProcessEnd& end) {
    UpEffects effects;
    core.on_ended(process, end, now, effects);
    return texts(effects);
  }
  std::vector<std::string> stop() {
    UpEffects effects;
    core.on_stop(now, effects);
    return texts(effects);
  }
  // At the time that it is due.
  std::vector<std::string> timer() {
    EXPECT_TRUE(core.due());
    if (core.due()) now = std::max(now, *core.due());
    UpEffects effects;
    core.on_timer(now, effects);
    return texts(effects);
  }

  Instant now{1'000'000'000};
  UpCore core;
  std::vector<std::string> begun, said;
  StartProcess last_start;
};
using Effects = std::vector<std::string>;

TEST(UpCore, StartsTheCoordinatorFirstAndWaitsForNobody) {
  Host host;
  EXPECT_EQ(host.begun, (Effects{"start 0", "start 1", "start 2", "start 3"}));
  EXPECT_EQ(host.core.due(), std::nullopt) << "it sleeps until something happens";
}

TEST(UpCore, OneThatHadLivedIsStartedAgainAtOnce) {
  Host host({.restarts = 100});
  for (int i = 1; i <= 5; ++i) {
    host.pass(2);
    EXPECT_EQ(host.ended(kGateway, kKilled), Effects{"start 3"});
    EXPECT_EQ(host.last_start.restarts, static_cast<std::uint32_t>(i));
    EXPECT_EQ(host.last_start.last_death, "killed by signal 9 (SIGKILL)");
  }
}

TEST(UpCore, OneThatFallsAgainAndAgainRestsLongerEachTime) {
  Host host({.restarts = 4, .window_s = 60, .backoff_s = 0.1, .backoff_max_s = 5});
  const ProcessEnd fell{"killed by signal 11 (SIGSEGV)", std::nullopt};
  EXPECT_EQ(host.ended(kNodeA, fell), Effects{"start 1"}) << "the first time is at once";
  double before = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(host.ended(kNodeA, fell), Effects{});
    const double rest = seconds_between(host.now, *host.core.due());
    EXPECT_GT(rest, before);
    before = rest;
    EXPECT_EQ(host.timer(), Effects{"start 1"});
  }
  EXPECT_EQ(host.ended(kNodeA, fell), Effects{});
  EXPECT_EQ(host.said.back(), "a killed by signal 11 (SIGSEGV) and stays away: it ended 5 times within 60 s (supervision.restart_budget)");
  EXPECT_EQ(host.core.due(), std::nullopt);
}

TEST(UpCore, ItEndsWithTheLastThatStaysAway) {
  Host host({.restarts = 0});
  EXPECT_EQ(host.ended(kGateway, kKilled), Effects{});
  EXPECT_EQ(host.ended(kNodeA, kKilled), Effects{});
  EXPECT_EQ(host.ended(kNodeB, kKilled), Effects{});
  EXPECT_EQ(host.ended(kCoordinator, kKilled), Effects{"over 1"});
}

// A port that is taken stays so: no use in starting all over.
TEST(UpCore, ARefusalBeforeItIsReadyEndsAll) {
  Host host;
  EXPECT_EQ(host.ended(kGateway, {"exited with code 4", 4}), (Effects{"end 1", "end 2"}));
  EXPECT_EQ(host.said, Effects{"g exited with code 4: the cluster does not start"});
  EXPECT_EQ(host.ended(kNodeA, kDrained), Effects{});
  EXPECT_EQ(host.ended(kNodeB, kDrained), Effects{"end 0"});
  EXPECT_EQ(host.ended(kCoordinator, kDrained), Effects{"over 4"});
}

TEST(UpCore, WhoStopsWhatEndsForARefusalAlreadyEndsAllAtOnce) {
  Host host;
  EXPECT_EQ(host.ended(kGateway, {"exited with code 4", 4}), (Effects{"end 1", "end 2"}));
  EXPECT_EQ(host.stop(), (Effects{"end 0", "end 1", "end 2"}));
  EXPECT_EQ(host.stop(), (Effects{"kill 0", "kill 1", "kill 2"}));
}

TEST(UpCore, ARefusalOfOneThatServedBeforeIsTriedAgain) {
  Host host;
  host.core.on_ready();
  host.pass(10);
  EXPECT_EQ(host.ended(kGateway, {"exited with code 4", 4}), Effects{"start 3"});
}

TEST(UpCore, GatewaysEndFirstThenNodesThenTheCoordinator) {
  Host host;
  EXPECT_EQ(host.stop(), Effects{"end 3"});
  EXPECT_EQ(host.ended(kNodeA, kKilled), Effects{}) << "nothing is started again";
  EXPECT_EQ(host.ended(kGateway, kDrained), Effects{"end 2"});
  EXPECT_EQ(host.ended(kNodeB, kDrained), Effects{"end 0"});
  EXPECT_EQ(host.ended(kCoordinator, kDrained), Effects{"over 0"});
}

TEST(UpCore, WhoRestsIsNotStartedAfterTheWordToStop) {
  Host host;
  (void)host.ended(kGateway, kKilled);
  EXPECT_EQ(host.ended(kGateway, kKilled), Effects{});
  EXPECT_EQ(host.stop(), (Effects{"end 1", "end 2"}));
  EXPECT_EQ(host.ended(kNodeA, kDrained), Effects{});
  EXPECT_EQ(host.ended(kNodeB, kDrained), Effects{"end 0"});
  EXPECT_EQ(host.ended(kCoordinator, kDrained), Effects{"over 0"});
}

TEST(UpCore, OneThatDoesNotEndIsKilledAfterItsTime) {
  Host host;
  (void)host.stop();
  const Instant told = host.now;
  EXPECT_EQ(host.timer(), Effects{"kill 3"});
  EXPECT_EQ(seconds_between(told, host.now), 30 + UpCore::kGatewayGrace_s);
  EXPECT_EQ(host.ended(kGateway, kKilled), (Effects{"end 1", "end 2"})) << "nodes get their own time";
  EXPECT_EQ(host.ended(kNodeA, kDrained), Effects{});
  EXPECT_EQ(host.timer(), Effects{"kill 2"});
  EXPECT_EQ(host.ended(kNodeB, kKilled), Effects{"end 0"});
  EXPECT_EQ(host.ended(kCoordinator, kDrained), Effects{"over 1"});
}

TEST(UpCore, TheSecondWordEndsAllAtOnceAndTheThirdKills) {
  Host host;
  (void)host.stop();
  EXPECT_EQ(host.stop(), (Effects{"end 0", "end 1", "end 2", "end 3"}));
  const Instant told = host.now;
  EXPECT_EQ(host.stop(), (Effects{"kill 0", "kill 1", "kill 2", "kill 3"}));
  EXPECT_EQ(host.ended(kGateway, kKilled), Effects{});
  EXPECT_EQ(host.ended(kNodeA, kKilled), Effects{});
  EXPECT_EQ(host.ended(kCoordinator, kKilled), Effects{});
  EXPECT_EQ(host.timer(), Effects{"kill 2"}) << "who is left when the time is over";
  EXPECT_EQ(seconds_between(told, host.now), UpCore::kHurry_s);
  EXPECT_EQ(host.ended(kNodeB, kKilled), Effects{"over 1"});
}

}  // namespace
}  // namespace herd::up
