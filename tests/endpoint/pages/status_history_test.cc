#include "endpoint/pages/status_history.h"

#include <gtest/gtest.h>

#include "tests/endpoint/pages/status_fixture.h"

namespace herd::pages {
namespace {

using routing::ReplicaState;

class StatusHistoryTest : public testing::Test {
 protected:
  // A look `seconds` after the last one; two replicas have emitted so many tokens in all.
  void look(double seconds, std::uint64_t first, std::uint64_t second) {
    at_s_ += seconds;
    actors::ClusterStatus status;
    add_replica(status, ReplicaState::kServing, 1, true, true, first);
    add_replica(status, ReplicaState::kServing, 1, true, true, second);
    history_.add({.at_s = at_s_, .running = 3, .kv_usage = 0.25}, status);
  }

  double at_s_ = 100;
  StatusHistory history_;
};

TEST_F(StatusHistoryTest, RatesAreOfTheTimeBetweenTwoLooks) {
  look(0, 1000, 0);
  EXPECT_EQ(history_.points().back().generation, 0.0) << "nothing is known before the first";
  look(2, 1100, 50);
  EXPECT_EQ(history_.points().back().generation, 75.0);
  EXPECT_EQ(history_.points().back().running, 3U);
  EXPECT_EQ(history_.points().back().kv_usage, 0.25);
  EXPECT_EQ(history_.rates_of(ReplicaId(0)).generation, 50.0);
  EXPECT_EQ(history_.rates_of(ReplicaId(1)).generation, 25.0);
  EXPECT_EQ(history_.rates_of(ReplicaId(7)).generation, 0.0);
}

TEST_F(StatusHistoryTest, AReplicaThatBeganAnewTakesNothingFromTheOthers) {
  look(0, 1000, 1000);
  look(1, 3, 1010);
  EXPECT_EQ(history_.points().back().generation, 10.0);
  look(1, 8, 1010);
  EXPECT_EQ(history_.points().back().generation, 5.0);
}

TEST_F(StatusHistoryTest, TheOldestPointGoes) {
  for (std::size_t i = 0; i < StatusHistory::kPointsMax + 5; ++i) look(1, i * i, 0);
  ASSERT_EQ(history_.points().size(), StatusHistory::kPointsMax);
  EXPECT_EQ(history_.points().front().generation, 9.0) << "of looks 4 and 5";
}

}  // namespace
}  // namespace herd::pages
