// A gateway whose coordinator and leaders are other ends of real connections. Nothing here asserts how long something takes.

#include "actors/processes/gateway_process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "cluster/membership/membership_core.h"
#include "tests/actors/remote/played_cluster.h"

namespace herd::actors {
namespace {

using handshake::Role;
using processes::GatewayProcess;
using routing::ReplicaGeneration;
using routing::ReplicaState;

constexpr ReplicaGeneration generation(std::uint32_t replica, std::uint64_t epoch = 1) { return {ReplicaId(replica), Epoch(epoch)}; }

class GatewayProcessTest : public testing::Test {
 protected:
  GatewayProcessTest() { coordinator_ = make_coordinator(0); }

  std::unique_ptr<PlayedCoordinator> make_coordinator(std::uint16_t port) {
    return std::make_unique<PlayedCoordinator>(Role::kCoordinator, "c", folder_.make("c", {Role::kCoordinator, "c"}), port);
  }
  std::unique_ptr<PlayedLeader> make_leader(const std::string& node, std::uint16_t port = 0) {
    return std::make_unique<PlayedLeader>(Role::kRank, node, folder_.make(node, {Role::kNode, node}), port);
  }
  std::unique_ptr<GatewayProcess> make_gateway(const std::string& name, std::uint64_t id) {
    processes::GatewayProcessConfig config;
    config.hello.cluster = "test";
    config.hello.role = Role::kGateway;
    config.hello.node = name;
    config.hello.incarnation = id;
    config.tls = folder_.make(name, {Role::kGateway, name});
    config.coordinator = "c";
    config.coordinator_address = coordinator_->address();
    config.gateway = StandaloneConfig::gateway_of_one_caller();
    config.gateway.jitter_seed = id;
    return GatewayProcess::start(std::move(config)).value();
  }
  // Leaders 0, 1, … serve generation `epoch` of their replicas.
  routing::ClusterView view_of(const std::vector<PlayedLeader*>& leaders, std::uint64_t epoch = 1) {
    routing::ClusterView view{.cluster_epoch = Epoch(1), .number = ++number_, .replicas = {}};
    for (std::uint32_t i = 0; i < leaders.size(); ++i)
      view.replicas.push_back({.route = {generation(i, epoch), leaders[i]->address(), "n"},
                               .state = ReplicaState::kServing,
                               .returns = true,
                               .sequences_max = 64,
                               .max_model_len = 1024});
    return view;
  }
  void serve(const std::vector<PlayedLeader*>& leaders, std::uint64_t epoch = 1) {
    for (std::uint32_t i = 0; i < leaders.size(); ++i) leaders[i]->serve(generation(i, epoch));
    coordinator_->push(view_of(leaders, epoch));
  }
  static bool await_serving(GatewayProcess& gateway, std::size_t replicas) {
    return gateway.await_status([&](const ClusterStatus& status) { return status.serving_replicas() == replicas; }, link::kLong);
  }
  // Until the client's sequence has `tokens` more than the leader had sent.
  static void step(PlayedLeader& leader, ToyClient& client, std::uint64_t sequence, std::uint32_t until) {
    while (client.stream(sequence).tokens() < until) {
      const std::uint32_t before = client.stream(sequence).tokens();
      leader.step();
      ASSERT_TRUE(client.read_until(SequenceId(sequence), before + 1));
    }
  }

  link::CertificateFolder folder_;
  std::unique_ptr<PlayedCoordinator> coordinator_;
  std::uint64_t number_ = 0;
};

TEST_F(GatewayProcessTest, StreamsFromALeader) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  EXPECT_EQ(gateway->client().status()->serving_replicas(), 0U);
  serve({leader.get()});
  ASSERT_TRUE(await_serving(*gateway, 1));
  EXPECT_EQ(coordinator_->join(0).gateway, GatewayId(5));
  EXPECT_EQ(coordinator_->join(0).view_number, 0U) << "it has no view yet";
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 6));
  client.submit(toy_submission(2, 20, 3));
  ASSERT_TRUE(leader->await_open(2));
  for (int i = 0; i < 6; ++i) leader->step();
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(step::FinishReason::kLength), 2U);
  EXPECT_EQ(gateway->client().status()->ledger.replayed, 0U);
}

TEST_F(GatewayProcessTest, AStreamWhoseLinkIsCutGoesOnElsewhereAndTheLeaderComesBack) {
  auto a = make_leader("a"), b = make_leader("b");
  auto gateway = make_gateway("g", 5);
  serve({a.get(), b.get()});
  ASSERT_TRUE(await_serving(*gateway, 2));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 8));
  ASSERT_TRUE(a->await_open(1)) << "the first in turn";
  step(*a, client, 1, 3);
  a->cut();
  ASSERT_TRUE(b->await_open(1));
  EXPECT_EQ(b->submissions().at(0).attempt, 1U);
  EXPECT_EQ(b->submissions().at(0).tokens.size(), 12U) << "prompt and what was delivered";
  step(*b, client, 1, 8);
  EXPECT_EQ(client.violation(), "");
  // The gateway dials again, and the leader is used again without a newer view.
  ASSERT_TRUE(await_serving(*gateway, 2));
  EXPECT_EQ(a->joins(), 2U);
  for (std::uint64_t id = 2; id <= 3; ++id) client.submit(toy_submission(id, 9, 4));
  ASSERT_TRUE(a->await_open(1));
  ASSERT_TRUE(b->await_open(1));
  for (int i = 0; i < 4; ++i) a->step(), b->step();
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(gateway->client().status()->ledger.moves, 1U);
  EXPECT_EQ(gateway->client().status()->ledger.losses, 0U);
}

TEST_F(GatewayProcessTest, WithOneLeaderAStreamWaitsForItsLinkAndGoesOn) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  serve({leader.get()});
  ASSERT_TRUE(await_serving(*gateway, 1));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 6));
  for (int cuts = 1; cuts <= 3; ++cuts) {
    ASSERT_TRUE(leader->await_open(1));
    step(*leader, client, 1, static_cast<std::uint32_t>(cuts));
    leader->cut();
    ASSERT_TRUE(leader->await_submissions(static_cast<std::size_t>(cuts) + 1));
  }
  ASSERT_TRUE(leader->await_open(1));
  step(*leader, client, 1, 6);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
}

TEST_F(GatewayProcessTest, FramesOfAStaleGenerationOrAttemptChangeNothing) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  serve({leader.get()}, 7);
  ASSERT_TRUE(await_serving(*gateway, 1));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 4));
  ASSERT_TRUE(leader->await_open(1));
  leader->say_as(generation(0, 6), 0);  // before it is decoded
  leader->say_as(generation(3, 7), 0);
  leader->say_as(generation(0, 7), 9);  // by the ledger
  step(*leader, client, 1, 4);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(gateway->stale_frames(), 2U);
  EXPECT_EQ(gateway->client().status()->ledger.stale_deltas, 1U);
}

TEST_F(GatewayProcessTest, ALossIsHeardFromTheLeaderAndTheNextGenerationUsesTheSameConnection) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  serve({leader.get()}, 1);
  ASSERT_TRUE(await_serving(*gateway, 1));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 6));
  ASSERT_TRUE(leader->await_open(1));
  step(*leader, client, 1, 2);
  routing::ReplicaLoss loss;
  loss.replica = generation(0, 1);
  loss.why = {StatusCode::kAborted, "replica 0: rank 1 was killed"};
  leader->lose(loss, generation(0, 1));
  ASSERT_TRUE(gateway->await_status([](const ClusterStatus& status) { return status.ledger.losses == 1; }, link::kLong));
  serve({leader.get()}, 2);
  ASSERT_TRUE(leader->await_open(1));
  EXPECT_EQ(leader->submissions().back().attempt, 1U);
  step(*leader, client, 1, 6);
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(leader->connections(), 1U);
  EXPECT_EQ(leader->joins(), 2U) << "each generation says all of its prefix cache";
  EXPECT_EQ(leader->strangers(), 0U);
}

TEST_F(GatewayProcessTest, AGenerationThatReportsBeforeTheViewHasItServesWithTheView) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  serve({leader.get()}, 1);
  ASSERT_TRUE(await_serving(*gateway, 1));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 4));
  ASSERT_TRUE(leader->await_open(1));
  leader->report_as(generation(0, 2));
  leader->say_as(generation(0, 9), 0);  // comes behind it
  while (gateway->stale_frames() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  coordinator_->push(view_of({leader.get()}, 2));
  const auto serves_second = [](const ClusterStatus& status) {
    return status.serving_replicas() == 1 && status.view.replicas.at(0).route.generation == generation(0, 2);
  };
  ASSERT_TRUE(gateway->await_status(serves_second, link::kLong));
  EXPECT_EQ(gateway->stale_frames(), 1U);
}

TEST_F(GatewayProcessTest, WhileTheCoordinatorIsAwayItRoutesFromTheLastViewAndTellsItThenWhatItHas) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  report::ProcessReport mine;
  mine.role = Role::kGateway;
  mine.name = "g";
  mine.pid = 42;
  mine.state = report::ProcessState::kServing;
  gateway->report(mine);
  serve({leader.get()});
  ASSERT_TRUE(await_serving(*gateway, 1));
  ASSERT_TRUE(coordinator_->await_reports(1));
  const std::uint16_t port = coordinator_->port();
  coordinator_.reset();
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 4));
  ASSERT_TRUE(leader->await_open(1));
  step(*leader, client, 1, 2);
  coordinator_ = make_coordinator(port);
  ASSERT_TRUE(coordinator_->await_reports(1)) << "it dials again";
  EXPECT_EQ(coordinator_->reports().at(0).processes.at(0), mine);
  EXPECT_EQ(coordinator_->join(0).cluster_epoch, Epoch(1));
  EXPECT_EQ(coordinator_->join(0).view_number, number_);
  step(*leader, client, 1, 4);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(gateway->client().status()->ledger.replayed, 0U);
}

TEST_F(GatewayProcessTest, TwoGatewaysShareALeaderAndOneThatGoesTakesItsOwnAlong) {
  auto leader = make_leader("a");
  auto first = make_gateway("g", 5), second = make_gateway("h", 6);
  serve({leader.get()});
  ASSERT_TRUE(await_serving(*first, 1));
  ASSERT_TRUE(await_serving(*second, 1));
  ToyClient one(first->client()), two(second->client());
  one.submit(toy_submission(1, 9, 6));
  two.submit(toy_submission(1, 30, 6));
  two.submit(toy_submission(2, 12, 6));
  ASSERT_TRUE(leader->await_open(3));
  step(*leader, one, 1, 2);
  second->stop();
  ASSERT_TRUE(leader->await_open(1));
  ASSERT_TRUE(two.read_all());
  step(*leader, one, 1, 6);
  ASSERT_TRUE(one.read_all());
  EXPECT_EQ(one.violation(), "");
  EXPECT_EQ(two.violation(), "");
  EXPECT_EQ(two.count(step::FinishReason::kAborted), 2U);
}

TEST_F(GatewayProcessTest, AFullLeaderIsLeftForAnotherOne) {
  auto a = make_leader("a"), b = make_leader("b");
  auto gateway = make_gateway("g", 5);
  serve({a.get(), b.get()});
  ASSERT_TRUE(await_serving(*gateway, 2));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 3));
  ASSERT_TRUE(a->await_open(1));
  a->refuse({StatusCode::kOverloaded, "full"});
  ASSERT_TRUE(b->await_open(1));
  step(*b, client, 1, 3);
  EXPECT_EQ(client.violation(), "");
}

TEST_F(GatewayProcessTest, ALeaderThatSaysWhatCannotBeReadIsCutAndDialledAgain) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  serve({leader.get()});
  ASSERT_TRUE(await_serving(*gateway, 1));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 4));
  ASSERT_TRUE(leader->await_open(1));
  step(*leader, client, 1, 1);
  leader->garble();
  ASSERT_TRUE(leader->await_submissions(2));
  ASSERT_TRUE(leader->await_open(1));
  routing::ReplicaLoss loss;
  loss.replica = generation(0, 1);
  loss.why = {StatusCode::kAborted, "not its own"};
  leader->lose(loss, generation(0, 1));
  ASSERT_TRUE(gateway->await_status([](const ClusterStatus& status) { return status.ledger.losses == 1; }, link::kLong));
  EXPECT_EQ(client.violation(), "");
}

TEST_F(GatewayProcessTest, AViewWithoutALeaderEndsItsConnection) {
  auto a = make_leader("a"), b = make_leader("b");
  auto gateway = make_gateway("g", 5);
  serve({a.get(), b.get()});
  ASSERT_TRUE(await_serving(*gateway, 2));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 4));
  ASSERT_TRUE(a->await_open(1));
  step(*a, client, 1, 1);
  auto without = view_of({a.get(), b.get()});
  without.replicas.erase(without.replicas.begin());
  coordinator_->push(without);
  ASSERT_TRUE(b->await_open(1));
  ASSERT_TRUE(a->await_open(0)) << "its connection has ended";
  step(*b, client, 1, 4);
  EXPECT_EQ(client.violation(), "");
}

// The generations of one replica, as a coordinator tells of them.
TEST_F(GatewayProcessTest, ALeaderWhoseReplicaComesBackKeepsItsConnection) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  membership::MembershipConfig config;
  config.nodes = {"a"};
  membership::MembershipCore core(config, Epoch(1000), {});
  membership::MembershipEffects effects;
  const membership::PeerId node(1);
  handshake::Hello hello;
  hello.cluster = "test";
  hello.role = Role::kNode;
  hello.node = "a";
  hello.incarnation = 1;
  core.on_opened(node, hello, {}, effects);
  core.on_node_join(node, {.replicas_max = 1, .newest = {}, .held = {}, .serving = {}}, effects);
  const auto place = [&] {
    core.on_place_ask(node, {ReplicaId(0), leader->address(), "cpu-2/bfloat16/bfloat16/aa", 8, 512}, effects);
    coordinator_->push(core.view());
    return core.view().replicas.at(0).route.generation;
  };
  const auto serve_it = [&](ReplicaGeneration generation) {
    leader->serve(generation);
    core.on_serving(node, core.view().replicas.at(0), effects);
    coordinator_->push(core.view());
  };
  ToyClient client(gateway->client());
  const ReplicaGeneration first = place();
  serve_it(first);
  ASSERT_TRUE(await_serving(*gateway, 1));
  client.submit(toy_submission(1, 9, 6));
  ASSERT_TRUE(leader->await_open(1));
  step(*leader, client, 1, 2);
  core.on_lost(node, {first, routing::LossCause::kKilled, {StatusCode::kAborted, "rank 1 was killed"}, std::nullopt}, effects);
  ASSERT_EQ(core.view().replicas.at(0).state, ReplicaState::kLost);
  coordinator_->push(core.view());
  const auto is_lost = [](const ClusterStatus& status) {
    return !status.view.replicas.empty() && status.view.replicas.at(0).state == ReplicaState::kLost;
  };
  ASSERT_TRUE(gateway->await_status(is_lost, link::kLong));
  serve_it(place());
  ASSERT_TRUE(leader->await_open(1));
  step(*leader, client, 1, 6);
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(leader->connections(), 1U);
}

TEST_F(GatewayProcessTest, AViewThatIsNotNewerCutsNoConnection) {
  auto leader = make_leader("a");
  auto gateway = make_gateway("g", 5);
  const routing::ClusterView older = view_of({});
  serve({leader.get()});
  ASSERT_TRUE(await_serving(*gateway, 1));
  ToyClient client(gateway->client());
  client.submit(toy_submission(1, 9, 4));
  ASSERT_TRUE(leader->await_open(1));
  coordinator_->push(older);
  auto newer = view_of({leader.get()});
  newer.replicas.at(0).sequences_max = 63;
  coordinator_->push(newer);
  const auto has_newer = [&](const ClusterStatus& status) { return status.view.number == newer.number; };
  ASSERT_TRUE(gateway->await_status(has_newer, link::kLong));
  step(*leader, client, 1, 4);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(leader->joins(), 1U);
}

// As one whose process is new: the view is of the one before.
TEST_F(GatewayProcessTest, AGenerationThatItsLeaderHasNotNamedIsSentNothing) {
  auto a = make_leader("a"), b = make_leader("b");
  auto gateway = make_gateway("g", 5);
  b->serve(generation(1));
  coordinator_->push(view_of({a.get(), b.get()}));
  ASSERT_TRUE(await_serving(*gateway, 1));
  ASSERT_TRUE(a->await([&] { return a->joined(); }));
  ToyClient client(gateway->client());
  for (std::uint64_t id = 1; id <= 2; ++id) client.submit(toy_submission(id, 9, 4));
  ASSERT_TRUE(b->await_open(2));
  for (int i = 0; i < 4; ++i) b->step();
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_TRUE(a->submissions().empty());
  EXPECT_EQ(gateway->client().status()->ledger.moves, 0U);
  a->serve(generation(0));
  ASSERT_TRUE(await_serving(*gateway, 2));
}

TEST(GatewayProcessConfig, ACoordinatorHasAHostAndAPort) {
  processes::GatewayProcessConfig config;
  config.hello.cluster = "test";
  config.hello.node = "g";
  config.hello.incarnation = 1;
  config.coordinator_address = "127.0.0.1";
  const auto refused = GatewayProcess::start(std::move(config));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), StatusCode::kUsage);
  EXPECT_NE(refused.error().message().find("'127.0.0.1'"), std::string::npos);
}

}  // namespace
}  // namespace herd::actors
