// RoleRunner with small shell scripts in the place of the roles.
#include "commands/up/role_runner.h"

#include <algorithm>
#include <map>
#include <thread>

#include <gtest/gtest.h>

namespace herd::up {
namespace {

using handshake::Role;

// A coordinator, a node and a gateway, each the script of its name; what they say makes things happen.
struct Scripts {
  std::map<std::string, std::string> of{{"c", kPatient}, {"n", kPatient}, {"g", kPatient}};
  std::vector<std::string> lines;  // "g: line"; of `herd up` itself ": line"
  std::function<void(RoleRunner&, const std::string& line)> on_line = [](RoleRunner&, const std::string&) {};
  UpConfig up{.gateway_drain_s = 10};
  std::function<void()> on_ready;

  // Says that it is there, and that it was told to end.
  static constexpr const char* kPatient = "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.01; done";

  int run() {
    RoleRunnerConfig config;
    config.processes = {{Role::kCoordinator, "c"}, {Role::kNode, "n"}, {Role::kGateway, "g"}};
    config.up = up;
    config.on_ready = on_ready;
    config.spec_of = [this](const HostProcess& process) {
      children::ChildSpec spec;
      spec.argv = {"/bin/sh", "-c", of.at(process.name)};
      if (of.at(process.name).empty()) spec.argv = {"/no/such/program"};
      return spec;
    };
    RoleRunner* self = nullptr;
    config.on_line = [this, &self](const std::string& name, std::string_view line) {
      lines.push_back(name + ": " + std::string(line));
      on_line(*self, lines.back());
    };
    RoleRunner runner(std::move(config));
    self = &runner;
    return runner.run();
  }
  [[nodiscard]] std::size_t at(const std::string& line) const {
    return static_cast<std::size_t>(std::ranges::find(lines, line) - lines.begin());
  }
  [[nodiscard]] std::ptrdiff_t count(const std::string& line) const { return std::ranges::count(lines, line); }
};

// Once all three are there.
auto stop_when_ready(const Scripts& scripts) {
  return [&scripts, told = false](RoleRunner& runner, const std::string&) mutable {
    if (told || scripts.count("c: ready") + scripts.count("n: ready") + scripts.count("g: ready") < 3) return;
    told = true;
    runner.stop();
  };
}

TEST(RoleRunner, EndsTheGatewayThenTheNodeThenTheCoordinator) {
  Scripts scripts;
  scripts.on_line = stop_when_ready(scripts);
  EXPECT_EQ(scripts.run(), 0);
  EXPECT_EQ(scripts.count("g: told"), 1);
  EXPECT_LT(scripts.at("g: told"), scripts.at("n: told"));
  EXPECT_LT(scripts.at("n: told"), scripts.at("c: told"));
  EXPECT_LT(scripts.at("c: told"), scripts.lines.size());
}

TEST(RoleRunner, OneThatDiesIsStartedAgainAndToldWhyItDied) {
  Scripts scripts;
  scripts.of["n"] = "echo restarts=$HERD_RESTARTS death=$HERD_LAST_DEATH; test $HERD_RESTARTS = 2 || kill -9 $$; exec sleep 1000";
  scripts.on_line = [](RoleRunner& runner, const std::string& line) {
    if (line.starts_with("n: restarts=2")) runner.stop();
  };
  EXPECT_EQ(scripts.run(), 0);
  EXPECT_EQ(scripts.count("n: restarts=0 death="), 1);
  EXPECT_EQ(scripts.count("n: restarts=1 death=killed by signal 9 (SIGKILL)"), 1);
  EXPECT_EQ(scripts.count(": n killed by signal 9 (SIGKILL): it is started again (2)"), 1);
}

TEST(RoleRunner, OneThatRefusesToStartEndsAllWithItsCode) {
  Scripts scripts;
  scripts.of["g"] = "sleep 0.2; echo port taken >&2; exit 4";
  EXPECT_EQ(scripts.run(), 4);
  EXPECT_EQ(scripts.count("g: port taken"), 1);
  EXPECT_EQ(scripts.count(": g exited with code 4: the cluster does not start"), 1);
}

TEST(RoleRunner, AProgramThatIsNotThereIsGivenUpByName) {
  Scripts scripts;
  scripts.of["g"] = "";
  scripts.up.budget = {.restarts = 1};
  scripts.on_line = [](RoleRunner& runner, const std::string& line) {
    if (line.find("stays away") != std::string::npos) runner.stop();
  };
  EXPECT_EQ(scripts.run(), 0);
  EXPECT_EQ(scripts.count(": g /no/such/program: cannot be started: No such file or directory: it is started again (1)"), 1);
}

TEST(RoleRunner, WhoDoesNotListenIsKilledAfterTheThirdWord) {
  Scripts scripts;
  scripts.of["g"] = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
  scripts.on_line = stop_when_ready(scripts);
  const auto stop = scripts.on_line;
  scripts.on_line = [&scripts, stop](RoleRunner& runner, const std::string& line) mutable {
    stop(runner, line);
    if (line.starts_with(": stops")) {
      runner.stop();
      runner.stop();
    }
  };
  EXPECT_EQ(scripts.run(), 0) << "as it was told to";
  EXPECT_EQ(scripts.count("g: told"), 0);
}

TEST(RoleRunner, HearsThatItIsReadyOnItsOwnThread) {
  Scripts scripts;
  std::thread::id ready_on;
  RoleRunner* runner = nullptr;
  std::jthread watcher;
  scripts.on_ready = [&] {
    ready_on = std::this_thread::get_id();
    runner->stop();
  };
  scripts.on_line = [&](RoleRunner& self, const std::string& line) {
    if (line != "g: ready") return;
    runner = &self;
    watcher = std::jthread([&self] { self.ready(); });
  };
  EXPECT_EQ(scripts.run(), 0);
  EXPECT_EQ(ready_on, std::this_thread::get_id());
}

}  // namespace
}  // namespace herd::up
