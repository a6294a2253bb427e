// A node's process with a coordinator that the test plays over a real connection, and ranks that are processes which compute
// nothing (fake_rank.cc). Nothing here asserts how long something takes.

#include "actors/processes/node_process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "actors/remote/rank_roster.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/report_codec.h"

namespace herd::processes {
namespace {

using handshake::Role;
using wire::FrameKind;

constexpr std::chrono::seconds kLong{60};

handshake::Hello hello(Role role, const std::string& name) {
  handshake::Hello hello;
  hello.cluster = "test";
  hello.role = role;
  hello.node = name;
  hello.incarnation = 7;
  return hello;
}

// Keeps what the node says; the test answers.
class FakeCoordinator {
 public:
  explicit FakeCoordinator(std::uint16_t port = 0) {
    link::LinkHostConfig config;
    config.mine = hello(Role::kCoordinator, "co");
    config.on_trouble = [](const Status&) {};
    host_ = link::LinkHost::start(std::move(config)).value();
    const auto open = [this](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
      const std::scoped_lock lock(mutex_);
      link_ = std::move(link);
      return std::make_shared<Owner>(*this);
    };
    port_ = host_->listen("127.0.0.1", port, {{Role::kNode, "a"}}, open).value();
  }
  ~FakeCoordinator() { host_->stop(); }
  FakeCoordinator(const FakeCoordinator&) = delete;
  FakeCoordinator& operator=(const FakeCoordinator&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

  void send(const wire::Frame& frame) {
    const std::scoped_lock lock(mutex_);
    EXPECT_TRUE(link_->send(frame, Epoch(40), {}).ok());
  }
  void turn_away(const std::string& why) {
    const std::scoped_lock lock(mutex_);
    link_->finish({StatusCode::kAborted, why});
  }
  void assign(std::vector<ReplicaId> replicas) {
    membership::Assignment assignment;
    assignment.replicas = std::move(replicas);
    send(wire::encode(assignment));
  }
  // It holds that replica, which is to drain.
  void drain(ReplicaId replica, double seconds) {
    membership::Assignment assignment;
    assignment.replicas = assignment.draining = {replica};
    assignment.drain_s = seconds;
    send(wire::encode(assignment));
  }

  // The next frame of that kind that was not taken yet.
  template <class Message>
  Message next(FrameKind kind, Expected<Message> (*decode)(std::span<const std::uint64_t>)) {
    std::unique_lock lock(mutex_);
    const auto found = [&] { return std::ranges::find(frames_, kind, [](const auto& frame) { return frame.frame.kind; }); };
    EXPECT_TRUE(changed_.wait_for(lock, kLong, [&] { return found() != frames_.end(); })) << "no frame of kind " << int(kind);
    if (found() == frames_.end()) return {};
    const wire::OpenedFrame frame = std::move(*found());
    frames_.erase(found());
    return decode(frame.frame.words).value();
  }
  membership::NodeJoin join() { return next(FrameKind::kNodeJoin, wire::decode_node_join); }
  membership::PlaceAsk ask() { return next(FrameKind::kPlaceAsk, wire::decode_place_ask); }
  membership::GivenUp given_up() { return next(FrameKind::kGivenUp, wire::decode_given_up); }
  routing::ReplicaLoss loss() { return next(FrameKind::kReplicaLoss, wire::decode_replica_loss); }
  routing::ReplicaGeneration serving() { return next(FrameKind::kServing, wire::decode_serving).view.route.generation; }
  // The next that is said of a generation: it drains.
  routing::ReplicaGeneration draining() {
    const routing::ReplicaView view = next(FrameKind::kServing, wire::decode_serving).view;
    EXPECT_EQ(view.state, routing::ReplicaState::kDraining);
    return view.route.generation;
  }
  // What was asked is placed under that epoch, and serves.
  membership::PlaceAsk place(std::uint64_t epoch) {
    membership::PlaceAsk asked = ask();
    membership::Placed placed;
    placed.view.route = {{asked.replica, Epoch(epoch)}, asked.address, asked.numerics};
    placed.view.sequences_max = asked.sequences_max;
    placed.view.max_model_len = asked.max_model_len;
    send(wire::encode(placed));
    EXPECT_EQ(serving(), placed.view.route.generation);
    return asked;
  }
  // Reports that are like that, once they come.
  template <class Wanted>
  std::vector<report::ProcessReport> reports(Wanted wanted) {
    for (;;) {
      const auto reports = next(FrameKind::kProcessReports, wire::decode_process_reports).processes;
      if (wanted(reports) || testing::Test::HasFailure()) return reports;
    }
  }
  bool heard(FrameKind kind) {
    const std::scoped_lock lock(mutex_);
    return std::ranges::any_of(frames_, [kind](const auto& frame) { return frame.frame.kind == kind; });
  }

 private:
  class Owner final : public link::LinkOwner {
   public:
    explicit Owner(FakeCoordinator& coordinator) : coordinator_(coordinator) {}
    void on_frame(wire::OpenedFrame frame) override {
      const std::scoped_lock lock(coordinator_.mutex_);
      coordinator_.frames_.push_back(std::move(frame));
      coordinator_.changed_.notify_all();
    }
    void on_closed(const Status&) override {}

   private:
    FakeCoordinator& coordinator_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<wire::OpenedFrame> frames_;
  std::shared_ptr<link::Link> link_;
  std::unique_ptr<link::LinkHost> host_;
  std::uint16_t port_ = 0;
};

class NodeProcessTest : public testing::Test {
 protected:
  ~NodeProcessTest() override {
    stop();
    unsetenv("FAKE_RANK");
    if (HasFailure())
      for (const std::string& line : lines_) std::fprintf(stderr, "%s\n", line.c_str());
  }

  Status start(const std::function<void(NodeProcessConfig&)>& change = {}) {
    NodeProcessConfig config;
    config.hello = hello(Role::kNode, "a");
    config.spec.name = "test";
    config.spec.parallelism.tensor_parallel_size = 2;
    config.node.name = "a";
    config.node.address = "127.0.0.1:0";
    config.node.devices = {"cpu", "cpu"};
    config.spec.nodes = {config.node};
    config.coordinator = "co";
    config.coordinator_address = "127.0.0.1:" + std::to_string(coordinator_->port());
    config.model.path = "config/demo_model";
    config.tensor_parallel = 2;
    config.wishes.num_blocks = 64;
    config.wishes.max_model_len = 512;
    config.rank_argv = [](const RankStart& start) {
      return std::vector<std::string>{FAKE_RANK_PATH,    "--cluster",       "test",
                                      "--node",          "a",
                                      "--rank",          std::to_string(start.rank),
                                      "--link-fd",       std::to_string(start.link_fd),
                                      "--descriptors-fd", std::to_string(start.descriptors_fd)};
    };
    config.on_rank_line = [this](ReplicaId replica, std::uint32_t rank, std::string_view line) {
      const std::scoped_lock lock(mutex_);
      lines_.push_back(actors::rank_name(replica, rank) + ": " + std::string(line));
    };
    config.mine.role = Role::kNode;
    config.mine.name = "a";
    if (change) change(config);
    auto started = NodeProcess::start(std::move(config));
    if (!started) return started.error();
    node_ = std::move(*started);
    runner_ = std::thread([this] { node_->run(); });
    return {};
  }
  void stop() {
    if (!node_) return;
    node_->stop();
    runner_.join();
    node_.reset();
  }
  // Replica 0 serves under epoch 5.
  void serve(const std::function<void(NodeProcessConfig&)>& change = {}) {
    ASSERT_TRUE(start(change).ok());
    (void)coordinator_->join();
    coordinator_->assign({ReplicaId(0)});
    (void)coordinator_->place(5);
  }
  // A rank that serves under that epoch.
  static bool serves(const report::ProcessReport& rank, std::uint64_t epoch) {
    return rank.role == Role::kRank && rank.state == report::ProcessState::kServing && rank.epoch == epoch && rank.pid != 0;
  }
  std::vector<report::ProcessReport> ranks(std::uint64_t epoch) {
    auto reports = coordinator_->reports([&](const std::vector<report::ProcessReport>& all) {
      return std::ranges::count_if(all, [&](const auto& one) { return serves(one, epoch); }) == 2;
    });
    std::erase_if(reports, [](const report::ProcessReport& one) { return one.role != Role::kRank; });
    return reports;
  }
  static bool lives(std::int64_t pid) { return ::kill(static_cast<pid_t>(pid), 0) == 0; }

  std::unique_ptr<FakeCoordinator> coordinator_ = std::make_unique<FakeCoordinator>();
  std::mutex mutex_;  // of lines_
  std::vector<std::string> lines_;
  std::unique_ptr<NodeProcess> node_;
  std::thread runner_;
};

TEST_F(NodeProcessTest, HoldsAReplicaOfTwoProcesses) {
  ASSERT_TRUE(start().ok());
  const membership::NodeJoin join = coordinator_->join();
  EXPECT_EQ(join.replicas_max, 1U);
  EXPECT_TRUE(join.held.empty());
  coordinator_->assign({ReplicaId(0)});
  const membership::PlaceAsk asked = coordinator_->place(5);
  EXPECT_EQ(asked.address, "127.0.0.1:4711");
  EXPECT_TRUE(asked.numerics.starts_with("cpu-2/")) << asked.numerics;
  EXPECT_EQ(asked.max_model_len, 512);
  const auto reported = ranks(5);
  ASSERT_EQ(reported.size(), 2U);
  EXPECT_EQ(reported[0].name, "replica-0/rank-0");
  EXPECT_TRUE(reported[0].leader);
  EXPECT_EQ(reported[1].name, "replica-0/rank-1");
  EXPECT_FALSE(reported[1].leader);
  EXPECT_TRUE(lives(reported[0].pid) && lives(reported[1].pid));
  stop();
  EXPECT_FALSE(lives(reported[0].pid) || lives(reported[1].pid));
  EXPECT_EQ(coordinator_->loss().cause, routing::LossCause::kStopped);
  const std::scoped_lock lock(mutex_);
  EXPECT_EQ(std::ranges::count(lines_, "replica-0/rank-1: rank 1 is here"), 1);
}

TEST_F(NodeProcessTest, ARankThatIsKilledComesBackAndTheOtherKeepsWhatItHas) {
  serve();
  const auto before = ranks(5);
  kill(static_cast<pid_t>(before[1].pid), SIGKILL);
  const routing::ReplicaLoss loss = coordinator_->loss();
  EXPECT_EQ(loss.replica.epoch, Epoch(5));
  EXPECT_EQ(loss.cause, routing::LossCause::kKilled);
  EXPECT_NE(loss.why.message().find("rank 1 was killed by signal 9 (SIGKILL)"), std::string::npos) << loss.why.message();
  (void)coordinator_->place(6);
  const auto after = ranks(6);
  EXPECT_EQ(after[0].pid, before[0].pid);
  EXPECT_EQ(after[0].restarts, 0U);
  EXPECT_NE(after[1].pid, before[1].pid);
  EXPECT_EQ(after[1].restarts, 1U);
  EXPECT_EQ(after[1].last_death, "killed by signal 9 (SIGKILL)");
  EXPECT_EQ(node_->deaths(), (std::map<std::string, std::uint64_t>{{"killed by signal 9 (SIGKILL)", 1}}));
}

TEST_F(NodeProcessTest, ALeaderThatDiesOfItselfIsToldAsSuchByItsNode) {
  serve();
  const auto before = ranks(5);
  kill(static_cast<pid_t>(before[0].pid), SIGSEGV);
  const routing::ReplicaLoss loss = coordinator_->loss();
  EXPECT_EQ(loss.cause, routing::LossCause::kDiedOfItself);
  EXPECT_EQ(loss.why.message(), "replica 0: its leader died: rank 0 was killed by signal 11 (SIGSEGV): rank 0 is here")
      << "with its last words";
  (void)coordinator_->place(6);
  EXPECT_EQ(ranks(6)[1].pid, before[1].pid);
}

// A process that is stopped says nothing any more: it is ended, and another takes its place.
TEST_F(NodeProcessTest, ARankThatIsSilentIsEnded) {
  serve();
  const auto before = ranks(5);
  kill(static_cast<pid_t>(before[1].pid), SIGSTOP);
  EXPECT_EQ(coordinator_->loss().cause, routing::LossCause::kOverdue) << "not killed from outside: it hung";
  (void)coordinator_->place(6);
  EXPECT_NE(ranks(6)[1].pid, before[1].pid);
  EXPECT_FALSE(lives(before[1].pid));
}

TEST_F(NodeProcessTest, TheFourthDeathWithinAMinuteGivesTheReplicaUp) {
  serve();
  for (std::uint64_t epoch = 5; epoch <= 8; ++epoch) {
    const auto now = ranks(epoch);
    ASSERT_EQ(now.size(), 2U);
    kill(static_cast<pid_t>(now[1].pid), SIGKILL);
    if (epoch < 8) (void)coordinator_->place(epoch + 1);
  }
  const membership::GivenUp given_up = coordinator_->given_up();
  EXPECT_EQ(given_up.replica, ReplicaId(0));
  EXPECT_NE(given_up.why.message().find("it was lost 4 times within 60 s (3 restarts are allowed)"), std::string::npos)
      << given_up.why.message();
  coordinator_->reports([](const auto& all) { return all.size() == 1; });  // its ranks are gone
}

TEST_F(NodeProcessTest, ARankThatCannotBeMadeIsTriedAgainAndThenGivenUpWithItsReason) {
  setenv("FAKE_RANK", "refuses", 1);
  ASSERT_TRUE(start().ok());
  (void)coordinator_->join();
  coordinator_->assign({ReplicaId(3)});
  const membership::GivenUp given_up = coordinator_->given_up();
  EXPECT_EQ(given_up.replica, ReplicaId(3));
  EXPECT_NE(given_up.why.message().find("no memory for weights"), std::string::npos) << given_up.why.message();
  EXPECT_FALSE(coordinator_->heard(FrameKind::kPlaceAsk));
}

TEST_F(NodeProcessTest, WeightsThatChangeBetweenTwoLivesAreRefused) {
  setenv("FAKE_RANK", "changes", 1);
  serve();
  kill(static_cast<pid_t>(ranks(5)[1].pid), SIGKILL);
  EXPECT_NE(coordinator_->given_up().why.message().find("the model's files have changed"), std::string::npos);
  EXPECT_FALSE(coordinator_->heard(FrameKind::kPlaceAsk)) << "no generation of other numerics was asked for";
}

TEST_F(NodeProcessTest, ACoordinatorThatStartsAgainFindsTheReplicaServing) {
  serve();
  const auto before = ranks(5);
  const std::uint16_t port = coordinator_->port();
  coordinator_.reset();
  kill(static_cast<pid_t>(before[1].pid), SIGKILL);  // what is to be placed meanwhile waits
  coordinator_ = std::make_unique<FakeCoordinator>(port);
  const membership::NodeJoin join = coordinator_->join();
  EXPECT_EQ(join.held, std::vector{ReplicaId(0)});
  EXPECT_EQ(join.newest, Epoch(40));
  coordinator_->assign({ReplicaId(0)});
  (void)coordinator_->place(6);
  EXPECT_EQ(ranks(6)[0].pid, before[0].pid);
}

TEST_F(NodeProcessTest, ACoordinatorThatTurnsItAwayIsNotCalledConnected) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Status> links;
  ASSERT_TRUE(start([&](NodeProcessConfig& config) {
                config.on_link = [&](const Status& status) {
                  const std::scoped_lock lock(mutex);
                  links.push_back(status);
                  changed.notify_all();
                };
              }).ok());
  (void)coordinator_->join();
  coordinator_->turn_away("no room for you");
  (void)coordinator_->join();  // it tries again
  std::unique_lock lock(mutex);
  EXPECT_TRUE(std::ranges::none_of(links, [](const Status& status) { return status.ok(); }));
  EXPECT_FALSE(node_->hears_coordinator());
  lock.unlock();
  coordinator_->assign({});
  lock.lock();
  EXPECT_TRUE(changed.wait_for(lock, kLong, [&] { return !links.empty() && links.back().ok(); }));
  EXPECT_TRUE(node_->hears_coordinator());
  lock.unlock();
  stop();
}

TEST_F(NodeProcessTest, OneThatStopsSaysSo) {
  serve();
  (void)ranks(5);
  node_->stop();
  const auto reports = coordinator_->reports([](const auto& all) { return all.front().state == report::ProcessState::kDraining; });
  EXPECT_EQ(reports.front().role, Role::kNode);
}

TEST_F(NodeProcessTest, AReplicaThatDrainsSaysSoAndEndsWhenItIsHurried) {
  setenv("FAKE_RANK", "busy", 1);
  serve();
  const auto before = ranks(5);
  coordinator_->drain(ReplicaId(0), 3600);
  EXPECT_EQ(coordinator_->draining().epoch, Epoch(5));
  coordinator_->reports([](const auto& all) { return all.back().state == report::ProcessState::kDraining && all.size() == 3; });
  EXPECT_TRUE(lives(before[0].pid) && lives(before[1].pid));
  coordinator_->drain(ReplicaId(0), 0);
  EXPECT_EQ(coordinator_->loss().cause, routing::LossCause::kStopped);
  coordinator_->reports([](const auto& all) { return all.size() == 1; });  // its ranks are gone
  EXPECT_FALSE(coordinator_->heard(FrameKind::kPlaceAsk)) << "it is not started again";
  coordinator_->assign({ReplicaId(0)});
  (void)coordinator_->place(6);
}

// A leader that dies while it drains is not started again either.
TEST_F(NodeProcessTest, OneThatStopsLetsItsReplicasDrainAndTellsTheCoordinator) {
  setenv("FAKE_RANK", "busy", 1);
  serve([](NodeProcessConfig& config) { config.spec.http.shutdown_timeout = 3600; });
  const auto before = ranks(5);
  node_->stop();
  EXPECT_EQ(coordinator_->next(FrameKind::kNodeLeaving, wire::decode_node_leaving).drain_s, 3600);
  EXPECT_EQ(coordinator_->draining().epoch, Epoch(5));
  EXPECT_TRUE(lives(before[0].pid) && lives(before[1].pid));
  kill(static_cast<pid_t>(before[0].pid), SIGKILL);
  stop();
  EXPECT_FALSE(lives(before[1].pid));
  EXPECT_FALSE(coordinator_->heard(FrameKind::kPlaceAsk));
}

// More often than deaths would be let pass.
TEST_F(NodeProcessTest, ARankThatIsToldToEndIsStartedAgainBehindADrainAndForNothing) {
  serve();
  auto before = ranks(5);
  for (std::uint64_t epoch = 5; epoch < 10; ++epoch) {
    const std::size_t told = epoch % 2;
    kill(static_cast<pid_t>(before[told].pid), SIGTERM);
    EXPECT_EQ(coordinator_->draining().epoch, Epoch(epoch));
    EXPECT_EQ(coordinator_->loss().cause, routing::LossCause::kStopped);
    (void)coordinator_->place(epoch + 1);
    const auto after = ranks(epoch + 1);
    EXPECT_EQ(after[1 - told].pid, before[1 - told].pid);
    EXPECT_NE(after[told].pid, before[told].pid);
    EXPECT_EQ(after[told].last_death, "exited with code 0");
    before = after;
  }
}

TEST_F(NodeProcessTest, AReplicaThatIsTakenAwayEndsAndMakesRoom) {
  serve();
  const auto before = ranks(5);
  coordinator_->assign({ReplicaId(1)});
  const membership::PlaceAsk asked = coordinator_->place(9);
  EXPECT_EQ(asked.replica, ReplicaId(1));
  EXPECT_FALSE(lives(before[0].pid) || lives(before[1].pid));
  EXPECT_EQ(ranks(9)[0].name, "replica-1/rank-0");
}

TEST_F(NodeProcessTest, WhatItCannotBeIsSaidAtTheStart) {
  const Status gpus = start([](NodeProcessConfig& config) { config.node.devices = {"gpu-0", "gpu-1"}; });
  EXPECT_EQ(gpus.code(), StatusCode::kUsage);
  EXPECT_NE(gpus.message().find("ranks on GPUs are no processes yet"), std::string::npos);
  EXPECT_EQ(start([](NodeProcessConfig& config) { config.model.path = "no/such/model"; }).code(), StatusCode::kMissing);
}

TEST_F(NodeProcessTest, AProgramThatIsNotThereIsAReplicaGivenUp) {
  ASSERT_TRUE(start([](NodeProcessConfig& config) {
                config.rank_argv = [](const RankStart&) { return std::vector<std::string>{"/no/such/program"}; };
              }).ok());
  (void)coordinator_->join();
  coordinator_->assign({ReplicaId(0)});
  EXPECT_NE(coordinator_->given_up().why.message().find("/no/such/program"), std::string::npos);
}

}  // namespace
}  // namespace herd::processes
