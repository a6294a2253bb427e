// A replica of two `herd rank` processes, whose node and gateway this test plays: they form generations, serve the bytes that one
// process does, and survive what happens to the other.

#include "actors/processes/rank_process.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "actors/client/delta_queue.h"
#include "actors/engine.h"
#include "actors/ranks/shared_group.h"
#include "cluster/membership/node_messages.h"
#include "cluster/placement/replica_plan.h"
#include "cluster/replica/group_messages.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/membership_codec.h"
#include "runtime/shard/numerics_id.h"
#include "tests/actors/processes/rank_child.h"

namespace herd::actors {
namespace {

using routing::LossCause;
using wire::FrameKind;

constexpr char kModel[] = "config/demo_model";
constexpr std::uint32_t kRanks = 2;
const GatewayId kGateway{77};

struct Model {
  placement::ShardedModel sharded;
  placement::ReplicaPlan plan;
};
Model plan_model() {
  model::ModelFiles files;
  files.path = kModel;
  const auto opened = model::open_model(files).value();
  Model made;
  made.sharded = {opened.config(), placement::choose_encoding({opened.own_encoding(), opened.is_gguf(), "", false}).value().encoding,
                  placement::plan_shards(opened.config(), kRanks).value()};
  placement::ReplicaWishes wishes;
  wishes.max_model_len = 512;
  wishes.num_blocks = 128;
  wishes.scheduler.max_num_seqs = 8;
  wishes.scheduler.max_num_batched_tokens = 64;
  made.plan = placement::plan_replicas(made.sharded, wishes, {}, placement::StepSpeed::kCpu).value();
  return made;
}

step::Submission request(std::uint64_t sequence, std::uint32_t tokens) {
  step::Submission submission;
  submission.gateway = kGateway;
  submission.sequence = SequenceId(sequence);
  for (TokenId token = 0; token < 20; ++token) submission.tokens.push_back(40 + 3 * token + static_cast<TokenId>(sequence));
  submission.prompt_tokens = 20;
  submission.max_tokens = tokens;
  submission.sampling.ignore_eos = true;
  return submission;
}

// The node of one replica.
class TestNode {
 public:
  TestNode() {
    link::LinkHostConfig config = link::host_config(handshake::Role::kNode, kTestNode, {}, trouble_);
    config.limits.silence_min_s = config.limits.silence_max_s = 60;  // test machines are slow
    host_ = link::LinkHost::start(std::move(config)).value();
    for (std::uint32_t rank = 0; rank < kRanks; ++rank) start(rank);
    for (std::uint32_t rank = 0; rank < kRanks; ++rank) await_ready(rank);
  }

  [[nodiscard]] placement::RankSpec spec(std::uint32_t rank) const {
    placement::RankSpec spec;
    spec.replica = ReplicaId(3);
    spec.rank = rank;
    spec.ranks = kRanks;
    spec.model.path = kModel;
    spec.weights = model_.sharded.encoding.weights;
    spec.shape = model_.plan.rank;
    return spec;
  }
  void start(std::uint32_t rank) { ranks_[rank] = std::make_unique<RankChild>(*host_, *page_, spec(rank)); }
  void await_ready(std::uint32_t rank) {
    ready_[rank] = wire::decode_rank_ready(ranks_[rank]->hear(FrameKind::kRankReady).frame.words).value();
    EXPECT_TRUE(ready_[rank].status.ok()) << ready_[rank].status.message();
  }
  RankChild& rank(std::uint32_t rank) { return *ranks_[rank]; }
  [[nodiscard]] const replica::RankReadyNote& ready(std::uint32_t rank) const { return ready_[rank]; }
  [[nodiscard]] const Model& model() const { return model_; }
  [[nodiscard]] const SharedGroup& group() const { return *group_; }
  [[nodiscard]] static routing::ReplicaGeneration generation(std::uint64_t epoch) { return {ReplicaId(3), Epoch(epoch)}; }
  [[nodiscard]] bool leader_opened() { return ranks_[0]->record.opened(); }

  void form(std::uint64_t epoch) {
    const std::string name = "replica-3/epoch-" + std::to_string(epoch);
    group_ = SharedGroup::create(kRanks, {.deadline_ms = model_.plan.rank.step_timeout.count()}).value();
    for (const auto& rank : ranks_) rank->hand(name, group_->descriptor());
    auto pair = children::link_socket_pair().value();
    ranks_[0]->hand(name + "/1", pair.first.get());
    ranks_[1]->hand(name + "/leader", pair.second.get());
    replica::FormReplica order;
    order.view.route = {generation(epoch), ready_[0].address, "numerics"};
    order.view.sequences_max = 8;
    order.view.max_model_len = 512;
    order.ranks = kRanks;
    order.rendezvous = name;
    order.scheduler = model_.plan.scheduler;
    order.rates = scheduler::slower_of(ready_[0].rates, ready_[1].rates);
    ranks_[0]->say(wire::encode(order), generation(epoch));
  }
  void await_serving(std::uint64_t epoch) {
    const auto frame = ranks_[0]->hear(FrameKind::kServing);
    EXPECT_EQ(frame.header.replica, generation(epoch));
  }
  routing::ReplicaLoss await_ended(std::uint64_t epoch) {
    const auto frame = ranks_[0]->hear(FrameKind::kGenerationEnded);
    EXPECT_EQ(frame.header.replica, generation(epoch));
    return wire::decode_generation_ended(frame.frame.words).value().loss;
  }
  void leave(std::uint32_t rank, std::uint64_t epoch) {
    ranks_[rank]->say(wire::encode(replica::LeaveGroupOrder{Epoch(epoch)}), generation(epoch));
    const auto frame = ranks_[rank]->hear(FrameKind::kRankLeft);
    EXPECT_EQ(wire::decode_rank_left(frame.frame.words).value().epoch, Epoch(epoch));
  }
  // As a node hears of it by its pidfd.
  void tell_of_death(std::uint32_t dead, std::uint64_t epoch) {
    const Status why{StatusCode::kAborted, "rank " + std::to_string(dead) + " was killed by signal 9 (SIGKILL)"};
    ranks_[0]->say(wire::encode(replica::RankEnded{dead, {LossCause::kKilled, why}}), generation(epoch));
  }

 private:
  const Model model_ = plan_model();
  link::Record trouble_;
  std::unique_ptr<link::LinkHost> host_;
  const std::shared_ptr<ProgressPage> page_ = ProgressPage::create().value();
  std::shared_ptr<SharedGroup> group_;
  std::unique_ptr<RankChild> ranks_[kRanks];
  replica::RankReadyNote ready_[kRanks];
};

// A gateway with one connection to a leader.
class TestGateway {
 public:
  explicit TestGateway(const std::string& address, GatewayId id = kGateway) {
    link::LinkHostConfig config = link::host_config(handshake::Role::kGateway, "g", {}, record_);
    config.mine.incarnation = id.value;
    host_ = link::LinkHost::start(std::move(config)).value();
    const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    dial_ = host_->dial("127.0.0.1", port, link::kRanks, record_.opener());
    EXPECT_TRUE(record_.opened()) << record_.lines();
    say(wire::encode(routing::GatewayJoin{id, {}, 0}), {});
  }
  void say(const wire::Frame& frame, routing::ReplicaGeneration about) {
    EXPECT_TRUE(record_.link()->send(frame, Epoch(), about).ok());
  }
  void submit(const step::Submission& submission, std::uint64_t epoch) { say(wire::encode(submission), TestNode::generation(epoch)); }

  // The next delta; nothing when the generation was lost first, of which loss() tells.
  std::optional<step::TokenDelta> next() {
    for (;;) {
      if (!deltas_.empty()) {
        step::TokenDelta delta = std::move(deltas_.front());
        deltas_.erase(deltas_.begin());
        return delta;
      }
      if (!record_.frames(heard_ + 1)) {
        ADD_FAILURE() << "the leader says nothing more: " << record_.lines();
        return std::nullopt;
      }
      const wire::OpenedFrame frame = record_.frame(heard_++);
      if (frame.header.kind == FrameKind::kTokenDeltas) deltas_ = wire::decode_token_deltas(frame.frame.words).value();
      if (frame.header.kind == FrameKind::kReplicaReport) {
        ++reports_;
        draining_ |= wire::decode_replica_report(frame.frame.words).value().draining;
      }
      if (frame.header.kind == FrameKind::kReplicaLoss) {
        const auto loss = wire::decode_replica_loss(frame.frame.words).value();
        if (loss_ == loss) continue;  // who joined behind the end would have heard it only now
        loss_ = loss;
        return std::nullopt;
      }
    }
  }
  // Tokens until the sequence ends, the generation is lost, or there are `count`.
  std::vector<TokenId> read(std::size_t count = SIZE_MAX) {
    std::vector<TokenId> tokens;
    while (tokens.size() < count) {
      const auto delta = next();
      if (!delta) break;
      if (delta->has_token) tokens.push_back(delta->token.token);
      finish_ = delta->finish;
      if (finish_ != step::FinishReason::kNone) break;
    }
    return tokens;
  }
  [[nodiscard]] step::FinishReason finish() const { return finish_; }
  [[nodiscard]] const std::optional<routing::ReplicaLoss>& loss() const { return loss_; }
  [[nodiscard]] int reports() const { return reports_; }
  [[nodiscard]] bool draining() const { return draining_; }  // as the leader has said
  link::Record& record() { return record_; }

 private:
  link::Record record_;
  std::unique_ptr<link::LinkHost> host_;
  std::unique_ptr<link::Dial> dial_;
  std::size_t heard_ = 0;
  std::vector<step::TokenDelta> deltas_;
  step::FinishReason finish_ = step::FinishReason::kNone;
  std::optional<routing::ReplicaLoss> loss_;
  int reports_ = 0;
  bool draining_ = false;
};

// What one process with one rank makes of it.
class Reference {
 public:
  Reference() {
    EngineOptions options;
    options.model.path = kModel;
    options.threads = 1;
    options.max_model_len = 512;
    options.num_blocks = 128;
    engine_ = Engine::start(std::move(options)).value();
  }
  std::vector<TokenId> tokens(const step::Submission& submission) {
    DeltaQueue queue(engine_->cluster().client(), 4096);
    queue.submit(RequestId(++requests_), submission);
    std::vector<TokenId> tokens;
    for (;;) {
      const auto heard = queue.next(link::kLong);
      if (!heard || heard->end() != nullptr) return tokens;
      if (heard->delta()->has_token) tokens.push_back(heard->delta()->token.token);
    }
  }
  Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<Engine> engine_;
  std::uint64_t requests_ = 0;
};

// The answer's head and body.
std::string http_get(const std::string& address, const std::string& path) {
  const std::size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
  EXPECT_EQ(::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr), 1);
  const children::OwnedFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return "nobody there";
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  char bytes[4096];
  for (ssize_t got; (got = ::recv(socket.get(), bytes, sizeof bytes, 0)) > 0;) answer.append(bytes, static_cast<std::size_t>(got));
  return answer;
}

step::Submission continued(step::Submission submission, const std::vector<TokenId>& had) {
  submission.tokens.insert(submission.tokens.end(), had.begin(), had.end());
  ++submission.attempt;
  return submission;
}

std::vector<TokenId> operator+(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(RankProcess, TwoServeTheTokensOfOneAndDigestTheSameWeights) {
  Reference reference;
  TestNode node;
  const auto weights = model::join(std::vector{node.ready(0).weights, node.ready(1).weights});
  ASSERT_TRUE(weights.has_value());
  const auto id = shard::numerics_id({node.ready(0).numerics_class, &node.model().sharded.config, node.model().sharded.encoding, *weights});
  EXPECT_EQ(id, reference.engine().numerics_id().value());
  EXPECT_EQ(node.ready(1).address, "") << "the first rank takes gateways";

  TestGateway early(node.ready(0).address);  // before there is a generation
  node.form(5);
  node.await_serving(5);
  const step::Submission asked = request(1, 40);
  early.submit(asked, 5);
  EXPECT_EQ(early.read(), reference.tokens(asked));
  EXPECT_EQ(early.finish(), step::FinishReason::kLength);
  EXPECT_GT(early.reports(), 0);

  // Another gateway beside it, sampled; its own words only.
  TestGateway late(node.ready(0).address, GatewayId(78));
  step::Submission sampled = request(2, 30);
  sampled.gateway = GatewayId(78);
  sampled.sampling.temperature = 0.8F;
  sampled.sampling.seed = 11;
  late.submit(sampled, 5);
  EXPECT_EQ(late.read(), reference.tokens(sampled));
  late.submit(request(3, 5), 5);  // in the name of the first
  EXPECT_TRUE(late.record().told("speaks for another one")) << late.record().lines();
}

TEST(RankProcess, AKilledPeerEndsTheGenerationAndTheSurvivorFormsTheNext) {
  Reference reference;
  TestNode node;
  node.form(5);
  node.await_serving(5);
  TestGateway gateway(node.ready(0).address);
  const step::Submission asked = request(1, 200);
  gateway.submit(asked, 5);
  std::vector<TokenId> tokens = gateway.read(10);
  node.rank(1).kill();
  node.tell_of_death(1, 5);
  tokens = tokens + gateway.read();
  ASSERT_TRUE(gateway.loss().has_value());
  EXPECT_LT(tokens.size(), 200U) << "it was struck in the middle";

  const routing::ReplicaLoss loss = node.await_ended(5);
  EXPECT_EQ(loss.cause, LossCause::kKilled);
  EXPECT_EQ(loss.blamed, std::vector<std::uint32_t>{1});
  EXPECT_NE(loss.why.message().find("killed by signal 9"), std::string::npos) << loss.why.message();
  node.leave(0, 5);
  node.start(1);
  node.await_ready(1);
  node.form(6);
  node.await_serving(6);
  gateway.submit(continued(asked, tokens), 6);  // on the connection that it has
  EXPECT_EQ(tokens + gateway.read(), reference.tokens(asked));
}

TEST(RankProcess, SaysOverHttpWhatItIsReadyForAndWhatItDoes) {
  TestNode node;
  const auto get = [&](std::uint32_t rank, const char* path) { return http_get(node.ready(rank).metrics_address, path); };
  EXPECT_NE(get(0, "/ready").find("its replica does not serve"), std::string::npos);
  EXPECT_TRUE(get(1, "/ready").starts_with("HTTP/1.1 200"));
  node.form(5);
  node.await_serving(5);
  TestGateway gateway(node.ready(0).address);
  gateway.submit(request(1, 40), 5);
  EXPECT_EQ(gateway.read().size(), 40U);
  EXPECT_TRUE(get(0, "/ready").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get(0, "/live").starts_with("HTTP/1.1 200"));
  const std::string metrics = get(0, "/metrics");
  EXPECT_NE(metrics.find("vllm:generation_tokens_total{engine=\"3\",model_name=\"a-name\"} 40"), std::string::npos) << metrics;
  EXPECT_EQ(get(1, "/metrics").find("vllm:generation_tokens_total"), std::string::npos) << "one process speaks for a replica";
}

// Nobody but the leader's end of the connection says so.
TEST(RankProcess, ALeaderNeedsNoNodeToNoticeADeadPeer) {
  TestNode node;
  node.form(5);
  node.await_serving(5);
  node.rank(1).kill();
  const routing::ReplicaLoss loss = node.await_ended(5);
  EXPECT_EQ(loss.cause, LossCause::kKilled);
  EXPECT_EQ(loss.blamed, std::vector<std::uint32_t>{1});
  EXPECT_NE(loss.why.message().find("the connection with rank 1 ended: "), std::string::npos) << loss.why.message();
}

TEST(RankProcess, AKilledLeaderLeavesItsPeerFreeForTheNextEpoch) {
  Reference reference;
  TestNode node;
  node.form(5);
  node.await_serving(5);
  {
    TestGateway gateway(node.ready(0).address);
    gateway.submit(request(1, 400), 5);
    (void)gateway.read(5);
    node.rank(0).kill();
    EXPECT_TRUE(gateway.record().closed()) << "a gateway sees its connection end";
  }
  node.leave(1, 5);
  node.start(0);
  node.await_ready(0);
  node.form(6);
  node.await_serving(6);
  TestGateway gateway(node.ready(0).address);
  gateway.submit(request(1, 40), 6);
  EXPECT_EQ(gateway.read(), reference.tokens(request(1, 40)));
}

TEST(RankProcess, AnyProcessThatMapsTheGroupGivesItUpForAll) {
  Reference reference;
  TestNode node;
  node.form(5);
  node.await_serving(5);
  TestGateway gateway(node.ready(0).address);
  const step::Submission asked = request(1, 400);
  gateway.submit(asked, 5);
  std::vector<TokenId> tokens = gateway.read(5);
  node.group().abort("the node wants it back");
  tokens = tokens + gateway.read();
  const routing::ReplicaLoss loss = node.await_ended(5);
  EXPECT_NE(loss.why.message().find("the node wants it back"), std::string::npos) << loss.why.message();
  for (std::uint32_t rank = 0; rank < kRanks; ++rank) node.leave(rank, 5);
  node.form(6);
  node.await_serving(6);
  gateway.submit(continued(asked, tokens), 6);
  EXPECT_EQ(tokens + gateway.read(), reference.tokens(asked));
}

TEST(RankProcess, AGenerationThatIsOverIsAnsweredWithItsLoss) {
  TestNode node;
  node.form(5);
  node.await_serving(5);
  node.rank(0).say(wire::encode(replica::StopReplicaOrder{}), TestNode::generation(5));
  EXPECT_EQ(node.await_ended(5).cause, LossCause::kStopped);
  for (std::uint32_t rank = 0; rank < kRanks; ++rank) node.leave(rank, 5);
  TestGateway gateway(node.ready(0).address);
  gateway.submit(request(1, 5), 5);
  EXPECT_FALSE(gateway.next().has_value());
  ASSERT_TRUE(gateway.loss().has_value());
  EXPECT_EQ(gateway.loss()->replica, TestNode::generation(5));
  // An epoch that is not newer is none.
  node.form(5);
  EXPECT_NE(node.await_ended(5).why.message().find("not newer"), std::string::npos);
}

TEST(RankProcess, AGatewayThatJoinsAgainHasTheNewConnectionOnly) {
  Reference reference;
  TestNode node;
  node.form(5);
  node.await_serving(5);
  TestGateway first(node.ready(0).address);
  first.submit(request(1, 400), 5);
  EXPECT_EQ(first.read(3).size(), 3U);
  TestGateway again(node.ready(0).address);
  EXPECT_TRUE(first.record().told("joined again on another connection")) << first.record().lines();
  again.submit(request(1, 40), 5);  // the same attempt: the old one's is gone
  EXPECT_EQ(again.read(), reference.tokens(request(1, 40)));
}

// Either of them asks its node, which has the leader drain: what runs there finishes, and it takes nothing new.
TEST(RankProcess, ToldToEndItAsksItsNodeToDrainAndStreamsFinish) {
  Reference reference;
  for (std::uint32_t told = 0; told < kRanks; ++told) {
    TestNode node;
    node.form(5);
    node.await_serving(5);
    TestGateway gateway(node.ready(0).address);
    gateway.submit(request(1, 200), 5);
    std::vector<TokenId> tokens = gateway.read(3);
    node.rank(told).signal(SIGTERM);
    (void)node.rank(told).hear(FrameKind::kStopReplica);
    node.rank(0).say(wire::encode(replica::StopReplicaOrder{3600}), TestNode::generation(5));
    while (!gateway.draining() && gateway.finish() == step::FinishReason::kNone) tokens = tokens + gateway.read(1);
    TestGateway late(node.ready(0).address, GatewayId(78));
    step::Submission refused = request(2, 5);
    refused.gateway = GatewayId(78);
    late.submit(refused, 5);
    (void)late.read();
    EXPECT_TRUE(late.draining() || late.loss()) << "it is told as soon as it joins";
    EXPECT_TRUE(late.finish() == step::FinishReason::kRefused || late.loss());
    tokens = tokens + gateway.read();
    EXPECT_EQ(tokens, reference.tokens(request(1, 200)));
    EXPECT_EQ(node.await_ended(5).cause, LossCause::kStopped);
    for (std::uint32_t rank = 0; rank < kRanks; ++rank) node.leave(rank, 5);
    for (std::uint32_t rank = 0; rank < kRanks; ++rank) {
      node.rank(rank).record.link()->finish({StatusCode::kAborted, "the node ends this rank"});
      EXPECT_EQ(node.rank(rank).exit_code(), 0);
    }
  }
}

TEST(RankProcess, WhatHasNotFinishedWhenTheDrainIsOverGoesWithTheGeneration) {
  Reference reference;
  TestNode node;
  node.form(5);
  node.await_serving(5);
  TestGateway gateway(node.ready(0).address);
  const step::Submission asked = request(1, 400);
  gateway.submit(asked, 5);
  std::vector<TokenId> tokens = gateway.read(3);
  node.rank(0).say(wire::encode(replica::StopReplicaOrder{3600}), TestNode::generation(5));
  node.rank(0).say(wire::encode(replica::StopReplicaOrder{0}), TestNode::generation(5));
  tokens = tokens + gateway.read();
  ASSERT_TRUE(gateway.loss().has_value());
  EXPECT_EQ(gateway.loss()->cause, LossCause::kStopped);
  EXPECT_LT(tokens.size(), 400U);
  for (std::uint32_t rank = 0; rank < kRanks; ++rank) node.leave(rank, 5);
  node.form(6);
  node.await_serving(6);
  gateway.submit(continued(asked, tokens), 6);
  EXPECT_EQ(tokens + gateway.read(), reference.tokens(asked));
}

// Memory may end anywhere, not only where a rank computes.
TEST(RankProcess, OneThatHasNoMemoryIsMissingIt) {
  link::Record record;
  const auto host = link::LinkHost::start(link::host_config(handshake::Role::kNode, kTestNode, {}, record)).value();
  const auto page = ProgressPage::create().value();
  auto link = children::link_socket_pair().value();
  auto descriptors = children::descriptor_socket_pair().value();
  observability::EventLog log(observability::LogFormat::kText, observability::LogLevel::kError);
  RankProcessConfig config;
  config.cluster = kTestCluster;
  config.node = kTestNode;
  config.replica = ReplicaId(3);
  config.rank = 1;
  config.link_fd = link.second.release();
  config.descriptors_fd = descriptors.second.release();
  config.progress_fd = ::dup(page->descriptor());
  config.incarnation = 9;
  config.log = &log;
  config.on_spec = [](const placement::RankSpec&) { throw std::bad_alloc(); };
  const auto process = RankProcess::start(std::move(config)).value();
  ASSERT_TRUE(host->adopt(link.first.release(), {{handshake::Role::kRank, kTestNode}}, record.opener()).ok());
  ASSERT_TRUE(record.opened());
  placement::RankSpec spec;
  spec.replica = ReplicaId(3);
  spec.rank = 1;
  spec.ranks = kRanks;
  spec.model.path = kModel;
  spec.shape = plan_model().plan.rank;
  ASSERT_TRUE(record.link()->send(wire::encode(spec), Epoch(), {}).ok());
  EXPECT_EQ(process->run().code(), StatusCode::kMissing);
  ASSERT_TRUE(record.frames(1));
  EXPECT_EQ(wire::decode_rank_ready(record.frame(0).frame.words).value().status.code(), StatusCode::kMissing);
}

struct Wrong {
  const char* what;
  void (*spoil)(placement::RankSpec&);
  StatusCode code;
  int exit_code;
};
class RankProcessRefuses : public testing::TestWithParam<Wrong> {};
TEST_P(RankProcessRefuses, WhatItCannotBe) {
  link::Record trouble;
  const auto host = link::LinkHost::start(link::host_config(handshake::Role::kNode, kTestNode, {}, trouble)).value();
  const auto page = ProgressPage::create().value();
  placement::RankSpec spec;
  spec.ranks = kRanks;
  spec.rank = 1;
  spec.model.path = kModel;
  spec.shape = plan_model().plan.rank;
  placement::RankSpec wrong = spec;
  GetParam().spoil(wrong);
  RankChild rank(*host, *page, wrong, spec.rank);
  const auto ready = wire::decode_rank_ready(rank.hear(FrameKind::kRankReady).frame.words).value();
  ASSERT_EQ(ready.status.code(), GetParam().code) << ready.status.message();
  EXPECT_EQ(rank.exit_code(), GetParam().exit_code);
}
INSTANTIATE_TEST_SUITE_P(
    Each, RankProcessRefuses,
    testing::Values(
        Wrong{"another rank", [](placement::RankSpec& spec) { spec.rank = 0; }, StatusCode::kBadInput, 3},
        Wrong{"no such model", [](placement::RankSpec& spec) { spec.model.path = "/nowhere/model"; }, StatusCode::kMissing, 4},
        Wrong{"too much memory", [](placement::RankSpec& spec) { spec.shape.blocks = std::int64_t{1} << 31; }, StatusCode::kMissing, 4},
        Wrong{"a GPU", [](placement::RankSpec& spec) { spec.device.on_gpu = true; }, StatusCode::kUsage, 2}),
    [](const testing::TestParamInfo<Wrong>& wrong) {
      std::string name = wrong.param.what;
      std::ranges::replace(name, ' ', '_');
      return name;
    });

}  // namespace
}  // namespace herd::actors
