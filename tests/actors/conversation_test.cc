// The actors' conversation on one thread, one message at a time, in an order the test or its seed chooses.

#include <gtest/gtest.h>

#include <caf/scheduler/test_coordinator.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "actors/roles/coordinator_actor.h"
#include "actors/roles/gateway_actor.h"
#include "actors/roles/supervisor_actor.h"
#include "actors/roles/thread_ground.h"
#include "tests/actors/toy_cluster.h"
#include "tests/actors/wire_roundtrip.h"

namespace herd::actors {
namespace {

using step::FinishReason;

struct SingleThreaded : caf::actor_system_config {
  SingleThreaded() { set("scheduler.policy", caf::atom("testing")); }
};

// Reads at once, and checks what it reads.
class CheckingStream final : public RequestStream {
 public:
  explicit CheckingStream(const step::Submission& submission)
      : submission_(submission), stream_(submission, 256, kToyVocabSize) {}
  std::vector<step::Submission> start(Instant) override { return {submission_}; }
  Taken deliver(std::uint32_t, const step::TokenDelta& delta, Instant) override {
    stream_.on_delta(delta);
    return {};
  }
  bool tick(Instant) override { return true; }
  void end(const gateway::RequestEnd& how, Instant) override {
    EXPECT_FALSE(over) << "a request ends once";
    over = true;
    error = how.why;
    if (const auto terminal = terminal_of(how)) stream_.on_delta(*terminal);
  }
  [[nodiscard]] const sim::StreamChecker& stream() const { return stream_; }
  Status error;
  bool over = false;

 private:
  const step::Submission submission_;
  sim::StreamChecker stream_;
};

gateway::GatewayConfig gateway_config() { return StandaloneConfig::gateway_of_one_caller(); }

// Gateway, coordinator and replicas of two ranks each, all of them run by the test; messages to ranks and clients pass
// through their codecs.
class Conversation {
 public:
  explicit Conversation(std::uint32_t replicas_count, std::uint64_t seed = 1, std::uint32_t late_looks = 0)
      : system(config), scheduler(dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler())), random_(seed) {
    faults->late_looks = late_looks;
    coordinator = system.spawn(coordinator_actor, membership::CoordinatorCore(Epoch(1)));
    const StandaloneConfig toy = toy_config(replicas_count, 2, faults, [](std::unique_ptr<shard::RankExecutor> rank) {
      return through_wire(std::move(rank));
    });
    for (std::uint32_t i = 0; i < replicas_count; ++i) spawn_supervisor(toy, ReplicaId(i));
    shared = std::make_shared<SharedGateway>(gateway_config(), [this] { return now; });
    gateway = system.spawn(gateway_actor, shared, std::shared_ptr<ReplicaDirectory>(addresses), coordinator);
  }
  ~Conversation() {
    caf::anon_send(gateway, StopGateway{});
    for (const auto& supervisor : supervisors) caf::anon_send(supervisor, StopReplica{});
    run_all();
    caf::anon_send_exit(coordinator, caf::exit_reason::user_shutdown);
    run_all();
  }

  // One message, of an actor that the seed picks among those that have one.
  bool run_one() {
    if (scheduler.jobs.empty()) return false;
    const auto pick = static_cast<std::ptrdiff_t>(random_() % scheduler.jobs.size());
    std::rotate(scheduler.jobs.begin(), scheduler.jobs.begin() + pick, scheduler.jobs.begin() + pick + 1);
    ++now.ns;
    return scheduler.try_run_once();
  }
  void run_all() {
    while (run_one()) {
    }
  }
  // Lets time pass where only timers are left. False: the streams do not end in a minute.
  bool run_until_over(const std::vector<std::shared_ptr<CheckingStream>>& streams) {
    constexpr std::chrono::milliseconds kPass{20};
    for (int passes = 0; passes < 3'000; ++passes) {
      run_all();
      if (std::ranges::all_of(streams, [](const auto& stream) { return stream->over; })) return true;
      now.ns += std::chrono::nanoseconds(kPass).count();
      scheduler.advance_time(kPass);
    }
    return false;
  }
  std::shared_ptr<CheckingStream> submit(std::uint64_t id, std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
    const auto stream = std::make_shared<CheckingStream>(toy_submission(id, prompt_tokens, max_tokens));
    gateway::GatewayRequest request;
    request.id = RequestId(id);
    request.prompt_tokens = prompt_tokens;
    request.output_tokens_max = max_tokens;
    request.deadline = Instant{std::numeric_limits<std::int64_t>::max()};
    caf::anon_send(gateway, SubmitRequest{request, through_wire(std::shared_ptr<RequestStream>(stream))});
    return stream;
  }
  void run_until_tokens(const CheckingStream& stream, std::uint32_t tokens) {
    while (stream.stream().tokens() < tokens) ASSERT_TRUE(run_one());
  }
  // One that is being started again just now is spared.
  void kill_rank(std::size_t replica, std::uint32_t rank) {
    auto* const supervisor = caf::actor_cast<caf::abstract_actor*>(supervisors.at(replica));
    const RankHandle living = static_cast<SupervisorState::Self>(supervisor)->state.find(rank);
    if (living) caf::anon_send_exit(living, caf::exit_reason::kill);
  }
  // The actor of its generation that serves.
  [[nodiscard]] ReplicaHandle replica(std::size_t replica) const {
    return addresses->resolve(shared->status()->view.replicas.at(replica).route, {}).value();
  }

  SingleThreaded config;
  caf::actor_system system;
  caf::scheduler::test_coordinator& scheduler;
  std::shared_ptr<ToyFaults> faults = std::make_shared<ToyFaults>();
  Instant now{1};
  std::shared_ptr<AddressBook> addresses = std::make_shared<AddressBook>();
  CoordinatorHandle coordinator;
  std::shared_ptr<SharedGateway> shared;
  GatewayHandle gateway;
  std::vector<SupervisorHandle> supervisors;

 private:
  void spawn_supervisor(const StandaloneConfig& toy, ReplicaId replica) {
    ThreadGroundConfig ground;
    ground.replica = replica;
    ground.core.scheduler = toy.scheduler;
    ground.core.ranks = 2;
    ground.core.watch = toy.watch;
    ground.numerics = "toy";
    ground.ranks = toy.ground;
    ground.addresses = addresses;
    ground.clock = [this] { return now; };
    ground.ranks_have_threads = false;
    SupervisorConfig one;
    one.core = {.replica = replica, .ranks = 2, .ranks_can_be_ended = false, .budget = toy.restart_budget, .watch = toy.watch};
    one.ground = ground_of_threads(system, std::move(ground));
    one.clock = [this] { return now; };
    supervisors.push_back(system.spawn(supervisor_actor, std::move(one), coordinator));
  }

  std::mt19937_64 random_;
};

TEST(Conversation, ASubmissionIsRoutedComputedAndStreamed) {
  Conversation talk(1);
  talk.run_all();
  const auto stream = talk.submit(1, 20, 30);
  talk.run_all();
  EXPECT_EQ(stream->stream().finish(), FinishReason::kLength);
  EXPECT_EQ(stream->stream().tokens(), 30U);
  EXPECT_FALSE(stream->stream().violation()) << *stream->stream().violation();
  EXPECT_EQ(talk.shared->status()->ledger.finished, 1U);
}

TEST(Conversation, WithoutAReplicaARequestIsRefusedAtOnce) {
  Conversation talk(0);
  talk.run_all();
  const auto stream = talk.submit(1, 20, 30);
  talk.run_all();
  EXPECT_EQ(stream->stream().finish(), FinishReason::kRefused);
  EXPECT_TRUE(stream->error.message().starts_with("no replica is serving")) << stream->error.message();
}

// Routes come from the last view: nobody asks the coordinator about a request.
TEST(Conversation, ACoordinatorThatIsGoneIsNotMissedByNewRequests) {
  Conversation talk(2);
  talk.run_all();
  caf::anon_send_exit(talk.coordinator, caf::exit_reason::kill);
  talk.run_all();
  const auto stream = talk.submit(1, 20, 30);
  talk.run_all();
  EXPECT_EQ(stream->stream().finish(), FinishReason::kLength);
}

TEST(Conversation, AnAddressThatLeadsNowhereIsALinkThatIsCutAndAnotherReplicaIsTaken) {
  Conversation talk(2);
  while (talk.run_one()) talk.addresses->erase(replica_address(ReplicaId(0)));
  const auto stream = talk.submit(1, 20, 30);
  ASSERT_TRUE(talk.run_until_over({stream}));
  EXPECT_EQ(stream->stream().finish(), FinishReason::kLength);
  EXPECT_FALSE(stream->stream().violation()) << *stream->stream().violation();
}

// The numbers are up to date before the reader hears the end, however rarely a busy gateway publishes.
TEST(Conversation, WhoHearsTheLastEndFindsTheNumbersUpToDate) {
  Conversation talk(1);
  talk.run_all();
  const auto stream = talk.submit(1, 20, 30);
  while (!stream->over) ASSERT_TRUE(talk.run_one());
  const auto status = talk.shared->status();
  EXPECT_EQ(status->ledger.finished, 1U);
  EXPECT_EQ(status->ledger.tokens_delivered, 30U);
  EXPECT_EQ(status->open_requests, 0U);
  EXPECT_FALSE(status->silent_since);
  EXPECT_EQ(status->replicas.at(0).scheduler.tokens_emitted, 30U);
  EXPECT_EQ(status->replicas.at(0).scheduler.num_running, 0U);
}

TEST(Conversation, ACoordinatorThatIsGoneDoesNotStopAStream) {
  Conversation talk(1);
  talk.run_all();
  const auto stream = talk.submit(1, 20, 30);
  talk.run_until_tokens(*stream, 3);
  caf::anon_send_exit(talk.coordinator, caf::exit_reason::kill);
  talk.run_all();
  EXPECT_EQ(stream->stream().finish(), FinishReason::kLength);
}

TEST(Conversation, AReplicaThatDiesWithoutAWordIsNoticedByItsMonitor) {
  Conversation talk(2);
  talk.run_all();
  const auto stream = talk.submit(1, 20, 60);
  talk.run_until_tokens(*stream, 10);
  caf::anon_send_exit(talk.replica(0), caf::exit_reason::kill);  // the first route was its
  ASSERT_TRUE(talk.run_until_over({stream}));
  EXPECT_EQ(stream->stream().finish(), FinishReason::kLength);
  EXPECT_FALSE(stream->stream().violation()) << *stream->stream().violation();
}

// Whatever order the messages take, with clients that leave, ranks that die and ranks whose steps finish late: every
// stream ends once, and right.
class ConversationOfRanks : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(LateLooks, ConversationOfRanks, testing::Values(0U, 1U, 4U));

TEST_P(ConversationOfRanks, HoldsInEveryOrderOfMessages) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::shared_ptr<CheckingStream>> streams;
    {
      Conversation talk(2, seed, GetParam());
      talk.run_all();
      for (std::uint64_t id = 1; id <= 8; ++id) streams.push_back(talk.submit(id, 1 + random() % 60, 1 + random() % 40));
      const std::uint64_t kill_after = random() % 400;
      for (std::uint64_t messages = 0; talk.run_one(); ++messages) {
        if (messages == kill_after) talk.kill_rank(random() % 2, random() % 2);
        if (random() % 200 == 0) caf::anon_send(talk.gateway, ReaderGone{RequestId(1 + random() % 8)});
      }
      ASSERT_TRUE(talk.run_until_over(streams)) << "seed " << seed;
      for (const auto& stream : streams) {
        ASSERT_FALSE(stream->stream().violation()) << "seed " << seed << ": " << *stream->stream().violation();
        ASSERT_NE(stream->stream().finish(), FinishReason::kFailed) << "seed " << seed << ": " << stream->error.message();
      }
    }
  }
}

}  // namespace
}  // namespace herd::actors
