// What ranks of this process meet in: found by its name while it is open, given up for all that are in it or come later.

#include "actors/ranks/rank_groups.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "actors/ranks/collective_seat.h"

namespace herd::actors {
namespace {

const Status kDied{StatusCode::kInternal, "rank 1 died"};

std::unique_ptr<Device> cpu() { return std::move(make_cpu_device({CpuIsa::kAuto, 1}).value()); }

std::shared_ptr<const RankGroup> two_ranks() { return std::make_shared<const RankGroup>(2, local_members(2, 1'000)); }

TEST(RankGroup, GivesEachRankItsMemberOnce) {
  const auto group = two_ranks();
  const auto device = cpu();
  const auto first = group->join(0, *device, {});
  const auto second = group->join(1, *device, {});
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ((*first)->rank(), 0);
  EXPECT_EQ((*second)->rank(), 1);
  EXPECT_EQ((*second)->size(), 2);
  EXPECT_FALSE(group->join(1, *device, {}).has_value());
  EXPECT_FALSE((*first)->status().ok()) << "a failure gives the group up";
}

TEST(RankGroup, ThatWasGivenUpTakesNobody) {
  const auto group = two_ranks();
  const auto device = cpu();
  const auto first = group->join(0, *device, {});
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(group->abort(kDied), kDied);
  EXPECT_NE((*first)->status().message().find("rank 1 died"), std::string::npos);
  const auto late = group->join(1, *device, {});
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error(), kDied);
}

TEST(RankGroups, AreFoundByNameUntilTheyAreGivenUp) {
  RankGroups groups;
  const auto group = two_ranks();
  const Rendezvous name = groups.open(ReplicaId(0), Epoch(1), group);
  const Rendezvous other = groups.open(ReplicaId(1), Epoch(2), two_ranks());
  EXPECT_NE(name, other);
  EXPECT_EQ(groups.find(name), group);
  EXPECT_EQ(groups.find("elsewhere"), nullptr);
  groups.abort(ReplicaId(0), Epoch(7), kDied);
  EXPECT_EQ(groups.find(name), group) << "another epoch was meant";
  groups.abort(ReplicaId(0), Epoch(1), kDied);
  EXPECT_EQ(groups.find(name), nullptr);
  EXPECT_NE(groups.find(other), nullptr) << "another replica's";
  const auto device = cpu();
  EXPECT_FALSE(group->join(0, *device, {}).has_value());
}

TEST(RankGroups, ANewGroupTakesThePlaceOfTheOneBefore) {
  RankGroups groups;
  const Rendezvous first = groups.open(ReplicaId(0), Epoch(1), two_ranks());
  const Rendezvous second = groups.open(ReplicaId(0), Epoch(2), two_ranks());
  EXPECT_EQ(groups.find(first), nullptr);
  EXPECT_NE(groups.find(second), nullptr);
}

TEST(CollectiveSeat, PassesOnToTheGroupItIsInAndSaysThatItWaits) {
  const auto progress = std::make_shared<ProgressWord>();
  CollectiveSeat seat(0, 1, progress);
  const float given = 3.0F;
  float taken = 0.0F;
  seat.all_gather(CollectiveName::kTest, &given, &taken, sizeof given);
  EXPECT_EQ(taken, 0.0F) << "in no group";
  EXPECT_EQ(seat.status().code(), StatusCode::kAborted);
  EXPECT_EQ(progress->read().operation, Operation::kHost);
  const auto device = cpu();
  const RankGroup group(1, local_members(1, 1'000));
  seat.enter(group.join(0, *device, {}).value());
  EXPECT_TRUE(seat.status().ok());
  seat.all_gather(CollectiveName::kTest, &given, &taken, sizeof given);
  EXPECT_EQ(taken, given);
  EXPECT_EQ(progress->read().number, 4U);
  (void)group.abort(kDied);
  EXPECT_FALSE(seat.status().ok());
  seat.leave();
  const RankGroup next(1, local_members(1, 1'000));
  seat.enter(next.join(0, *device, {}).value());
  EXPECT_TRUE(seat.status().ok()) << "the next group is another one";
}

}  // namespace
}  // namespace herd::actors
