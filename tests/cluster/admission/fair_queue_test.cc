#include "cluster/admission/fair_queue.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace herd::admission {
namespace {

struct Fixture : testing::Test {
  FairQueue::Item push(std::uint64_t tenant, std::uint64_t cost, double weight = 1, std::int32_t priority = 0) {
    const FairQueue::Item item{RequestId(++arrivals), TenantId(tenant), priority, arrivals, cost};
    queue.push(item, weight);
    queue.check_integrity();
    return item;
  }
  // Pops everything; each is served at once.
  std::vector<std::uint64_t> order() {
    std::vector<std::uint64_t> ids;
    while (!queue.empty()) {
      const auto item = queue.pop();
      ids.push_back(item.id.value);
      queue.on_served(item, 0);
      queue.check_integrity();
    }
    return ids;
  }
  FairQueue queue;
  std::uint64_t arrivals = 0;
};
using FairQueueTest = Fixture;
using Ids = std::vector<std::uint64_t>;

TEST_F(FairQueueTest, ServesOneTenantByArrival) {
  push(1, 10);
  push(1, 1);
  push(1, 5);
  EXPECT_EQ(order(), (Ids{1, 2, 3}));
}

TEST_F(FairQueueTest, AlternatesBetweenTenantsOfEqualWeightAndCost) {
  for (int i = 0; i < 3; ++i) push(1, 10);
  for (int i = 0; i < 3; ++i) push(2, 10);
  EXPECT_EQ(order(), (Ids{1, 4, 2, 5, 3, 6}));
}

TEST_F(FairQueueTest, ServesTwiceAsMuchToTwiceTheWeight) {
  for (int i = 0; i < 4; ++i) push(1, 10, 2);
  for (int i = 0; i < 2; ++i) push(2, 10, 1);
  // Tags: 0 5 10 15 and 0 10.
  EXPECT_EQ(order(), (Ids{1, 5, 2, 3, 6, 4}));
}

TEST_F(FairQueueTest, ServesManySmallOnesPerLargeOne) {
  push(1, 30);
  push(1, 30);
  for (int i = 0; i < 4; ++i) push(2, 10);
  // Tags: 0 30 and 0 10 20 30.
  EXPECT_EQ(order(), (Ids{1, 3, 4, 5, 2, 6}));
}

TEST_F(FairQueueTest, PutsSmallerPriorityValuesFirst) {
  push(1, 10, 1, 0);
  push(1, 10, 1, 5);
  push(2, 10, 1, -3);
  push(1, 10, 1, -3);
  EXPECT_EQ(order(), (Ids{3, 4, 1, 2}));
}

TEST_F(FairQueueTest, DoesNotLetOnePriorityMoveTheVirtualTimeOfAnother) {
  for (int i = 0; i < 10; ++i) push(1, 100, 1, 1);
  push(1, 5000, 1, 0);
  const auto urgent = queue.pop();
  EXPECT_EQ(urgent.id.value, 11U);
  push(2, 100, 1, 1);
  queue.on_served(urgent, 0);
  EXPECT_EQ(order(), (Ids{1, 12, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
}

TEST_F(FairQueueTest, PutsANewcomerBeforeWhatAFloodHasWaiting) {
  for (int i = 0; i < 100; ++i) push(1, 10);
  for (int i = 0; i < 50; ++i) queue.on_served(queue.pop(), 0);
  push(2, 10);
  // The flood was served up to tag 490, its next is 500.
  EXPECT_EQ(queue.pop().id.value, 101U);
  EXPECT_EQ(queue.pop().id.value, 51U);
}

TEST_F(FairQueueTest, ChargesNothingForWhatLeavesUnserved) {
  std::vector<FairQueue::Item> items;
  for (int i = 0; i < 10; ++i) items.push_back(push(1, 100));
  push(2, 10);
  push(2, 10);
  for (int i = 0; i < 9; ++i) queue.erase(items[i]);
  queue.check_integrity();
  EXPECT_EQ(order(), (Ids{10, 11, 12}));
}

TEST_F(FairQueueTest, CorrectsATenantsTagWhenTheTrueCostIsKnown) {
  for (int i = 0; i < 2; ++i) push(1, 10);
  for (int i = 0; i < 4; ++i) push(2, 10);
  const auto first = queue.pop();
  EXPECT_EQ(first.id.value, 1U);
  queue.on_served(first, 25);  // it was 35: tags 35 against 0 10 20 30
  EXPECT_EQ(order(), (Ids{3, 4, 5, 6, 2}));
}

TEST_F(FairQueueTest, RemembersWhatATenantUsedWhileOthersWait) {
  push(1, 1000);
  push(2, 10);
  push(2, 10);
  queue.on_served(queue.pop(), 0);  // tenant 1 has nothing left here, but its tag is 1000
  push(1, 10);
  EXPECT_EQ(order(), (Ids{2, 3, 4}));
}

TEST_F(FairQueueTest, ForgetsTenantsWhenTheBusyPeriodEnds) {
  for (std::uint64_t tenant = 1; tenant <= 100; ++tenant) push(tenant, 10);
  EXPECT_EQ(queue.flows(), 100U);
  (void)order();
  EXPECT_EQ(queue.flows(), 0U);
}

TEST_F(FairQueueTest, ForgetsTenantsTheVirtualTimeHasPassed) {
  for (int i = 0; i < 4; ++i) push(2, 10);
  push(3, 10);
  queue.on_served(queue.pop(), 0);
  queue.on_served(queue.pop(), 0);
  EXPECT_EQ(queue.flows(), 2U);  // 3 has nothing here, but used 10 where the virtual time is 0
  queue.on_served(queue.pop(), 0);
  EXPECT_EQ(queue.flows(), 1U);  // 2 came to tag 10
}

TEST_F(FairQueueTest, BoundsWhatItRemembersWhenTenantsNeverComeBack) {
  push(1, 1000000);
  push(1, 1);
  const auto held = queue.pop();  // in service: the busy period goes on
  for (std::uint64_t tenant = 2; tenant < 20002; ++tenant) {
    const FairQueue::Item item{RequestId(tenant), TenantId(tenant), 0, 10 + tenant, 1};
    queue.push(item, 1);
    queue.on_served(queue.pop(), 0);
  }
  queue.check_integrity();
  EXPECT_LE(queue.flows(), 16385U);
  queue.on_served(held, 0);
  (void)order();
  EXPECT_EQ(queue.flows(), 0U);
}

TEST_F(FairQueueTest, KnowsWhatGoesBeforeANewcomer) {
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(9), 0), 0);
  push(1, 10);
  push(2, 20);
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(9), 0), 30);  // all begin at tag 0 and came before
  push(1, 40);
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(9), 0), 30);  // tag 10 comes after
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(1), 0), 70);  // its tag would be 50: everything
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(9), 1), 70);  // of another priority: everything before it
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(9), -1), 0);
  push(3, 7, 1, -1);
  EXPECT_DOUBLE_EQ(queue.cost_ahead(TenantId(9), 0), 37);
  EXPECT_DOUBLE_EQ(queue.cost_waiting(), 77);
}

// Goyal, Vin, Chen 1996, Theorem 1, over every interval in which both tenants wait; costs and weights at random.
TEST_F(FairQueueTest, SharesByWeightWithinOneItemOfEach) {
  const unsigned seed = 7;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    FairQueue both;
    std::uint64_t arrival = 0;
    const double weights[] = {1.0, 0.25 * static_cast<double>(1 + random() % 40)};
    const std::uint64_t cost_max[] = {1 + random() % 1000, 1 + random() % 1000};
    const auto push_one = [&](int who) {
      both.push({RequestId(++arrival), TenantId(who), 0, arrival, 1 + random() % cost_max[who]}, weights[who]);
    };
    // A third tenant comes and goes, the two never run dry.
    for (int i = 0; i < 5; ++i) push_one(0), push_one(1);
    double difference = 0;  // of served / weight since the beginning
    double lowest = 0;
    double highest = 0;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 4 == 0) both.push({RequestId(++arrival), TenantId(2), 0, arrival, 1 + random() % 500}, 1);
      const auto item = both.pop();
      const auto who = static_cast<int>(item.tenant.value);
      if (random() % 2 == 0) both.on_served(item, 0);
      if (who == 2) continue;
      push_one(who);
      difference += (who == 0 ? 1 : -1) * static_cast<double>(item.cost) / weights[who];
      lowest = std::min(lowest, difference);
      highest = std::max(highest, difference);
    }
    // Rounding of some thousand sums of numbers below 1e7 stays far below a token.
    const double bound = static_cast<double>(cost_max[0]) / weights[0] + static_cast<double>(cost_max[1]) / weights[1];
    EXPECT_LE(highest - lowest, bound + 1e-3);
  }
}

// A scan over all tenants, the same definition: the first item of each whose tag is not later, and what follows of it.
TEST_F(FairQueueTest, EstimatesWhatGoesAheadWithinOneItemOfEachTenant) {
  const unsigned seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    FairQueue some;
    std::uint64_t arrival = 0;
    const std::uint64_t tenants = 1 + random() % 12;
    const std::uint64_t cost_max = 1 + random() % 100;
    for (std::uint64_t i = random() % 60; i > 0; --i) {
      const std::uint64_t tenant = random() % tenants;
      some.push({RequestId(++arrival), TenantId(tenant), 0, arrival, 1 + random() % cost_max}, 1.0 + tenant % 3);
      if (random() % 3 == 0) (void)some.pop();
    }
    const TenantId asked(random() % (tenants + 1));
    const double expected = some.cost_ahead(asked, 0);
    some.push({RequestId(999), asked, 0, ++arrival, 5}, 1.0 + asked.value % 3);
    double ahead = 0;
    for (auto item = some.pop(); item.id.value != 999; item = some.pop()) ahead += static_cast<double>(item.cost);
    EXPECT_LE(std::abs(ahead - expected), static_cast<double>(tenants * cost_max) + 1e-6) << round;
  }
}

}  // namespace
}  // namespace herd::admission
