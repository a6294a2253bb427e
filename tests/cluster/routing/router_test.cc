#include "cluster/routing/router.h"

#include <gtest/gtest.h>

namespace herd::routing {
namespace {

constexpr ReplicaGeneration generation(std::uint32_t replica, std::uint64_t epoch) {
  return {ReplicaId(replica), Epoch(epoch)};
}

Router three_serving() {
  Router router;
  for (std::uint32_t replica = 0; replica < 3; ++replica) router.on_replica_serving(generation(replica, 1));
  return router;
}

TEST(Router, WithoutReplicasPicksNone) { EXPECT_EQ(Router().pick({}), std::nullopt); }

TEST(Router, TakesTurns) {
  Router router = three_serving();
  for (const std::uint32_t expected : {0U, 1U, 2U, 0U, 1U}) EXPECT_EQ(router.pick({}), generation(expected, 1));
}

TEST(Router, LeavesOutTheExcluded) {
  Router router = three_serving();
  const ReplicaGeneration excluded[] = {generation(0, 1), generation(2, 1)};
  EXPECT_EQ(router.pick(excluded), generation(1, 1));
  EXPECT_EQ(router.pick(excluded), generation(1, 1));
}

TEST(Router, PicksNoneWhenAllAreExcluded) {
  Router router;
  router.on_replica_serving(generation(0, 1));
  const ReplicaGeneration excluded[] = {generation(0, 1)};
  EXPECT_EQ(router.pick(excluded), std::nullopt);
}

TEST(Router, TakesAnExcludedReplicaOnceItIsRebuilt) {
  Router router;
  router.on_replica_serving(generation(0, 1));
  router.on_replica_lost(generation(0, 1));
  const ReplicaGeneration excluded[] = {generation(0, 1)};
  EXPECT_EQ(router.pick(excluded), std::nullopt);
  router.on_replica_serving(generation(0, 2));
  EXPECT_EQ(router.pick(excluded), generation(0, 2));
}

TEST(Router, ForgetsALostReplica) {
  Router router = three_serving();
  router.on_replica_lost(generation(1, 1));
  EXPECT_EQ(router.pick({}), generation(0, 1));
  EXPECT_EQ(router.pick({}), generation(2, 1));
  EXPECT_EQ(router.pick({}), generation(0, 1));
}

TEST(Router, IgnoresTheLateLossOfAnOlderEpoch) {
  Router router;
  router.on_replica_serving(generation(0, 2));
  router.on_replica_lost(generation(0, 1));
  EXPECT_EQ(router.pick({}), generation(0, 2));
}

TEST(Router, IgnoresALateWordFromALostEpoch) {
  Router router;
  router.on_replica_lost(generation(0, 3));
  router.on_replica_serving(generation(0, 3));
  EXPECT_TRUE(router.serving().empty());
}

}  // namespace
}  // namespace herd::routing
