// How fast sequences decode while all of them run.
#include "commands/load/decode_window.h"

#include <gtest/gtest.h>

namespace herd::load {
namespace {

using Arrivals = std::vector<std::vector<double>>;

TEST(DecodeWindow, OneSequenceCountsFromItsFirstToken) {
  const auto window = decode_window({{5.0, 5.5, 6.0, 6.5}});
  ASSERT_TRUE(window);
  EXPECT_DOUBLE_EQ(window->tokens_per_s, 2.0);
  EXPECT_EQ(window->steps, 3U);
}

// The first sequence decodes fast beside nobody, then beside the others' prompts, then with them, then is gone.
TEST(DecodeWindow, WhatIsBeforeTheLastFirstTokenAndAfterTheFirstFinishDoesNotCount) {
  const Arrivals arrivals = {{0.1, 0.2, 0.3, 4.0, 4.5, 5.0, 5.5}, {4.0, 4.5, 5.0, 5.5, 5.6, 5.7, 5.8}};
  const auto window = decode_window(arrivals);
  ASSERT_TRUE(window);
  EXPECT_DOUBLE_EQ(window->tokens_per_s, 4.0);
  EXPECT_EQ(window->steps, 3U);
}

// Tokens of one step come one after the other; whoever is last in a step lacks the last one, and loses nothing by it.
TEST(DecodeWindow, TheOrderWithinAStepDoesNotMatter) {
  Arrivals arrivals(8);
  for (int step = 0; step < 10; ++step) {
    for (std::size_t s = 0; s < arrivals.size(); ++s) arrivals[s].push_back(step + 0.001 * static_cast<double>(s));
  }
  const auto window = decode_window(arrivals);
  ASSERT_TRUE(window);
  EXPECT_NEAR(window->tokens_per_s, 8.0, 1e-9);
  EXPECT_EQ(window->steps, 7U);
}

TEST(DecodeWindow, SequencesThatNeverRunTogetherHaveNone) {
  EXPECT_FALSE(decode_window({}));
  EXPECT_FALSE(decode_window({{1.0}}));
  EXPECT_FALSE(decode_window({{1.0, 2.0}, {}}));
  EXPECT_FALSE(decode_window({{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}));
  EXPECT_FALSE(decode_window({{1.0, 1.0}}));
}

}  // namespace
}  // namespace herd::load
