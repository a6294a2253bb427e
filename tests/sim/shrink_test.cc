// The shrinker: on sets whose fewest members are known, and on seeds that break a promise made for the test.

#include "tests/sim/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "tests/sim/seed_runner.h"
#include "tests/sim/sim_cluster.h"

namespace herd::sim {
namespace {

EventNumbers up_to(std::uint32_t count) {
  EventNumbers all;
  for (std::uint32_t number = 0; number < count; ++number) all.insert(number);
  return all;
}

TEST(Shrink, WhatIsNeededIsLeft) {
  const EventNumbers needed{3, 17, 18, 140};
  std::size_t asked = 0;
  const EventNumbers left = shrink(up_to(150), [&](const EventNumbers& some) {
    ++asked;
    return std::ranges::includes(some, needed);
  });
  EXPECT_EQ(left, needed);
  EXPECT_LT(asked, 150U);
}

TEST(Shrink, OneOfTwoWaysToFailIsEnough) {
  const EventNumbers left = shrink(up_to(64), [](const EventNumbers& some) { return some.contains(5) || (some.contains(9) && some.contains(40)); });
  EXPECT_TRUE(left == EventNumbers({5}) || left == EventNumbers({9, 40}));
}

TEST(Shrink, NothingMayBeNeeded) {
  EXPECT_TRUE(shrink(up_to(7), [](const EventNumbers&) { return true; }).empty());
  EXPECT_TRUE(shrink({}, [](const EventNumbers&) { return true; }).empty());
}

// None can be left out alone, though two together could.
TEST(Shrink, APairThatGoesTogetherIsFound) {
  const EventNumbers left = shrink(up_to(32), [](const EventNumbers& some) { return some.contains(1) && some.contains(2) == some.contains(3); });
  EXPECT_EQ(left, EventNumbers{1});
}

TEST(Shrink, NumbersDoNotMakeAnotherPromise) {
  EXPECT_EQ(kind_of("at 120 us: gateway 1: request 17 ends twice"), kind_of("at 9 us: gateway 0: request 3 ends twice"));
  EXPECT_NE(kind_of("gateway 1: request 17 ends twice"), kind_of("gateway 1: request 17 ends after its deadline"));
}

// The first seed that does what it promised never to do.
std::optional<SimOptions> seed_that_breaks(Reached never) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SimOptions options = draw_options(seed);
    options.never = never;
    if (SimCluster(options).run().violation) return options;
  }
  return std::nullopt;
}

class FailingSeed : public testing::TestWithParam<Reached> {};

TEST_P(FailingSeed, ShrinksToWhatCanBeRead) {
  const auto options = seed_that_breaks(GetParam());
  ASSERT_TRUE(options.has_value());
  const auto shrunk = shrink_seed(*options);
  ASSERT_TRUE(shrunk.has_value());
  EXPECT_LE(shrunk->events.size(), kReadableEvents);
  EXPECT_LT(shrunk->events.size(), shrunk->of);
  // The same events and delays are the same run.
  SimOptions again = *options;
  again.salt = shrunk->salt;
  again.only = std::make_shared<const EventNumbers>(shrunk->events);
  const SimReport replayed = SimCluster(again).run();
  ASSERT_TRUE(replayed.violation.has_value());
  EXPECT_EQ(*replayed.violation, shrunk->outcome.violation);
}

INSTANTIATE_TEST_SUITE_P(Promises, FailingSeed,
                         testing::Values(Reached::kPoisonCondemned, Reached::kNodesGivenUp, Reached::kTakenUpFinished));

}  // namespace
}  // namespace herd::sim
