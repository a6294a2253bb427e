// The whole cluster in one process, with toy ranks on real threads. Every stream is compared with what its prompt and
// seed must yield, so a continuation on another replica is equal byte for byte or the test fails.

#include "actors/in_process_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

using step::FinishReason;

struct Toy {
  explicit Toy(std::uint32_t replicas, std::uint32_t ranks, bool wire = false, std::uint32_t attempts_max = 3)
      : faults(std::make_shared<ToyFaults>()) {
    InProcessClusterConfig config = toy_config(replicas, ranks, faults);
    config.wire_roundtrip = wire;
    config.ledger.attempts_max = attempts_max;
    auto started = InProcessCluster::start(std::move(config));
    EXPECT_TRUE(started.has_value()) << started.error().message();
    cluster = std::move(*started);
  }
  std::shared_ptr<ToyFaults> faults;
  std::unique_ptr<InProcessCluster> cluster;
};

// The route reaches replica 0 first, so sequence 1 runs there.
struct OneSequenceOnReplica0 : Toy {
  explicit OneSequenceOnReplica0(std::uint32_t replicas) : Toy(replicas, 2), client(*cluster) {
    faults->step_us = 1'000;
    client.submit(toy_submission(1, 40, 120));
    EXPECT_TRUE(client.read_until(SequenceId(1), 10));
  }
  // It went on elsewhere and nobody could tell.
  void expect_continued() {
    EXPECT_TRUE(client.read_all());
    EXPECT_EQ(client.violation(), "");
    EXPECT_EQ(client.stream(1).finish(), FinishReason::kLength) << client.error(1).message();
    const auto stats = cluster->stats();
    EXPECT_EQ(stats.gateway.replayed, 1U);
    EXPECT_FALSE(stats.replicas[0].serving);
    EXPECT_TRUE(stats.replicas[1].serving);
    EXPECT_GE(faults->aborted_replicas, 1U);
  }
  ToyClient client;
};

class InProcessClusterBothWays : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(WireRoundtrip, InProcessClusterBothWays, testing::Bool());

TEST_P(InProcessClusterBothWays, TwoHundredSequencesOverTwoReplicasOfTwoRanksAllFinishAsTheyMust) {
  Toy toy(2, 2, GetParam());
  ToyClient client(*toy.cluster);
  for (std::uint64_t sequence = 1; sequence <= 200; ++sequence)
    client.submit(toy_submission(sequence, 1 + sequence % 90, 1 + sequence % 40));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kLength), 200U);
  const auto stats = toy.cluster->stats();
  EXPECT_EQ(stats.gateway.finished, 200U);
  EXPECT_EQ(stats.gateway.open, 0U);
  for (const auto& replica : stats.replicas) {
    EXPECT_TRUE(replica.serving);
    EXPECT_EQ(replica.scheduler.accepted, 100U);
    EXPECT_EQ(replica.scheduler.blocks.num_held, 0U);
    EXPECT_GT(replica.steps, 0U);
  }
}

TEST_P(InProcessClusterBothWays, AbortedSequencesEndOnceAndGiveTheirBlocksBack) {
  Toy toy(1, 2, GetParam());
  toy.faults->step_us = 200;
  ToyClient client(*toy.cluster);
  for (std::uint64_t sequence = 1; sequence <= 30; ++sequence) client.submit(toy_submission(sequence, 20, 100));
  for (std::uint64_t sequence = 1; sequence <= 30; sequence += 2) toy.cluster->abort(SequenceId(sequence));
  toy.cluster->abort(SequenceId(999));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kAborted), 15U);
  EXPECT_EQ(client.count(FinishReason::kLength), 15U);
}

// 20 prompts of 30 tokens, 10 tokens each: 600 rows of prompts unless a cached prefix spares some, 9 rows of decode.
TEST_P(InProcessClusterBothWays, TellsEveryStepOfEveryReplica) {
  const auto faults = std::make_shared<ToyFaults>();
  InProcessClusterConfig config = toy_config(2, 2, faults);
  config.wire_roundtrip = GetParam();
  config.scheduler.prefix_caching = false;
  std::mutex mutex;
  std::map<ReplicaId, std::uint64_t> steps;
  std::uint64_t prefill_rows = 0, decode_rows = 0, context_tokens = 0;
  double seconds_least = 0.0;
  config.on_step = [&](ReplicaId replica, const step::StepStats& stats, double step_s) {
    const std::scoped_lock lock(mutex);
    ++steps[replica];
    prefill_rows += stats.prefill_rows;
    decode_rows += stats.rows - stats.prefill_rows;
    context_tokens += stats.context_tokens;
    seconds_least = std::min(seconds_least, step_s);
  };
  auto cluster = InProcessCluster::start(std::move(config));
  ASSERT_TRUE(cluster.has_value());
  ToyClient client(**cluster);
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) client.submit(toy_submission(sequence, 30, 10));
  ASSERT_TRUE(client.read_all());
  (*cluster)->shutdown();  // nothing is told after it
  EXPECT_EQ(client.count(FinishReason::kLength), 20U);
  EXPECT_EQ(prefill_rows, 20U * 30U);
  EXPECT_EQ(decode_rows, 20U * 9U);
  EXPECT_GE(context_tokens, 20U * (30U + 31U + 32U + 33U + 34U + 35U + 36U + 37U + 38U + 39U));
  EXPECT_EQ(steps.size(), 2U);
  EXPECT_GE(seconds_least, 0.0);
}

TEST(InProcessCluster, KilledRankCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.cluster->kill_rank(ReplicaId(0), 1);
  toy.expect_continued();
}

TEST(InProcessCluster, RankThatFailsAStepCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.faults->fail_rank = 1;
  toy.expect_continued();
}

TEST(InProcessCluster, RankThatThrowsCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.faults->throw_rank = 0;
  toy.expect_continued();
}

TEST(InProcessCluster, RankWithOtherTokensCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.faults->other_tokens_rank = 1;
  toy.expect_continued();
}

TEST(InProcessCluster, RankThatHangsIsOverdueAndItsGroupIsAborted) {
  auto faults = std::make_shared<ToyFaults>();
  InProcessClusterConfig config = toy_config(2, 2, faults);
  config.step_timeout = std::chrono::milliseconds(1'000);
  auto cluster = InProcessCluster::start(std::move(config));
  ASSERT_TRUE(cluster.has_value());
  ToyClient client(**cluster);
  faults->hang_rank = 1;
  client.submit(toy_submission(1, 40, 60));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.stream(1).finish(), FinishReason::kLength);
  EXPECT_EQ(faults->aborted_replicas, 1U);
}

TEST(InProcessCluster, WithoutAnotherReplicaALostRankFailsTheSequenceAndIsNamed) {
  OneSequenceOnReplica0 toy(1);
  toy.cluster->kill_rank(ReplicaId(0), 1);
  ASSERT_TRUE(toy.client.read_all());
  EXPECT_EQ(toy.client.violation(), "");
  EXPECT_EQ(toy.client.stream(1).finish(), FinishReason::kFailed);
  EXPECT_NE(toy.client.error(1).message().find("replica 0: rank 1 died"), std::string::npos)
      << toy.client.error(1).message();
}

TEST(InProcessCluster, EverySequenceOutlivesTheLossOfTwoOfThreeReplicas) {
  Toy toy(3, 2);
  toy.faults->step_us = 300;
  ToyClient client(*toy.cluster);
  for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) client.submit(toy_submission(sequence, 30, 60));
  ASSERT_TRUE(client.read_until(SequenceId(1), 5));
  toy.cluster->kill_rank(ReplicaId(0), 0);
  ASSERT_TRUE(client.read_until(SequenceId(2), 20));
  toy.cluster->kill_rank(ReplicaId(1), 1);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kLength), 60U);
}

TEST(InProcessCluster, AReaderThatIsTooSlowIsCancelledAndHoldsUpNobody) {
  Toy toy(1, 1);
  const auto slow = std::make_shared<DeltaQueue>(3);
  toy.cluster->submit(toy_submission(1, 10, 100), slow);
  ToyClient client(*toy.cluster);
  client.submit(toy_submission(2, 10, 100));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.stream(2).finish(), FinishReason::kLength);
  std::uint32_t tokens = 0;
  for (;;) {
    const auto delta = slow->next(std::chrono::seconds(20));
    ASSERT_TRUE(delta.has_value());
    if (delta->finish == FinishReason::kNone) {
      ++tokens;
      continue;
    }
    EXPECT_EQ(delta->finish, FinishReason::kAborted);
    EXPECT_EQ(delta->error.code(), StatusCode::kOverloaded);
    break;
  }
  EXPECT_EQ(tokens, 3U);
}

TEST(InProcessCluster, RefusesWhatItCannotRunAndSaysWhy) {
  Toy toy(1, 1);
  ToyClient client(*toy.cluster);
  client.submit(toy_submission(1, 300, 10));  // beyond max_model_len
  auto nan = toy_submission(2, 10, 10);
  nan.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  client.submit(nan);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.count(FinishReason::kRefused), 2U);
  EXPECT_NE(client.error(2).message().find("temperature"), std::string::npos);
}

TEST(InProcessCluster, ShutdownWhileBusyEndsEverySequence) {
  Toy toy(2, 2);
  toy.faults->step_us = 500;
  ToyClient client(*toy.cluster);
  for (std::uint64_t sequence = 1; sequence <= 50; ++sequence) client.submit(toy_submission(sequence, 30, 200));
  ASSERT_TRUE(client.read_until(SequenceId(1), 3));
  toy.cluster->shutdown();
  ASSERT_TRUE(client.read_all(std::chrono::milliseconds(0)));
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kAborted), 50U);
  client.submit(toy_submission(51, 3, 3));
  ASSERT_TRUE(client.read_all(std::chrono::milliseconds(0)));
  EXPECT_EQ(client.stream(51).finish(), FinishReason::kRefused);
  toy.cluster->shutdown();
}

TEST(InProcessCluster, SubmissionsFromManyThreadsWhileItShutsDownAllEnd) {
  Toy toy(1, 1);
  ToyClient clients[] = {ToyClient(*toy.cluster), ToyClient(*toy.cluster), ToyClient(*toy.cluster)};
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&client = clients[i], i] {
      for (std::uint64_t sequence = 0; sequence < 100; ++sequence)
        client.submit(toy_submission(1 + i * 1000 + sequence, 5, 5));
    });
  }
  toy.cluster->shutdown();
  for (auto& thread : threads) thread.join();
  for (auto& client : clients) {
    EXPECT_TRUE(client.read_all(std::chrono::milliseconds(100)));
    EXPECT_EQ(client.violation(), "");
  }
}

TEST(InProcessCluster, DoesNotStartWithoutOneOfItsRanks) {
  auto faults = std::make_shared<ToyFaults>();
  faults->refuse_rank = 101;
  const auto cluster = InProcessCluster::start(toy_config(2, 2, faults));
  ASSERT_FALSE(cluster.has_value());
  EXPECT_EQ(cluster.error().code(), StatusCode::kMissing);
  EXPECT_NE(cluster.error().message().find("no memory for rank 1"), std::string::npos);
}

TEST(InProcessCluster, RefusesAWrongConfigInsteadOfStarting) {
  InProcessClusterConfig config = toy_config(1, 1, std::make_shared<ToyFaults>());
  config.replicas = 0;
  EXPECT_EQ(InProcessCluster::start(std::move(config)).error().code(), StatusCode::kUsage);
}

}  // namespace
}  // namespace herd::actors
