#include <gtest/gtest.h>

#include "actors/messages/delta_sink.h"

namespace herd::actors {
namespace {

using step::FinishReason;
using step::TokenDelta;

TokenDelta delta(std::uint64_t sequence, FinishReason finish = FinishReason::kNone) {
  TokenDelta delta;
  delta.sequence = SequenceId(sequence);
  delta.finish = finish;
  return delta;
}

TEST(DeltaQueue, HandsOutInOrder) {
  DeltaQueue queue(2);
  EXPECT_TRUE(queue.push(delta(1)));
  EXPECT_TRUE(queue.push(delta(2)));
  EXPECT_EQ(queue.next(std::chrono::milliseconds(0)), delta(1));
  EXPECT_EQ(queue.next(std::chrono::milliseconds(0)), delta(2));
}

TEST(DeltaQueue, GivesUpAfterItsTimeout) { EXPECT_EQ(DeltaQueue(1).next(std::chrono::milliseconds(1)), std::nullopt); }

TEST(DeltaQueue, RefusesWhenFullButAlwaysTakesTheEnd) {
  DeltaQueue queue(1);
  EXPECT_TRUE(queue.push(delta(1)));
  EXPECT_FALSE(queue.push(delta(1)));
  EXPECT_TRUE(queue.push(delta(1, FinishReason::kAborted)));
}

}  // namespace
}  // namespace herd::actors
