// The whole cluster with ranks whose steps are under way when submit returns, as a GPU's are.

#include <gtest/gtest.h>

#include <optional>

#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

using step::FinishReason;

struct LateToy {
  LateToy(std::uint32_t replicas, std::uint32_t ranks, std::uint32_t looks,
          std::chrono::milliseconds step_timeout = std::chrono::minutes(2)) {
    faults->late_looks = looks;
    StandaloneConfig config = toy_config(replicas, ranks, faults);
    config.step_timeout = step_timeout;
    cluster.emplace(std::move(config));
  }
  // Nothing is left under way on any rank once the cluster is gone.
  ~LateToy() {
    cluster.reset();
    EXPECT_EQ(faults->under_way, 0);
  }
  std::shared_ptr<ToyFaults> faults = std::make_shared<ToyFaults>();
  std::optional<ToyCluster> cluster;
};

class LateRanks : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Looks, LateRanks, testing::Values(1U, 2U, 20U));

TEST_P(LateRanks, GiveEverySequenceItsStream) {
  LateToy toy(2, 2, GetParam());
  ToyClient client(toy.cluster->client());
  for (std::uint64_t sequence = 1; sequence <= 100; ++sequence)
    client.submit(toy_submission(sequence, 1 + sequence % 90, 1 + sequence % 40));
  ASSERT_TRUE(client.read_all());
  EXPECT_EQ(client.violation(), "");
  EXPECT_EQ(client.count(FinishReason::kLength), 100U);
  // A step of 20 looks takes a millisecond: the plan that was sent right behind its own comes meanwhile.
  if (GetParam() == 20) {
    EXPECT_EQ(toy.faults->under_way_most, static_cast<std::uint32_t>(shard::kStepsUnderWay));
  }
}

TEST_P(LateRanks, EndWithAllThatIsUnderWayWhenTheClusterIsShutDown) {
  LateToy toy(1, 2, GetParam());
  ToyClient client(toy.cluster->client());
  for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) client.submit(toy_submission(sequence, 30, 200));
  ASSERT_TRUE(client.read_until(SequenceId(1), 3));
  toy.cluster->shutdown();
  ASSERT_TRUE(client.read_all(std::chrono::milliseconds(0)));
  EXPECT_EQ(client.count(FinishReason::kAborted), 20U);
}

// Replica 0 has taken sequence 1 (the first route is its) and has two steps under way.
struct OneSequenceOnLateReplica0 : LateToy {
  explicit OneSequenceOnLateReplica0(std::chrono::milliseconds step_timeout = std::chrono::minutes(2))
      : LateToy(2, 2, 5, step_timeout), client(cluster->client()) {
    client.submit(toy_submission(1, 40, 120));
    EXPECT_TRUE(client.read_until(SequenceId(1), 10));
  }
  void expect_continued() {
    EXPECT_TRUE(client.read_all());
    EXPECT_EQ(client.violation(), "");
    EXPECT_EQ(client.stream(1).finish(), FinishReason::kLength) << client.error(1).message();
    EXPECT_EQ(cluster->status()->ledger.replayed, 1U);
    EXPECT_TRUE(cluster->await([](const ClusterStatus& known) { return known.serving_replicas() == 2; })) << "it comes back";
  }
  ToyClient client;
};

TEST(LateRank, ThatThrowsWhenCollectedCostsAPauseNotAStream) {
  OneSequenceOnLateReplica0 toy;
  toy.faults->throw_rank = 1;
  toy.expect_continued();
}

TEST(LateRank, ThatFailsAStepCostsAPauseNotAStream) {
  OneSequenceOnLateReplica0 toy;
  toy.faults->fail_rank = 0;
  toy.expect_continued();
}

TEST(LateRank, ThatIsKilledWithStepsUnderWayCostsAPauseNotAStream) {
  OneSequenceOnLateReplica0 toy;
  ASSERT_TRUE(toy.cluster->kill_rank(ReplicaId(0), 1));
  toy.expect_continued();
}

TEST(LateRank, ThatHangsIsOverdueAndEndsWithItsGroup) {
  OneSequenceOnLateReplica0 toy(std::chrono::milliseconds(1'000));
  toy.faults->hang_rank = 1;
  toy.expect_continued();
  EXPECT_GE(toy.faults->aborted_replicas, 1U);
}

}  // namespace
}  // namespace herd::actors
