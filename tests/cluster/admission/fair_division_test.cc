#include "cluster/admission/fair_division.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace herd::admission {
namespace {

using Whole = std::vector<std::uint32_t>;

TEST(FairDivision, GivesEverybodyWhatItWantsWhereThereIsEnough) {
  EXPECT_EQ(divide(10, {{3, 1}, {2, 5}, {0, 1}}), (std::vector<double>{3, 2, 0}));
  EXPECT_TRUE(divide(10, {}).empty());
}

TEST(FairDivision, DividesByWeightWhereThereIsNot) {
  EXPECT_EQ(divide(9, {{100, 1}, {100, 2}}), (std::vector<double>{3, 6}));
}

TEST(FairDivision, WhatOneDoesNotWantGoesToTheOthers) {
  EXPECT_EQ(divide(12, {{100, 1}, {2, 1}, {100, 1}}), (std::vector<double>{5, 2, 5}));
  EXPECT_EQ(divide(12, {{100, 1}, {1, 10}}), (std::vector<double>{11, 1}));
}

TEST(FairDivision, IsMaxMinFairWhateverIsClaimed) {
  std::mt19937_64 draw(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Claim> claims(1 + draw() % 6);
    for (Claim& claim : claims) claim = {static_cast<double>(draw() % 50), 0.25 * static_cast<double>(1 + draw() % 8)};
    const double total = static_cast<double>(draw() % 120);
    const std::vector<double> given = divide(total, claims);
    double wanted = 0;
    double most = 0;  // by weight
    for (std::size_t i = 0; i < claims.size(); ++i) {
      wanted += claims[i].want;
      most = std::max(most, given[i] / claims[i].weight);
      ASSERT_LE(given[i], claims[i].want + 1e-9);
    }
    ASSERT_NEAR(std::accumulate(given.begin(), given.end(), 0.0), std::min(total, wanted), 1e-6);
    for (std::size_t i = 0; i < claims.size(); ++i)
      ASSERT_TRUE(given[i] > claims[i].want - 1e-6 || given[i] / claims[i].weight > most - 1e-6) << "round " << round;
  }
}

TEST(FairDivision, InWholePiecesGivesAllOfThem) {
  EXPECT_EQ(divide_whole(8, {0, 0, 0}), (Whole{2, 3, 3}));
  EXPECT_EQ(divide_whole(8, {20, 0, 1}), (Whole{7, 0, 1}));
  EXPECT_EQ(divide_whole(8, {20, 20, 1}), (Whole{3, 4, 1}));
  EXPECT_EQ(divide_whole(1, {5, 5, 5}), (Whole{0, 0, 1}));
  EXPECT_EQ(divide_whole(8, {}), Whole{});
}

TEST(FairDivision, InWholePiecesNobodyWaitsWhileAnotherHasTwoMore) {
  std::mt19937_64 draw(11);
  for (int round = 0; round < 2000; ++round) {
    Whole wants(1 + draw() % 6);
    for (std::uint32_t& want : wants) want = static_cast<std::uint32_t>(draw() % 30);
    const auto total = static_cast<std::uint32_t>(draw() % 80);
    const Whole given = divide_whole(total, wants);
    ASSERT_EQ(std::accumulate(given.begin(), given.end(), 0U), total);
    for (std::size_t i = 0; i < wants.size(); ++i)
      for (std::size_t j = 0; j < wants.size() && given[i] < wants[i]; ++j)
        ASSERT_LE(given[j], given[i] + 1) << "round " << round;
  }
}

}  // namespace
}  // namespace herd::admission
