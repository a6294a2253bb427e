// A leader's desk with gateways whose connections are the test's, and a replica that keeps what it is sent.

#include "actors/remote/gateway_proxy.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "tests/actors/link/link_ground.h"

namespace herd::actors {
namespace {

using routing::LossCause;
using routing::ReplicaGeneration;
using wire::FrameKind;

constexpr ReplicaGeneration epoch(std::uint64_t number) { return {ReplicaId(3), Epoch(number)}; }

// What the leader says on one connection, and the bytes that it has done with.
class TestLink final : public link::Link {
 public:
  Status send(const wire::Frame& frame, Epoch, ReplicaGeneration about) override {
    const std::scoped_lock lock(mutex_);
    said_.push_back({frame.kind, frame.words, about});
    changed_.notify_all();
    return {};
  }
  void consumed(std::size_t bytes) override {
    const std::scoped_lock lock(mutex_);
    consumed_ += bytes;
    changed_.notify_all();
  }
  void finish(const Status& why) override {
    const std::scoped_lock lock(mutex_);
    finished_ = why;
  }
  std::size_t queued_bytes() const override { return 0; }

  struct Said {
    FrameKind kind;
    wire::Words words;
    ReplicaGeneration about;
  };
  std::optional<Said> said(std::size_t index) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, link::kLong, [&] { return said_.size() > index; })) return std::nullopt;
    return said_[index];
  }
  bool has_consumed(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, link::kLong, [&] { return consumed_ >= bytes; });
  }
  std::size_t consumed() {
    const std::scoped_lock lock(mutex_);
    return consumed_;
  }
  Status finished() {
    const std::scoped_lock lock(mutex_);
    return finished_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Said> said_;
  std::size_t consumed_ = 0;
  Status finished_;
};

// What the replica was sent, and does not let go of.
struct Kept {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<RunSequence> runs;
  std::vector<StopSequence> stops;
  std::vector<GatewayJoined> joins;

  template <class Message>
  void keep(std::vector<Message>& list, const Message& message) {
    const std::scoped_lock lock(mutex);
    list.push_back(message);
    changed.notify_all();
  }
  bool await(std::size_t messages) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, link::kLong, [&] { return runs.size() + stops.size() + joins.size() >= messages; });
  }
  void let_go() {
    const std::scoped_lock lock(mutex);
    runs.clear(), stops.clear(), joins.clear();
  }
};

ReplicaHandle::behavior_type keeper(ReplicaHandle::pointer, std::shared_ptr<Kept> kept) {
  return {
      [kept](const GatewayJoined& joined) { kept->keep(kept->joins, joined); },
      [kept](const RunSequence& order) { kept->keep(kept->runs, order); },
      [kept](const StopSequence& order) { kept->keep(kept->stops, order); },
      [](const RankJoined&) {},
      [](const StepDone&) {},
      [](const WakeUp&) {},
      [](const Tick&) {},
      [](const StopReplica&) {},
      [](const BlockRead&) {},
      [](const MoveHeard&) {},
  };
}

// A connection of a gateway that has said hello.
struct Guest {
  Guest(GatewayDesk& desk, const std::string& name, std::uint64_t incarnation) : id(incarnation) {
    link::PeerOpened opened;
    opened.hello.role = handshake::Role::kGateway;
    opened.hello.node = name;
    opened.hello.incarnation = incarnation;
    owner = desk.opener()(link, opened);
  }
  ~Guest() { owner->on_closed({}); }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  // The bytes of it.
  std::size_t say(const wire::Frame& frame, ReplicaGeneration about = {}) const {
    wire::OpenedFrame opened;
    opened.header.kind = frame.kind;
    opened.header.replica = about;
    opened.frame = frame;
    owner->on_frame(opened);
    return frame.words.size() * sizeof(std::uint64_t);
  }
  std::size_t join() const { return say(wire::encode(routing::GatewayJoin{id, {}, 0})); }
  [[nodiscard]] step::Submission submission() const {
    step::Submission submission;
    submission.gateway = id;
    submission.sequence = SequenceId(1);
    submission.attempt = 2;
    submission.tokens = {1, 2, 3};
    submission.prompt_tokens = 3;
    submission.max_tokens = 4;
    return submission;
  }
  std::size_t submit(std::uint64_t number) const { return say(wire::encode(submission()), epoch(number)); }

  void expect_refusal(std::size_t index, std::uint64_t number) const {
    const auto said = link->said(index);
    ASSERT_TRUE(said) << "a submission is answered";
    ASSERT_EQ(said->kind, FrameKind::kTokenDeltas);
    EXPECT_EQ(said->about, epoch(number));
    const auto deltas = wire::decode_token_deltas(said->words).value();
    ASSERT_EQ(deltas.size(), 1U);
    EXPECT_EQ(deltas[0].key(), submission().key());
    EXPECT_EQ(deltas[0].finish, step::FinishReason::kRefused);
    EXPECT_EQ(deltas[0].error.code(), StatusCode::kAborted) << "so that it goes elsewhere";
  }
  void expect_loss(std::size_t index, const routing::ReplicaLoss& loss) const {
    const auto said = link->said(index);
    ASSERT_TRUE(said);
    ASSERT_EQ(said->kind, FrameKind::kReplicaLoss);
    EXPECT_EQ(said->about, loss.replica);
    EXPECT_EQ(wire::decode_replica_loss(said->words).value(), loss);
  }

  GatewayId id;
  std::shared_ptr<TestLink> link = std::make_shared<TestLink>();
  std::shared_ptr<link::LinkOwner> owner;
};

class GatewayDeskTest : public testing::Test {
 protected:
  ~GatewayDeskTest() override {
    if (replica_) caf::anon_send_exit(replica_, caf::exit_reason::user_shutdown);
    forget_actor_system();
  }
  void open(std::uint64_t number) {
    replica_ = desk_->open(epoch(number), [&] { return system_.spawn(keeper, kept_); });
  }
  static routing::ReplicaLoss died(std::uint64_t number) {
    routing::ReplicaLoss loss;
    loss.replica = epoch(number);
    loss.cause = LossCause::kDiedOfItself;
    loss.why = {StatusCode::kAborted, "rank 1 died"};
    loss.in_step = {{{{GatewayId(5), SequenceId(1), 2}, 7}}};
    loss.blamed = {1};
    return loss;
  }

  ActorSystemConfig config_{1};
  caf::actor_system system_{config_};
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
  std::shared_ptr<GatewayDesk> desk_ = std::make_shared<GatewayDesk>(system_, ReplicaId(3), [] { return Instant{}; });
  ReplicaHandle replica_;
};

TEST_F(GatewayDeskTest, ALeaderWithoutThatGenerationRefusesWhatItIsSent) {
  const Guest gateway(*desk_, "g", 5);
  gateway.join();
  gateway.submit(8);  // of the process before this one
  gateway.expect_refusal(0, 8);
  open(9);
  gateway.submit(10);
  gateway.expect_refusal(1, 10);
  gateway.submit(9);
  EXPECT_TRUE(kept_->await(2)) << "the join and what is its own";
  EXPECT_EQ(desk_->stale_frames(), 2U);
}

TEST_F(GatewayDeskTest, ALossIsToldToAllThatJoinedAndToWhoAsksLater) {
  const Guest joined(*desk_, "g", 5);
  joined.join();
  open(8);
  desk_->close(died(8));
  joined.expect_loss(0, died(8));
  const Guest late(*desk_, "h", 6);
  late.join();
  late.submit(8);
  late.expect_loss(0, died(8));
}

TEST_F(GatewayDeskTest, HowAnOlderGenerationEndedIsNotGuessed) {
  const Guest gateway(*desk_, "g", 5);
  gateway.join();
  open(8);
  desk_->close(died(8));
  gateway.submit(7);
  routing::ReplicaLoss older;
  older.replica = epoch(7);
  older.cause = LossCause::kKilled;
  older.why = {StatusCode::kAborted, "epoch 7 of replica 3 is over"};
  gateway.expect_loss(1, older);
}

TEST_F(GatewayDeskTest, AHelloUnderAnothersIdLocksNobodyOut) {
  const Guest stranger(*desk_, "h", 5);
  const Guest gateway(*desk_, "g", 5);
  gateway.join();
  EXPECT_TRUE(gateway.link->finished().ok()) << gateway.link->finished().message();
  open(8);
  gateway.submit(8);
  EXPECT_TRUE(kept_->await(2));
  stranger.join();
  EXPECT_NE(stranger.link->finished().message().find("under the id of"), std::string::npos);
  EXPECT_TRUE(gateway.link->finished().ok());
}

TEST_F(GatewayDeskTest, AFramesBytesAreGivenBackOnceTheReplicaIsDoneWithIt) {
  const Guest gateway(*desk_, "g", 5);
  open(8);
  std::size_t sent = gateway.join();
  sent += gateway.submit(8);
  sent += gateway.say(wire::encode(gateway.submission().key()), epoch(8));
  ASSERT_TRUE(kept_->await(3));
  EXPECT_EQ(gateway.link->consumed(), 0U);
  kept_->let_go();
  EXPECT_TRUE(gateway.link->has_consumed(sent));
  EXPECT_TRUE(gateway.link->has_consumed(sent + gateway.submit(7))) << "what is refused is done with";
}

}  // namespace
}  // namespace herd::actors
