#include "actors/processes/coordinator_process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "actors/processes/operator_client.h"
#include "cluster/config/setting_table.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/report_codec.h"
#include "tests/actors/processes/played_peer.h"

namespace herd::processes {
namespace {

using handshake::Role;
using link::kLong;
using routing::ReplicaGeneration;
using routing::ReplicaState;
using wire::FrameKind;

constexpr const char* kNumerics = "cpu-2/bfloat16/bfloat16/aa";

// Whether it comes to that.
template <class Holds>
bool eventually(Holds holds) {
  const auto until = std::chrono::steady_clock::now() + kLong;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// One node, one replica, one gateway.
config::ClusterSpec small_cluster(std::uint16_t port = 0) {
  config::ClusterSpec spec;
  spec.name = "test";
  spec.coordinators = {{.name = "k", .address = "127.0.0.1:" + std::to_string(port), .metrics_port = 0}};
  spec.nodes.emplace_back().name = "a";
  spec.gateways.emplace_back().name = "g";
  spec.gateways.back().node = "a";
  return spec;
}

Expected<report::ClusterStatusReport> ask_status(const config::ClusterSpec& spec, std::chrono::milliseconds patience) {
  auto client = OperatorClient::start(spec, 9);
  if (!client) return fail(client.error());
  return (*client)->ask(patience);
}

struct CoordinatorProcessTest : testing::Test {
  std::unique_ptr<CoordinatorProcess> start(const config::ClusterSpec& spec, std::uint64_t wall_ms = 1000) {
    auto started = try_start(spec, wall_ms);
    EXPECT_TRUE(started) << started.error().message();
    return std::move(started.value());
  }
  Expected<std::unique_ptr<CoordinatorProcess>> try_start(const config::ClusterSpec& spec, std::uint64_t wall_ms = 1000) {
    CoordinatorConfig config;
    config.spec = spec;
    config.name = "k";
    config.incarnation = 5;
    config.wall_ms = Epoch(wall_ms);
    config.mine.pid = 42;
    config.on_note = [this](const membership::MembershipNote& note) {
      const std::scoped_lock lock(mutex);
      notes.push_back(note);
    };
    return CoordinatorProcess::start(std::move(config));
  }
  // About whom such notes were.
  std::vector<std::string> noted(const std::string& event) {
    const std::scoped_lock lock(mutex);
    std::vector<std::string> peers;
    for (const auto& note : notes)
      if (note.event == event) peers.push_back(note.peer);
    return peers;
  }
  static report::ClusterStatusReport status(config::ClusterSpec spec, std::uint16_t port) {
    spec.coordinators[0].address = "127.0.0.1:" + std::to_string(port);
    auto answer = ask_status(spec, kLong);
    EXPECT_TRUE(answer) << answer.error().message();
    return answer.value_or(report::ClusterStatusReport{});
  }
  static ReplicaGeneration placed(PlayedPeer& node) {
    node.send(wire::encode(membership::PlaceAsk{ReplicaId(0), "127.0.0.1:7001", kNumerics, 8, 512}));
    const auto frame = node.next(FrameKind::kPlaced);
    const auto placed = wire::decode_placed(frame.frame.words);
    EXPECT_EQ(frame.header.replica, placed->view.route.generation);
    EXPECT_NE(frame.header.cluster_epoch, Epoch(0));
    return placed->view.route.generation;
  }
  static routing::ReplicaView serving(ReplicaGeneration generation) {
    return {{generation, "127.0.0.1:7001", kNumerics}, ReplicaState::kServing, true, 8, 512};
  }
  static routing::ClusterView view(PlayedPeer& gateway) {
    return wire::decode_cluster_view(gateway.next(FrameKind::kClusterView).frame.words).value();
  }
  // The first view in which the replica is in that state.
  static routing::ClusterView view_with(PlayedPeer& gateway, ReplicaState state) {
    for (;;)
      if (auto seen = view(gateway); seen.replicas.at(0).state == state) return seen;
  }

  std::mutex mutex;
  std::vector<membership::MembershipNote> notes;
};

TEST_F(CoordinatorProcessTest, AReplicaIsAssignedPlacedServesAndIsLost) {
  const auto spec = small_cluster();
  const auto coordinator = start(spec);
  PlayedPeer gateway(Role::kGateway, "g", coordinator->port());
  gateway.send(wire::encode(routing::GatewayJoin{GatewayId(7), {}, 0}));
  PlayedPeer node(Role::kNode, "a", coordinator->port());
  node.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
  EXPECT_EQ(wire::decode_assignment(node.next(FrameKind::kAssignment).frame.words), membership::Assignment{{ReplicaId(0)}});
  const ReplicaGeneration generation = placed(node);
  node.send(wire::encode(membership::Serving{serving(generation)}));
  EXPECT_EQ(view_with(gateway, ReplicaState::kServing).replicas[0], serving(generation));
  EXPECT_TRUE(coordinator->is_settled());

  const routing::ReplicaLoss loss{generation, routing::LossCause::kKilled, {StatusCode::kAborted, "rank 1 died"}, std::nullopt};
  node.send(wire::encode(loss), generation);
  EXPECT_EQ(wire::decode_replica_loss(gateway.next(FrameKind::kReplicaLoss).frame.words), loss);
  EXPECT_EQ(view_with(gateway, ReplicaState::kLost).replicas[0].route.generation, generation);
  const auto shown = status(spec, coordinator->port());
  ASSERT_EQ(shown.replicas.size(), 1U);
  EXPECT_EQ(shown.replicas[0].condition, report::ReplicaCondition::kReforming);
  EXPECT_EQ(shown.replicas[0].why, "rank 1 died");
  EXPECT_EQ(shown.replicas[0].node, "a");
}

TEST_F(CoordinatorProcessTest, TheStatusShowsWhatProcessesSayOfThemselves) {
  const auto spec = small_cluster();
  const auto coordinator = start(spec);
  const auto line = [](Role role, const std::string& name, std::int64_t pid) {
    report::ProcessReport said;
    said.role = role;
    said.name = name;
    said.node = "a";
    said.pid = pid;
    said.state = report::ProcessState::kServing;
    return said;
  };
  const report::ProcessReports said{{line(Role::kNode, "a", 11), line(Role::kRank, "replica-0/rank-0", 12)}};
  {
    PlayedPeer node(Role::kNode, "a", coordinator->port());
    node.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
    node.send(wire::encode(said));
    (void)node.next(FrameKind::kAssignment);
    (void)placed(node);  // after the report, in its order
    const auto shown = status(spec, coordinator->port());
    ASSERT_EQ(shown.processes.size(), 4U);
    EXPECT_EQ(shown.cluster, "test");
    EXPECT_EQ(shown.processes[0].name, "k");
    EXPECT_EQ(shown.processes[0].pid, 42);
    EXPECT_EQ(shown.processes[0].state, report::ProcessState::kServing);
    EXPECT_GE(shown.processes[0].epoch, 1000U);
    EXPECT_EQ(shown.processes[1], said.processes[0]);
    EXPECT_EQ(shown.processes[2], said.processes[1]);
    EXPECT_EQ(shown.processes[3].name, "g");
    EXPECT_EQ(shown.processes[3].state, report::ProcessState::kStopped);
  }
  EXPECT_TRUE(eventually([&] { return coordinator->facts().cluster.processes[1].state == report::ProcessState::kFailed; }));
  EXPECT_EQ(status(spec, coordinator->port()).processes[2].state, report::ProcessState::kFailed);
}

TEST_F(CoordinatorProcessTest, GatewaysShareALimit) {
  auto spec = small_cluster();
  spec.gateways.push_back(spec.gateways.back());
  spec.gateways.back().name = "h";
  const auto coordinator = start(spec);
  const auto shares_of = [](PlayedPeer& gateway) {
    return wire::decode_quota_shares(gateway.next(FrameKind::kQuotaShares).frame.words).value();
  };
  PlayedPeer first(Role::kGateway, "g", coordinator->port());
  first.send(wire::encode(routing::GatewayJoin{GatewayId(7), {}, 0}));
  EXPECT_EQ(shares_of(first), (routing::QuotaShares{.number = 0, .gateways = 2, .running = 0.5})) << "the other one may come";
  PlayedPeer second(Role::kGateway, "h", coordinator->port());
  second.send(wire::encode(routing::GatewayJoin{GatewayId(8), {}, 0}));
  EXPECT_EQ(shares_of(second).gateways, 2U);

  // What the second has and is not asked for goes to the first.
  const auto demand = [](std::uint64_t number, double asked, double held) {
    return routing::QuotaDemand{number, 1, 8, {{.tenant = 3, .requests = {asked, held}, .in_flight_max = 4}}};
  };
  first.send(wire::encode(demand(1, 50, 0)));
  while (shares_of(first).number != 1) {
  }
  const routing::QuotaShares news = shares_of(second);
  ASSERT_EQ(news.tenants.size(), 1U);
  EXPECT_EQ(news.tenants[0].requests, (routing::BucketShare{0.5, 0}));
  second.send(wire::encode(demand(1, 0, 30)));
  routing::QuotaShares given = shares_of(second);
  while (given.number != 1) given = shares_of(second);
  EXPECT_LT(given.tenants[0].requests.moved, -20);
  first.send(wire::encode(demand(2, 50, 0)));
  routing::QuotaShares taken = shares_of(first);
  while (taken.number != 2) taken = shares_of(first);
  EXPECT_GT(taken.tenants[0].requests.moved, 20);
  EXPECT_LE(taken.tenants[0].requests.moved, -given.tenants[0].requests.moved);
  EXPECT_GT(taken.tenants[0].requests.share, 0.5);
}

TEST_F(CoordinatorProcessTest, ItsPortIsTheLock) {
  const auto first = start(small_cluster());
  const auto second = try_start(small_cluster(first->port()));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), StatusCode::kMissing);
  EXPECT_NE(second.error().message().find("another coordinator of this cluster may be running"), std::string::npos)
      << second.error().message();
}

TEST_F(CoordinatorProcessTest, ANameThatIsNotInTheFileIsRefused) {
  auto spec = small_cluster();
  spec.coordinators[0].name = "other";
  const auto refused = try_start(spec);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), usage_error("the cluster file has no coordinator \"k\""));
}

TEST_F(CoordinatorProcessTest, AfterARestartWhatServesIsAdopted) {
  auto coordinator = start(small_cluster());
  const std::uint16_t port = coordinator->port();
  PlayedPeer gateway(Role::kGateway, "g", port);
  gateway.send(wire::encode(routing::GatewayJoin{GatewayId(7), {}, 0}));
  PlayedPeer node(Role::kNode, "a", port);
  node.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
  const ReplicaGeneration generation = placed(node);
  node.send(wire::encode(membership::Serving{serving(generation)}));
  const routing::ClusterView before = view_with(gateway, ReplicaState::kServing);

  coordinator.reset();
  EXPECT_TRUE(gateway.record.told("the coordinator stops"));
  coordinator = start(small_cluster(port), 900);  // its clock went back
  ASSERT_TRUE(gateway.record.opened(2));
  gateway.send(wire::encode(routing::GatewayJoin{GatewayId(7), before.cluster_epoch, before.number}));
  ASSERT_TRUE(node.record.opened(2));
  node.send(wire::encode(membership::NodeJoin{1, before.cluster_epoch, {ReplicaId(0)}, {serving(generation)}}));
  const routing::ClusterView after = view(gateway);
  EXPECT_GT(after.cluster_epoch, before.cluster_epoch);
  EXPECT_EQ(after.replicas, before.replicas);
  node.send(wire::encode(routing::ReplicaLoss{generation, routing::LossCause::kKilled, {StatusCode::kAborted, "x"}, std::nullopt}));
  EXPECT_GT(placed(node).epoch, generation.epoch);
}

TEST_F(CoordinatorProcessTest, StrangersAreToldWhyTheyAreRefused) {
  const auto coordinator = start(small_cluster());
  PlayedPeer node(Role::kNode, "a", coordinator->port(), {}, "text-1");
  ASSERT_TRUE(node.record.opened());
  PlayedPeer stranger(Role::kNode, "b", coordinator->port());
  EXPECT_TRUE(stranger.record.told("node \"b\" is not in the coordinator's cluster file"));
  PlayedPeer twin(Role::kNode, "a", coordinator->port(), {}, "text-1", 8);
  EXPECT_TRUE(twin.record.told("node \"a\" is here already, as another process"));
  PlayedPeer other_text(Role::kGateway, "g", coordinator->port(), {}, "text-2");
  EXPECT_TRUE(other_text.record.told("has tokenizer and chat template text-2, node \"a\" has text-1"));
  EXPECT_GE(coordinator->facts().membership.refusals, 3U);
  node.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
  (void)node.next(FrameKind::kAssignment);
}

TEST_F(CoordinatorProcessTest, AFrameThatBreaksItsFormatEndsItsConnectionOnly) {
  const auto coordinator = start(small_cluster());
  PlayedPeer gateway(Role::kGateway, "g", coordinator->port());
  gateway.send(wire::encode(routing::GatewayJoin{GatewayId(7), {}, 0}));
  PlayedPeer node(Role::kNode, "a", coordinator->port());
  node.send({FrameKind::kNodeJoin, {0x0000000100000000ULL, ~0ULL, ~0ULL}});
  EXPECT_TRUE(node.record.closed());
  ASSERT_TRUE(node.record.opened(2));
  node.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
  (void)node.next(FrameKind::kAssignment);
  (void)view(gateway);
}

TEST_F(CoordinatorProcessTest, WhoeverReportsOnOthersIsClosedAndLoggedOnce) {
  const auto coordinator = start(small_cluster());
  PlayedPeer gateway(Role::kGateway, "g", coordinator->port());
  report::ProcessReport other;
  other.role = Role::kGateway;
  other.name = "h";
  for (std::size_t connection = 1; connection <= 2; ++connection) {
    ASSERT_TRUE(gateway.record.opened(connection));
    for (int i = 0; i < 10 && gateway.record.link()->send(wire::encode(report::ProcessReports{{other}}), {}, {}).ok(); ++i) {}
    EXPECT_TRUE(gateway.record.told("it reports on processes of others"));
  }
  ASSERT_TRUE(gateway.record.opened(3));
  EXPECT_EQ(noted("peer refused"), std::vector<std::string>{"gateway \"g\""});
}

TEST_F(CoordinatorProcessTest, AnotherClusterFileIsWorthANote) {
  const auto spec = small_cluster();
  auto changed = spec;
  changed.scheduler.max_num_seqs += 1;
  const auto coordinator = start(spec);
  PlayedPeer same(Role::kNode, "a", coordinator->port(), {}, "", 7, config::settings_digest(spec));
  PlayedPeer other(Role::kGateway, "g", coordinator->port(), {}, "", 8, config::settings_digest(changed));
  ASSERT_TRUE(same.record.opened());
  same.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
  (void)same.next(FrameKind::kAssignment);
  EXPECT_TRUE(eventually([&] { return !noted("cluster files differ").empty(); }));
  EXPECT_EQ(noted("cluster files differ"), std::vector<std::string>{"g"});
}

TEST_F(CoordinatorProcessTest, OverTlsEverybodyIsKnownByCertificate) {
  const link::CertificateFolder folder;
  for (const auto& [role, name] : {std::pair(Role::kCoordinator, "k"), {Role::kNode, "a"}, {Role::kGateway, "g"}, {Role::kOperator, "operator"}})
    (void)folder.make(name, {role, name});
  auto spec = small_cluster();
  spec.tls = {folder.path() + "/ca.pem", folder.path() + "/{name}.pem", folder.path() + "/{name}.key"};
  const auto coordinator = start(spec);
  PlayedPeer node(Role::kNode, "a", coordinator->port(), folder.make("a2", {Role::kNode, "a"}));
  node.send(wire::encode(membership::NodeJoin{1, {}, {}, {}}));
  (void)node.next(FrameKind::kAssignment);
  EXPECT_EQ(status(spec, coordinator->port()).replicas.size(), 1U);
  PlayedPeer plain(Role::kGateway, "g", coordinator->port());
  PlayedPeer wrong(Role::kGateway, "g", coordinator->port(), [&] {
    const auto stranger = link::make_authority("other", {}).value();
    auto files = folder.put("w", link::make_certificate(stranger, {Role::kGateway, "g"}, {}).value());
    link::write_text(folder.path() + "/w.ca", stranger.certificate + folder.authority().certificate);
    files.authority = folder.path() + "/w.ca";
    return files;
  }());
  EXPECT_TRUE(eventually([&] { return coordinator->facts().links.refused >= 2; }));
  EXPECT_EQ(coordinator->facts().links.half_open, 0U);
}

TEST(OperatorClient, SaysWhatCameOfIt) {
  auto spec = small_cluster();
  {
    // A port that nobody listens on.
    const auto host = link::LinkHost::start([] {
      link::LinkHostConfig config;
      config.mine.cluster = "test";
      config.mine.node = "x";
      config.mine.incarnation = 1;
      return config;
    }());
    spec.coordinators[0].address = "127.0.0.1:" + std::to_string((*host)->listen("127.0.0.1", 0, {}, {}).value());
  }
  const auto answer = ask_status(spec, std::chrono::milliseconds(200));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), StatusCode::kMissing);
  EXPECT_NE(answer.error().message().find("coordinator \"k\" at " + spec.coordinators[0].address + " does not answer: "), std::string::npos)
      << answer.error().message();
  spec.coordinators.clear();
  EXPECT_EQ(ask_status(spec, kLong).error(), usage_error("the cluster file names no coordinator"));
}

}  // namespace
}  // namespace herd::processes
