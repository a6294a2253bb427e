#include "runtime/joined_thread.h"

#include <cstddef>
#include <new>
#include <stdexcept>

#include <gtest/gtest.h>

#include "runtime/tokenizer/two_halves.h"

namespace herd {
namespace {

TEST(JoinedThread, ThrowsWhatItsWorkThrewWhereItIsWaitedFor) {
  JoinedThread thread;
  ASSERT_TRUE(thread.start([] { throw std::bad_alloc(); }));
  EXPECT_THROW(thread.join(), std::bad_alloc);
  EXPECT_NO_THROW(thread.join());
}

TEST(JoinedThread, IsWaitedForOnTheWayOutOfAScope) {
  int done = 0;
  const auto leave = [&] {
    JoinedThread thread;
    if (!thread.start([&done] { done = 1; })) done = 1;
    throw std::runtime_error("a way out");
  };
  EXPECT_THROW(leave(), std::runtime_error);
  EXPECT_EQ(done, 1);
}

TEST(SideBySide, MemoryThatRunsOutInEitherHalfReachesTheCaller) {
  const auto nothing = [] {};
  const auto throwing = [] { throw std::bad_alloc(); };
  for (const std::size_t count : {std::size_t{1}, tokenizer::kWorthAThread}) {
    EXPECT_THROW(tokenizer::side_by_side(count, throwing, nothing), std::bad_alloc) << count;
    EXPECT_THROW(tokenizer::side_by_side(count, nothing, throwing), std::bad_alloc) << count;
    EXPECT_THROW(tokenizer::side_by_side(count, throwing, throwing), std::bad_alloc) << count;
    EXPECT_NO_THROW(tokenizer::side_by_side(count, nothing, nothing)) << count;
  }
}

}  // namespace
}  // namespace herd
