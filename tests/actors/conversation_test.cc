// The actors' conversation on one thread, one message at a time, in an order the test or its seed chooses.

#include <gtest/gtest.h>

#include <caf/scheduler/test_coordinator.hpp>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "actors/roles/coordinator_actor.h"
#include "actors/roles/gateway_actor.h"
#include "actors/roles/replica_actor.h"
#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

using step::FinishReason;

struct SingleThreaded : caf::actor_system_config {
  SingleThreaded() { set("scheduler.policy", caf::atom("testing")); }
};

// Reads at once, and keeps every stream's checker.
class CheckingSink final : public DeltaSink {
 public:
  explicit CheckingSink(const step::Submission& submission) : stream_(submission, 256, kToyVocabSize) {}
  bool push(const step::TokenDelta& delta) override {
    stream_.on_delta(delta);
    if (delta.finish != FinishReason::kNone) error = delta.error;
    return true;
  }
  [[nodiscard]] const sim::StreamChecker& stream() const { return stream_; }
  Status error;

 private:
  sim::StreamChecker stream_;
};

// Gateway, coordinator and replicas of two ranks each, all of them run by the test.
class Conversation {
 public:
  explicit Conversation(std::uint32_t replicas_count, std::uint64_t seed = 1, std::uint32_t late_looks = 0)
      : system(config), scheduler(dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler())), random_(seed) {
    faults->late_looks = late_looks;
    coordinator = system.spawn(coordinator_actor, routing::Router());
    gateway = system.spawn(gateway_actor, GatewayConfig{.submissions_waiting = waiting}, coordinator);
    for (std::uint32_t replica = 0; replica < replicas_count; ++replica) {
      const auto toy = toy_config(replicas_count, 2, faults);
      replicas.push_back(system.spawn(replica_actor,
                                      ReplicaConfig{.generation = {ReplicaId(replica), Epoch(1)},
                                                    .scheduler = toy.scheduler,
                                                    .ranks = 2,
                                                    .make_rank = toy.make_rank,
                                                    .abort_replica = toy.abort_replica,
                                                    .wire_roundtrip = true,
                                                    .clock = [this] { return now; },
                                                    .own_threads = false},
                                      coordinator, gateway));
    }
  }
  ~Conversation() {
    caf::anon_send(gateway, StopGateway{});
    for (const auto& replica : replicas) caf::anon_send(replica, StopReplica{});
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
  std::shared_ptr<CheckingSink> submit(std::uint64_t sequence, std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
    const auto submission = toy_submission(sequence, prompt_tokens, max_tokens);
    const auto sink = std::make_shared<CheckingSink>(submission);
    ++*waiting;
    caf::anon_send(gateway, SubmitSequence{submission, sink});
    return sink;
  }
  void run_until_tokens(const CheckingSink& sink, std::uint32_t tokens) {
    while (sink.stream().tokens() < tokens) ASSERT_TRUE(run_one());
  }

  SingleThreaded config;
  caf::actor_system system;
  caf::scheduler::test_coordinator& scheduler;
  std::shared_ptr<ToyFaults> faults = std::make_shared<ToyFaults>();
  std::shared_ptr<std::atomic<std::size_t>> waiting = std::make_shared<std::atomic<std::size_t>>(0);
  Instant now{1};
  CoordinatorHandle coordinator;
  GatewayHandle gateway;
  std::vector<ReplicaHandle> replicas;

 private:
  std::mt19937_64 random_;
};

TEST(Conversation, ASubmissionIsRoutedComputedAndStreamed) {
  Conversation talk(1);
  talk.run_all();
  const auto sink = talk.submit(1, 20, 30);
  talk.run_all();
  EXPECT_EQ(sink->stream().finish(), FinishReason::kLength);
  EXPECT_EQ(sink->stream().tokens(), 30U);
  EXPECT_FALSE(sink->stream().violation()) << *sink->stream().violation();
  EXPECT_EQ(*talk.waiting, 0U);
}

TEST(Conversation, WithoutAServingReplicaASequenceFailsAtOnce) {
  Conversation talk(0);
  const auto sink = talk.submit(1, 20, 30);
  talk.run_all();
  EXPECT_EQ(sink->stream().finish(), FinishReason::kFailed);
  EXPECT_EQ(sink->error.message(), "no replica is serving");
}

TEST(Conversation, WithoutACoordinatorASequenceFailsAtOnce) {
  Conversation talk(1);
  talk.run_all();
  caf::anon_send_exit(talk.coordinator, caf::exit_reason::kill);
  talk.run_all();
  const auto sink = talk.submit(1, 20, 30);
  talk.run_all();
  EXPECT_EQ(sink->stream().finish(), FinishReason::kFailed);
  EXPECT_EQ(sink->error.message(), "no answer from the coordinator");
}

TEST(Conversation, ACoordinatorThatIsGoneDoesNotStopAStream) {
  Conversation talk(1);
  talk.run_all();
  const auto sink = talk.submit(1, 20, 30);
  talk.run_until_tokens(*sink, 3);
  caf::anon_send_exit(talk.coordinator, caf::exit_reason::kill);
  talk.run_all();
  EXPECT_EQ(sink->stream().finish(), FinishReason::kLength);
}

TEST(Conversation, AReplicaThatDiesWithoutAWordIsNoticedByItsMonitor) {
  Conversation talk(2);
  talk.run_all();
  const auto sink = talk.submit(1, 20, 60);
  talk.run_until_tokens(*sink, 10);
  caf::anon_send_exit(talk.replicas[0], caf::exit_reason::kill);  // the first route was its
  talk.run_all();
  EXPECT_EQ(sink->stream().finish(), FinishReason::kLength);
  EXPECT_FALSE(sink->stream().violation()) << *sink->stream().violation();
}

// Whatever order the messages take, with clients that leave, ranks that die and ranks whose steps finish late: every
// stream ends once, and right.
class ConversationOfRanks : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(LateLooks, ConversationOfRanks, testing::Values(0U, 1U, 4U));

TEST_P(ConversationOfRanks, HoldsInEveryOrderOfMessages) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::shared_ptr<CheckingSink>> sinks;
    {
      Conversation talk(2, seed, GetParam());
      talk.run_all();
      for (std::uint64_t sequence = 1; sequence <= 8; ++sequence)
        sinks.push_back(talk.submit(sequence, 1 + random() % 60, 1 + random() % 40));
      const std::uint64_t kill_after = random() % 400;
      for (std::uint64_t messages = 0; talk.run_one(); ++messages) {
        if (messages == kill_after)
          caf::anon_send(talk.replicas[random() % 2], KillRank{static_cast<std::uint32_t>(random() % 2)});
        if (random() % 200 == 0) caf::anon_send(talk.gateway, AbortSequence{SequenceId(1 + random() % 8)});
      }
      for (const auto& sink : sinks) {
        ASSERT_TRUE(sink->stream().ended()) << "seed " << seed;
        ASSERT_FALSE(sink->stream().violation()) << "seed " << seed << ": " << *sink->stream().violation();
        ASSERT_NE(sink->stream().finish(), FinishReason::kFailed) << "seed " << seed << ": " << sink->error.message();
      }
    }
  }
}

}  // namespace
}  // namespace herd::actors
