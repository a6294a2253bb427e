// TextPool: every task once, on its own threads, and no more of them than it may hold.

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <new>
#include <set>
#include <thread>

#include "endpoint/api/text_pool.h"

namespace herd::api {
namespace {

TEST(TextPool, EveryTaskRunsOnceWhoeverPostsIt) {
  constexpr int kPosters = 4;
  constexpr int kTasks = 500;
  std::vector<std::atomic<int>> runs(kPosters * kTasks);
  {
    TextPool pool(3, {.tasks = 2 * kPosters * kTasks});
    std::vector<std::thread> posters;
    for (int poster = 0; poster < kPosters; ++poster) {
      posters.emplace_back([&, poster] {
        for (int task = 0; task < kTasks; ++task)
          EXPECT_TRUE(pool.post({.run = [&runs, slot = poster * kTasks + task] { ++runs[static_cast<std::size_t>(slot)]; }}));
      });
    }
    for (std::thread& poster : posters) poster.join();
  }
  for (const auto& count : runs) EXPECT_EQ(count, 1);
}

TEST(TextPool, ATaskThatThrowsTakesOnlyItselfAlong) {
  std::atomic<bool> ran{false};
  const auto held = std::make_shared<int>(0);
  {
    TextPool pool(1, {});
    ASSERT_TRUE(pool.post({.run = [held] { throw std::bad_alloc(); }}));
    ASSERT_TRUE(pool.post({.run = [&] { ran = true; }}));
  }
  EXPECT_TRUE(ran);
  EXPECT_EQ(held.use_count(), 1) << "what the task held is dropped with it";
}

TEST(TextPool, OneThreadKeepsTheOrder) {
  std::vector<int> order;
  {
    TextPool pool(1, {});
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.post({.run = [&order, i] { order.push_back(i); }}));
  }
  ASSERT_EQ(order.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(TextPool, ATaskTooManyIsNotTakenAndRoomComesBack) {
  std::promise<void> started;
  std::promise<void> go;
  std::atomic<int> runs{0};
  TextPool pool(1, {.tasks = 4});  // of which a tenant may have two
  ASSERT_TRUE(pool.post({.run = [&] {
    started.set_value();
    go.get_future().wait();
  }}));
  started.get_future().wait();  // it runs: nothing waits
  std::promise<void> last;
  EXPECT_TRUE(pool.post({.run = [&runs] { ++runs; }}));
  EXPECT_TRUE(pool.post({.run = [&] {
    ++runs;
    last.set_value();
  }}));
  EXPECT_FALSE(pool.post({.run = [&runs] { runs += 100; }}));
  go.set_value();
  last.get_future().wait();
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(pool.post({.run = [] {}}));
}

TEST(TextPool, WhatIsDroppedIsFreedAtOnceAndNeverRuns) {
  std::promise<void> started;
  std::promise<void> go;
  std::atomic<int> runs{0};
  const auto body = std::make_shared<int>(0);
  {
    TextPool pool(1, {});
    const auto first = pool.post({.run = [&, body] {
      started.set_value();
      go.get_future().wait();
      ++runs;
    }});
    ASSERT_TRUE(first);
    started.get_future().wait();
    const auto second = pool.post({.run = [&runs, body] { runs += 100; }});
    ASSERT_TRUE(second);
    EXPECT_EQ(body.use_count(), 3);
    pool.drop(*second);
    EXPECT_EQ(body.use_count(), 2) << "while the thread is still busy with another";
    pool.drop(*first);  // it runs: nothing happens to it
    go.set_value();
  }
  EXPECT_EQ(runs, 1);
}

TEST(TextPool, ItIsIdleWhenNothingWaitsAndNothingRuns) {
  std::promise<void> started;
  std::promise<void> go;
  TextPool pool(1, {});
  EXPECT_TRUE(pool.await_idle(std::chrono::milliseconds(0)));
  ASSERT_TRUE(pool.post({.run = [&] {
    started.set_value();
    go.get_future().wait();
  }}));
  EXPECT_FALSE(pool.await_idle(std::chrono::milliseconds(0))) << "it waits or runs";
  started.get_future().wait();
  EXPECT_FALSE(pool.await_idle(std::chrono::milliseconds(0))) << "it runs";
  go.set_value();
  EXPECT_TRUE(pool.await_idle(std::chrono::minutes(1)));
}

TEST(TextPool, TasksRunOnItsThreadsAndAtTheSameTime) {
  std::promise<void> one;
  std::promise<void> two;
  std::set<std::thread::id> threads;
  std::mutex mutex;
  const auto note = [&] {
    const std::scoped_lock lock(mutex);
    threads.insert(std::this_thread::get_id());
  };
  {
    TextPool pool(2, {});
    // Each waits for the other: they end only when both run.
    ASSERT_TRUE(pool.post({.run = [&] {
      note();
      one.set_value();
      two.get_future().wait();
    }}));
    ASSERT_TRUE(pool.post({.run = [&] {
      note();
      two.set_value();
      one.get_future().wait();
    }}));
  }
  EXPECT_EQ(threads.size(), 2U);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

}  // namespace
}  // namespace herd::api
