// The whole cluster in one process, with toy ranks on real threads. Every stream is compared with what its prompt and
// seed must yield, so a continuation on another replica is equal byte for byte or the test fails.

#include "actors/standalone_cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/actors/toy_cluster.h"
#include "tests/actors/wire_roundtrip.h"

namespace herd::actors {
namespace {

using step::FinishReason;

StandaloneConfig config_of(std::uint32_t replicas, std::uint32_t ranks, std::shared_ptr<ToyFaults> faults, bool wire) {
  if (!wire) return toy_config(replicas, ranks, std::move(faults));
  return toy_config(replicas, ranks, std::move(faults),
                    [](std::unique_ptr<shard::RankExecutor> rank) { return through_wire(std::move(rank)); });
}

struct Toy {
  explicit Toy(std::uint32_t replicas, std::uint32_t ranks, bool through_the_wire = false)
      : cluster(config_of(replicas, ranks, faults, through_the_wire)), wire(cluster.client()), on_wire(through_the_wire) {}
  [[nodiscard]] ClusterClient& client() { return on_wire ? static_cast<ClusterClient&>(wire) : cluster.client(); }

  std::shared_ptr<ToyFaults> faults = std::make_shared<ToyFaults>();
  ToyCluster cluster;
  WireClient wire;
  const bool on_wire;
};

// The route reaches replica 0 first, so sequence 1 runs there.
struct OneSequenceOnReplica0 : Toy {
  explicit OneSequenceOnReplica0(std::uint32_t replicas) : Toy(replicas, 2), reader(client()) {
    faults->step_us = 1'000;
    reader.submit(toy_submission(1, 40, 120));
    EXPECT_TRUE(reader.read_until(SequenceId(1), 10));
  }
  // It went on elsewhere and nobody could tell; its replica comes back.
  void expect_continued() {
    EXPECT_TRUE(reader.read_all());
    EXPECT_EQ(reader.violation(), "");
    EXPECT_EQ(reader.stream(1).finish(), FinishReason::kLength) << reader.error(1).message();
    const auto status = cluster.status();
    EXPECT_EQ(status->ledger.replayed, 1U);
    EXPECT_GE(faults->aborted_replicas, 1U);
    EXPECT_TRUE(cluster.await([](const ClusterStatus& known) { return known.serving_replicas() == 2; }));
  }
  ToyClient reader;
};

class StandaloneClusterBothWays : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(WireRoundtrip, StandaloneClusterBothWays, testing::Bool());

TEST_P(StandaloneClusterBothWays, TwoHundredSequencesOverTwoReplicasOfTwoRanksAllFinishAsTheyMust) {
  Toy toy(2, 2, GetParam());
  ToyClient client(toy.client());
  for (std::uint64_t sequence = 1; sequence <= 200; ++sequence)
    client.submit(toy_submission(sequence, 1 + sequence % 90, 1 + sequence % 40));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kLength), 200U);
  // The last delta comes before the last step's acknowledgement, so the blocks may return a moment after it.
  EXPECT_TRUE(toy.cluster.await([](const ClusterStatus& status) {
    return std::ranges::all_of(status.replicas, [](const ReplicaStatus& one) { return one.scheduler.blocks.num_held == 0; });
  }));
  const auto status = toy.cluster.status();
  EXPECT_EQ(status->ledger.finished, 200U);
  EXPECT_EQ(status->ledger.open, 0U);
  std::uint64_t accepted = 0;
  for (const ReplicaStatus& replica : status->replicas) {
    EXPECT_TRUE(replica.serving);
    EXPECT_GE(replica.scheduler.accepted, 50U) << "the work is shared";
    EXPECT_GT(replica.steps, 0U);
    accepted += replica.scheduler.accepted;
  }
  EXPECT_EQ(accepted, 200U);
}

TEST_P(StandaloneClusterBothWays, AbortedSequencesEndOnceAndGiveTheirBlocksBack) {
  Toy toy(1, 2, GetParam());
  toy.faults->step_us = 200;
  ToyClient client(toy.client());
  for (std::uint64_t sequence = 1; sequence <= 30; ++sequence) client.submit(toy_submission(sequence, 20, 100));
  for (std::uint64_t sequence = 1; sequence <= 30; sequence += 2) toy.client().gone(RequestId(sequence));
  toy.client().gone(RequestId(999));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kAborted), 15U);
  EXPECT_EQ(client.count(FinishReason::kLength), 15U);
}

// 20 prompts of 30 tokens, 10 tokens each: 600 rows of prompts unless a cached prefix spares some, 9 rows of decode.
TEST_P(StandaloneClusterBothWays, TellsEveryStepOfEveryReplica) {
  const auto faults = std::make_shared<ToyFaults>();
  StandaloneConfig config = config_of(2, 2, faults, GetParam());
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
  auto cluster = StandaloneCluster::start(std::move(config));
  ASSERT_TRUE(cluster.has_value());
  ToyClient client((*cluster)->client());
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

TEST(StandaloneCluster, KilledRankCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  ASSERT_TRUE(toy.cluster.kill_rank(ReplicaId(0), 1));
  toy.expect_continued();
}

TEST(StandaloneCluster, RankThatFailsAStepCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.faults->fail_rank = 1;
  toy.expect_continued();
}

TEST(StandaloneCluster, RankThatThrowsCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.faults->throw_rank = 0;
  toy.expect_continued();
}

TEST(StandaloneCluster, RankWithOtherTokensCostsAPauseNotAStream) {
  OneSequenceOnReplica0 toy(2);
  toy.faults->other_tokens_rank = 1;
  toy.expect_continued();
}

TEST(StandaloneCluster, RankThatHangsIsOverdueAndItsGroupIsAborted) {
  auto faults = std::make_shared<ToyFaults>();
  StandaloneConfig config = toy_config(2, 2, faults);
  config.step_timeout = std::chrono::milliseconds(1'000);
  auto cluster = StandaloneCluster::start(std::move(config));
  ASSERT_TRUE(cluster.has_value());
  ToyClient client((*cluster)->client());
  faults->hang_rank = 1;
  client.submit(toy_submission(1, 40, 60));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.stream(1).finish(), FinishReason::kLength);
  EXPECT_GE(faults->aborted_replicas, 1U);
}

TEST(StandaloneCluster, EverySequenceOutlivesTheLossOfTwoOfThreeReplicas) {
  Toy toy(3, 2);
  toy.faults->step_us = 300;
  ToyClient client(toy.client());
  for (std::uint64_t sequence = 1; sequence <= 60; ++sequence) client.submit(toy_submission(sequence, 30, 60));
  ASSERT_TRUE(client.read_until(SequenceId(1), 5));
  ASSERT_TRUE(toy.cluster.kill_rank(ReplicaId(0), 0));
  ASSERT_TRUE(client.read_until(SequenceId(2), 20));
  ASSERT_TRUE(toy.cluster.kill_rank(ReplicaId(1), 1));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kLength), 60U);
}

TEST(StandaloneCluster, AReaderThatIsTooSlowIsCancelledAndHoldsUpNobody) {
  Toy toy(1, 1);
  DeltaQueue slow(toy.client(), 3);
  slow.submit(RequestId(1), toy_submission(1, 10, 100));
  ToyClient client(toy.client());
  client.submit(toy_submission(2, 10, 100));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.stream(2).finish(), FinishReason::kLength);
  std::uint32_t tokens = 0;
  for (;;) {
    const auto heard = slow.next(std::chrono::seconds(20));
    ASSERT_TRUE(heard.has_value());
    if (heard->delta() != nullptr) {
      ++tokens;
      continue;
    }
    EXPECT_EQ(heard->end()->kind, gateway::RequestEnd::Kind::kSlow);
    EXPECT_EQ(heard->end()->why.code(), StatusCode::kOverloaded);
    break;
  }
  EXPECT_EQ(tokens, 3U);
}

// The credit comes back with what is read, however little there is of it.
TEST(StandaloneCluster, AReaderOfLittleCreditThatReadsHearsEverything) {
  Toy toy(1, 1);
  toy.faults->step_us = 2'000;
  DeltaQueue queue(toy.client(), 8);
  queue.submit(RequestId(1), toy_submission(1, 10, 60));
  std::uint32_t tokens = 0;
  for (;;) {
    const auto heard = queue.next(std::chrono::seconds(20));
    ASSERT_TRUE(heard.has_value());
    if (heard->delta() == nullptr) {
      EXPECT_EQ(heard->end()->kind, gateway::RequestEnd::Kind::kFinished);
      break;
    }
    ++tokens;
  }
  EXPECT_EQ(tokens, 60U);
}

TEST(StandaloneCluster, RefusesWhatItCannotRunAndSaysWhy) {
  Toy toy(1, 1);
  ToyClient client(toy.client());
  client.submit(toy_submission(1, 300, 10));  // beyond max_model_len
  auto nan = toy_submission(2, 10, 10);
  nan.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  client.submit(nan);
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.count(FinishReason::kFailed), 2U);
  EXPECT_EQ(client.error(1).code(), StatusCode::kBadInput);
  EXPECT_NE(client.error(1).message().find("300"), std::string::npos) << client.error(1).message();
  EXPECT_NE(client.error(2).message().find("temperature"), std::string::npos);
}

TEST(StandaloneCluster, ShutdownWhileBusyEndsEverySequence) {
  Toy toy(2, 2);
  toy.faults->step_us = 500;
  ToyClient client(toy.client());
  for (std::uint64_t sequence = 1; sequence <= 50; ++sequence) client.submit(toy_submission(sequence, 30, 200));
  ASSERT_TRUE(client.read_until(SequenceId(1), 3));
  toy.cluster.shutdown();
  ASSERT_TRUE(client.read_all(std::chrono::milliseconds(0)));
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kAborted), 50U);
  client.submit(toy_submission(51, 3, 3));
  ASSERT_TRUE(client.read_all(std::chrono::milliseconds(0)));
  EXPECT_EQ(client.stream(51).finish(), FinishReason::kAborted);
  EXPECT_EQ(client.error(51).message(), "the cluster is shut down");
  toy.cluster.shutdown();
}

TEST(StandaloneCluster, SubmissionsFromManyThreadsWhileItShutsDownAllEnd) {
  Toy toy(1, 1);
  ToyClient clients[] = {ToyClient(toy.client()), ToyClient(toy.client()), ToyClient(toy.client())};
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 3; ++i) {
    threads.emplace_back([&client = clients[i], i] {
      for (std::uint64_t sequence = 0; sequence < 100; ++sequence)
        client.submit(toy_submission(1 + i * 1000 + sequence, 5, 5));
    });
  }
  toy.cluster.shutdown();
  for (auto& thread : threads) thread.join();
  for (auto& client : clients) {
    EXPECT_TRUE(client.read_all(std::chrono::milliseconds(100)));
    EXPECT_EQ(client.violation(), "");
  }
}

TEST(StandaloneCluster, DoesNotStartWithoutOneOfItsRanks) {
  auto faults = std::make_shared<ToyFaults>();
  faults->refuse_rank = 101;
  const auto cluster = StandaloneCluster::start(toy_config(2, 2, faults));
  ASSERT_FALSE(cluster.has_value());
  EXPECT_EQ(cluster.error().code(), StatusCode::kMissing);
  EXPECT_NE(cluster.error().message().find("no memory for rank 1"), std::string::npos);
}

TEST(StandaloneCluster, RefusesAWrongConfigInsteadOfStarting) {
  StandaloneConfig config = toy_config(1, 1, std::make_shared<ToyFaults>());
  config.replicas = 0;
  EXPECT_EQ(StandaloneCluster::start(std::move(config)).error().code(), StatusCode::kUsage);
}

}  // namespace
}  // namespace herd::actors
