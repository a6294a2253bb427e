#include "kernels/plans/graph_buckets.h"

#include <gtest/gtest.h>

namespace herd::cuda {
namespace {

using Buckets = std::vector<std::int64_t>;

TEST(GraphBuckets, AscendInGrowingSteps) {
  EXPECT_EQ(graph_buckets(100), (Buckets{1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 100}));
  const Buckets buckets = graph_buckets(1024);
  for (std::size_t i = 1; i < buckets.size(); i++) {
    const std::int64_t from = buckets[i - 1];
    const std::int64_t step = from < 8 ? from : from < 64 ? 8 : from < 128 ? 16 : from < 512 ? 32 : 128;
    EXPECT_EQ(buckets[i], from + step);
  }
}

TEST(GraphBuckets, EndAtTheMostRows) {
  EXPECT_EQ(graph_buckets(0), Buckets{});
  EXPECT_EQ(graph_buckets(1), Buckets{1});
  EXPECT_EQ(graph_buckets(3), (Buckets{1, 2, 3}));
  EXPECT_EQ(graph_buckets(8), (Buckets{1, 2, 4, 8}));
  EXPECT_EQ(graph_buckets(9), (Buckets{1, 2, 4, 8, 9}));
  for (std::int64_t rows_max = 1; rows_max <= 2000; rows_max++) EXPECT_EQ(graph_buckets(rows_max).back(), rows_max);
}

TEST(GraphBuckets, FewEnoughToRecordThemAll) { EXPECT_LE(graph_buckets(512).size(), 27U); }

TEST(GraphBuckets, TheSmallestThatHoldsTheRows) {
  const Buckets buckets = graph_buckets(300);
  for (std::int64_t rows = 1; rows <= 300; rows++) {
    const std::int64_t bucket = bucket_for(buckets, rows);
    EXPECT_GE(bucket, rows);
    for (const std::int64_t smaller : buckets) EXPECT_FALSE(smaller >= rows && smaller < bucket);
  }
  EXPECT_EQ(bucket_for(buckets, 301), 0);
  EXPECT_EQ(bucket_for({}, 1), 0);
}

// A step filled up to its bucket computes at most 7 rows more than it has, beyond 64 rows at most a quarter.
TEST(GraphBuckets, FillUpLittle) {
  const Buckets buckets = graph_buckets(2048);
  for (std::int64_t rows = 1; rows <= 64; rows++) EXPECT_LE(bucket_for(buckets, rows), rows + 7);
  for (std::int64_t rows = 65; rows <= 2048; rows++) EXPECT_LE(bucket_for(buckets, rows) * 4, rows * 5);
}

}  // namespace
}  // namespace herd::cuda
