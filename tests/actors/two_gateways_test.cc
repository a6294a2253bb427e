// Two gateways on the same replicas, one of them started again and again under a new id while the other goes on: numbers of
// sequences are used by both, and by every life of the second, and nothing is mixed up.

#include <gtest/gtest.h>

#include <random>

#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

constexpr std::uint64_t kSequencesOfALife = 100;
constexpr std::uint64_t kLives = 50;

// Submits and leaves in a random order; every stream that was not left is read to its end.
void submit_some(ToyClient& client, ClusterClient& gateway, std::uint64_t first, std::mt19937_64& random) {
  for (std::uint64_t i = 0; i < kSequencesOfALife; ++i) {
    client.submit(toy_submission(first + i, 1 + random() % 24, 1 + random() % 12));
    if (random() % 3 == 0) gateway.gone(RequestId(first + random() % (i + 1)));
  }
}

TEST(TwoGateways, OneRestartedAgainAndAgainNeverMixUpTheirSequences) {
  ToyCluster cluster(toy_config(2, 1, std::make_shared<ToyFaults>()));
  std::mt19937_64 random(7);
  ToyClient first(cluster.client());
  for (std::uint64_t life = 0; life < kLives; ++life) {
    auto gateway = cluster.join_gateway(GatewayId(1000 + life));
    ToyClient second(*gateway);
    submit_some(first, cluster.client(), 1 + life * kSequencesOfALife, random);
    submit_some(second, *gateway, 1, random);
    if (life % 2 == 0) {
      ASSERT_TRUE(second.read_until(SequenceId(1), 1) || second.stream(1).ended());
    } else {
      ASSERT_TRUE(second.read_all());
    }
    gateway->stop();  // a restart: what it asked for is nobody's any more
    ASSERT_TRUE(second.read_all());
    ASSERT_EQ(second.violation(), "") << "life " << life;
    ASSERT_EQ(second.count(step::FinishReason::kFailed) + second.count(step::FinishReason::kRefused), 0U);
  }
  ASSERT_TRUE(first.read_all());
  EXPECT_EQ(first.violation(), "");
  EXPECT_EQ(first.count(step::FinishReason::kLength) + first.count(step::FinishReason::kAborted),
            kLives * kSequencesOfALife);
  EXPECT_GT(first.count(step::FinishReason::kLength), kLives * kSequencesOfALife / 3);
  // Nothing of a gateway that is gone is still computed or held.
  EXPECT_TRUE(cluster.await([](const ClusterStatus& status) {
    for (const ReplicaStatus& replica : status.replicas) {
      const auto& stats = replica.scheduler;
      if (stats.num_running + stats.num_waiting > 0 || stats.blocks.num_held > 0) return false;
    }
    return true;
  }));
}

}  // namespace
}  // namespace herd::actors
