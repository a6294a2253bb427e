#include "cluster/admission/sum_tree.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace herd::admission {
namespace {

using Key = SumTree::Key;
using Sums = SumTree::Sums;

TEST(SumTree, OrdersByPriorityThenTagThenTie) {
  SumTree tree;
  tree.insert({.priority = 1, .tag = 0, .tie = 0}, {});
  tree.insert({.priority = 0, .tag = 2, .tie = 0}, {});
  tree.insert({.priority = 0, .tag = 1, .tie = 9}, {});
  tree.insert({.priority = 0, .tag = 1, .tie = 8}, {});
  EXPECT_EQ(tree.first(), (Key{0, 1, 8}));
  tree.erase({0, 1, 8});
  EXPECT_EQ(tree.first(), (Key{0, 1, 9}));
  tree.erase({0, 1, 9});
  EXPECT_EQ(tree.first(), (Key{0, 2, 0}));
  tree.erase({0, 2, 0});
  EXPECT_EQ(tree.first(), (Key{1, 0, 0}));
  tree.erase({1, 0, 0});
  EXPECT_TRUE(tree.empty());
  EXPECT_EQ(tree.sum(), Sums{});
}

// Whole numbers below 2^53: sums are exact in any order.
TEST(SumTree, SumsLikeAScanOverAMap) {
  const unsigned seed = 20261121;
  std::mt19937_64 random(seed);
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  SumTree tree;
  std::map<Key, Sums> model;
  for (int i = 0; i < 20000; ++i) {
    const Key key{static_cast<std::int32_t>(below(3)) - 1, static_cast<double>(below(40)), below(4)};
    if (model.contains(key)) {
      tree.erase(key);
      model.erase(key);
    } else {
      const Sums values{static_cast<double>(below(1000)), 1, static_cast<double>(below(7)), 2};
      tree.insert(key, values);
      model.emplace(key, values);
    }
    const Key probe{static_cast<std::int32_t>(below(3)) - 1, static_cast<double>(below(42)) - 1, below(4)};
    Sums through{};
    Sums all{};
    for (const auto& [at, values] : model) {
      for (std::size_t k = 0; k < all.size(); ++k) {
        all[k] += values[k];
        if (at <= probe) through[k] += values[k];
      }
    }
    ASSERT_EQ(tree.sum_through(probe), through) << i;
    ASSERT_EQ(tree.sum(), all) << i;
    ASSERT_EQ(tree.size(), model.size());
    if (!model.empty()) {
      ASSERT_EQ(tree.first(), model.begin()->first);
    }
  }
  EXPECT_EQ(tree.sum_through({-1, -INFINITY, 0}), Sums{});
}

}  // namespace
}  // namespace herd::admission
