#include "actors/processes/task_queue.h"

#include <chrono>
#include <functional>

#include <gtest/gtest.h>

namespace herd::actors {
namespace {

TEST(TaskQueue, DoesWhatIsPostedUntilItIsToldToEnd) {
  TaskQueue queue;
  int done = 0;
  queue.post([&] { ++done; });
  queue.post([&] { queue.end(); });
  queue.post([&] { ++done; });
  queue.run();
  EXPECT_EQ(done, 1);
}

TEST(TaskQueue, EndsWhenItsTimeIsUpWithNothingToDo) {
  TaskQueue queue;
  queue.post([&] { queue.end_after(std::chrono::milliseconds(5)); });
  queue.run();
}

TEST(TaskQueue, EndsWhenItsTimeIsUpThoughThereIsAlwaysMoreToDo) {
  TaskQueue queue;
  std::function<void()> again = [&] { queue.post(again); };
  queue.post([&] { queue.end_after(std::chrono::milliseconds(5)); });
  queue.post(again);
  queue.run();
}

}  // namespace
}  // namespace herd::actors
