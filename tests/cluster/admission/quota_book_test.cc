#include "cluster/admission/quota_book.h"

#include <gtest/gtest.h>

#include "tests/cluster/instants.h"

namespace herd::admission {
namespace {

using Reason = AdmissionRefusal::Reason;

constexpr TenantId kOneKey{7};
constexpr TenantLimits kLimits{.requests_per_minute = 60, .in_flight_max = 9};

// The answer to that demand, which gives the key all.
routing::QuotaShares all_of_it(const routing::QuotaDemand& demand) {
  return {.number = demand.number, .gateways = 3, .running = 1, .tenants = {{.tenant = kOneKey.value}}};
}

int let_through(QuotaBook& book, int asked, Instant now) {
  int taken = 0;
  for (int i = 0; i < asked; ++i) {
    if (const auto refused = book.of(kOneKey).refuses(1, 1, now)) {
      book.on_refused(kOneKey, *refused, {1, 1});
      continue;
    }
    book.on_taken(kOneKey, 1, 1, now);
    book.on_ended(kOneKey, 1);
    ++taken;
  }
  return taken;
}

TEST(QuotaBook, AloneHasEveryLimit) {
  QuotaBook book(1, 72);
  book.set_limits(kOneKey, kLimits);
  EXPECT_EQ(let_through(book, 100, at(0)), 60);
  EXPECT_EQ(book.running_max(), 72u);
  EXPECT_FALSE(book.has_demand());
  EXPECT_FALSE(book.take_demand(at(1)));
}

TEST(QuotaBook, OfThreeHasAThirdUntilItHearsMore) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 3u);
  EXPECT_EQ(book.running_max(), 24u);
  EXPECT_EQ(let_through(book, 100, at(0)), 20);
  // One that has no limits of its own, too.
  EXPECT_EQ(book.of(TenantId(1)).in_flight_max(), 21u);
}

TEST(QuotaBook, SaysWhatWasAskedAndWaitsForTheAnswer) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  book.on_coordinator(true, at(0));
  EXPECT_FALSE(book.has_demand());
  EXPECT_EQ(let_through(book, 30, at(0)), 20);
  ASSERT_TRUE(book.has_demand());
  const auto first = book.take_demand(at(1));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->running_max, 72u);
  ASSERT_EQ(first->tenants.size(), 1u);
  EXPECT_EQ(first->tenants[0].tenant, kOneKey.value);
  EXPECT_DOUBLE_EQ(first->tenants[0].requests.asked, 30);
  EXPECT_NEAR(first->tenants[0].requests.held, 20.0 / 60, 1e-9);
  EXPECT_DOUBLE_EQ(first->tenants[0].prompt_tokens.asked, 30);
  EXPECT_DOUBLE_EQ(first->tenants[0].prompt_tokens.held, 0) << "it has no limit";
  EXPECT_DOUBLE_EQ(first->tenants[0].output_tokens.asked, 10) << "what those that were refused would have made";
  EXPECT_EQ(first->tenants[0].in_flight_max, 9u);

  (void)let_through(book, 1, at(1));
  EXPECT_FALSE(book.take_demand(at(9))) << "it has not been answered";
  book.set_shares(all_of_it(*first), at(9));
  const auto second = book.take_demand(at(9));
  ASSERT_TRUE(second);
  EXPECT_DOUBLE_EQ(second->seconds, 8);
  EXPECT_GT(second->number, first->number);
  book.set_shares(all_of_it(*second), at(9.1));
  EXPECT_FALSE(book.take_demand(at(9.2))) << "four times a second at most";
  EXPECT_TRUE(book.take_demand(at(9.25))) << "it is named, so it is told of though nobody asked";
}

TEST(QuotaBook, TakesSharesAndWhatIsMovedOnce) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  book.on_coordinator(true, at(0));
  EXPECT_EQ(let_through(book, 100, at(0)), 20);
  const auto demand = book.take_demand(at(0.25));
  auto answer = all_of_it(*demand);
  answer.running = 0.5;
  answer.tenants[0].requests = {0.5, 7};
  answer.tenants[0].in_flight = 4.0 / 9;
  book.set_shares(answer, at(0.25));
  book.set_shares(answer, at(0.25));  // again: it answers nothing
  EXPECT_EQ(book.running_max(), 36u);
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 4u);
  EXPECT_EQ(let_through(book, 100, at(0.25)), 7);
  EXPECT_EQ(let_through(book, 100, at(4.25)), 2) << "half of one a second for four seconds";
  EXPECT_EQ(let_through(book, 100, at(4.75)), 0);
}

TEST(QuotaBook, AShareOfNoPlaceLetsNobodyIn) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  book.on_coordinator(true, at(0));
  book.on_taken(kOneKey, 1, 1, at(0));
  const auto demand = book.take_demand(at(0.25));
  auto answer = all_of_it(*demand);
  answer.tenants[0].in_flight = 0;
  book.set_shares(answer, at(0.25));
  const auto refused = book.of(kOneKey).refuses(1, 1, at(0.25));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, Reason::kInFlight);
  EXPECT_EQ(refused->message, "9 requests of this key are in flight over all gateways, the most it may have");
}

TEST(QuotaBook, WhoIsNotNamedAnyMoreHasItsPart) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  book.on_coordinator(true, at(0));
  (void)let_through(book, 1, at(0));
  book.set_shares(all_of_it(*book.take_demand(at(0.25))), at(0.25));
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 9u);
  const auto demand = book.take_demand(at(0.5));
  book.set_shares({.number = demand->number, .gateways = 2, .running = 0.5, .tenants = {}}, at(0.5));
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 4u);
  EXPECT_FALSE(book.has_demand());
  // An unused bucket is full, whatever the part; a used one keeps what it has.
  QuotaBook other(3, 72);
  other.set_limits(kOneKey, kLimits);
  other.set_shares({.gateways = 2}, at(0));
  EXPECT_EQ(let_through(other, 100, at(0)), 30);
  other.set_shares({.gateways = 1}, at(0));
  EXPECT_EQ(let_through(other, 100, at(0)), 0);
}

TEST(QuotaBook, WithoutACoordinatorSharesHoldForTenSeconds) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  book.on_coordinator(true, at(0));
  (void)let_through(book, 1, at(0));
  book.set_shares(all_of_it(*book.take_demand(at(0.25))), at(0.25));
  book.on_coordinator(false, at(1));
  EXPECT_FALSE(book.has_demand());
  book.expire(at(10.9));
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 9u);
  EXPECT_EQ(book.running_max(), 72u);
  book.expire(at(11));
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 3u);
  EXPECT_EQ(book.running_max(), 24u);
}

TEST(QuotaBook, ACoordinatorThatIsBackInTimeIsToldAtOnce) {
  QuotaBook book(3, 72);
  book.set_limits(kOneKey, kLimits);
  book.on_coordinator(true, at(0));
  (void)let_through(book, 1, at(0));
  const auto lost = book.take_demand(at(0.25));  // the connection ends before it is answered
  ASSERT_TRUE(lost);
  book.on_coordinator(false, at(1));
  book.on_coordinator(true, at(5));
  book.expire(at(60));
  (void)let_through(book, 1, at(60));
  EXPECT_TRUE(book.take_demand(at(60)));
  book.set_shares(all_of_it(*lost), at(60));
  EXPECT_EQ(book.of(kOneKey).in_flight_max(), 3u) << "an answer to another demand than the last";
}

TEST(QuotaBook, ForgetsWhoHasNothingOfItsOwn) {
  QuotaBook book(3, 72);
  book.on_coordinator(true, at(0));
  book.on_taken(TenantId(1), 5, 2, at(0));
  const auto demand = book.take_demand(at(0.25));
  EXPECT_EQ(demand->tenants[0].sequences, 2u);
  EXPECT_EQ(demand->tenants[0].in_flight, 1u);
  book.on_ended(TenantId(1), 2);
  EXPECT_TRUE(book.tenants().empty());
  book.set_shares({.number = demand->number, .gateways = 3, .running = 1, .tenants = {{.tenant = 1}, {.tenant = 2}}}, at(0.3));
  EXPECT_EQ(book.tenants().size(), 2u);
  book.set_shares({.gateways = 3}, at(0.4));
  EXPECT_TRUE(book.tenants().empty());
  EXPECT_FALSE(book.has_demand());
}

TEST(QuotaBook, NamesTheBusiestWhereThereAreTooMany) {
  QuotaBook book(2, 72);
  book.on_coordinator(true, at(0));
  for (std::uint64_t id = 1; id <= routing::kTenantsInUseMax + 100; ++id)
    for (std::uint64_t i = 0; i < 1 + id % 2; ++i) book.on_taken(TenantId(id), 1, 1, at(0));
  const auto demand = book.take_demand(at(0.25));
  ASSERT_EQ(demand->tenants.size(), routing::kTenantsInUseMax);
  std::size_t busy = 0;
  for (std::size_t i = 0; i < demand->tenants.size(); ++i) {
    busy += demand->tenants[i].in_flight == 2;
    ASSERT_TRUE(i == 0 || demand->tenants[i - 1].tenant < demand->tenants[i].tenant);
  }
  EXPECT_EQ(busy, (routing::kTenantsInUseMax + 100) / 2);
}

}  // namespace
}  // namespace herd::admission
