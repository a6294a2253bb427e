#include "kernels/cpu/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include <gtest/gtest.h>

#include "kernels/device.h"

namespace herd {
namespace {

TEST(ThreadPool, RangesCoverEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const std::int64_t count : {0, 1, 2, 3, 7, 8, 9, 1000}) {
      std::vector<int> hits(static_cast<std::size_t>(count));
      pool.parallel_for(count, [&](std::int64_t begin, std::int64_t end, int thread) {
        EXPECT_LT(begin, end);
        EXPECT_LT(thread, threads);
        for (std::int64_t i = begin; i < end; i++) hits[static_cast<std::size_t>(i)]++;
      });
      for (const int hit : hits) EXPECT_EQ(hit, 1);
    }
  }
}

TEST(ThreadPool, PartitionIsStatic) {
  ThreadPool pool(3);
  std::vector<std::pair<std::int64_t, std::int64_t>> range(3);
  pool.parallel_for(10, [&](std::int64_t begin, std::int64_t end, int thread) {
    range[static_cast<std::size_t>(thread)] = {begin, end};
  });
  const std::vector<std::pair<std::int64_t, std::int64_t>> expected = {{0, 3}, {3, 6}, {6, 10}};
  EXPECT_EQ(range, expected);
}

TEST(ThreadPool, RunCallsEveryThreadOnceAndJoins) {
  ThreadPool pool(4);
  std::vector<std::int64_t> calls(4);  // not atomic: run() orders them, which a race detector checks
  for (int i = 0; i < 2000; i++) {
    pool.run([&](int thread) { calls[static_cast<std::size_t>(thread)]++; });
    ASSERT_EQ(std::accumulate(calls.begin(), calls.end(), std::int64_t{0}), 4 * (i + 1));
  }
}

TEST(ThreadPool, JoinsMoreThreadsThanOneGroupHolds) {
  for (const int threads : {8, 9, 10, 17, 18, 40}) {
    ThreadPool pool(threads);
    std::vector<int> calls(static_cast<std::size_t>(threads));  // not atomic, as above
    for (int i = 0; i < 50; i++) {
      pool.run([&](int thread) { calls[static_cast<std::size_t>(thread)]++; });
      ASSERT_EQ(std::count(calls.begin(), calls.end(), i + 1), threads) << threads << " threads, run " << i;
    }
  }
}

TEST(ThreadPool, WakesAfterSleeping) {
  ThreadPool pool(3);
  std::atomic<int> calls{0};
  for (int i = 0; i < 5; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.run([&](int) { calls++; });
  }
  EXPECT_EQ(calls, 15);
}

TEST(ThreadPool, CallerWaitsForASlowWorker) {
  ThreadPool pool(2);
  int result = 0;
  pool.run([&](int thread) {
    if (thread == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    result = 7;
  });
  EXPECT_EQ(result, 7);
}

TEST(ThreadPool, PoolsOfDifferentThreadsRunSideBySide) {
  std::vector<std::thread> owners;
  std::atomic<int> calls{0};
  for (int owner = 0; owner < 3; owner++) {
    owners.emplace_back([&] {
      ThreadPool pool(3);
      for (int i = 0; i < 300; i++) pool.run([&](int) { calls++; });
    });
  }
  for (std::thread& owner : owners) owner.join();
  EXPECT_EQ(calls, 3 * 300 * 3);
}

int own_niceness() { return ::getpriority(PRIO_PROCESS, 0); }

// The tests may run niced themselves, and a thread never becomes less nice.
TEST(ThreadPool, WorkersAreAsNiceAsAskedAndTheCallerStaysAsItIs) {
  const int own = own_niceness();
  for (const int nice : {0, 7, 19}) {
    ThreadPool pool(3, nice);
    std::vector<int> niceness(3);
    pool.run([&](int thread) { niceness[static_cast<std::size_t>(thread)] = own_niceness(); });
    EXPECT_EQ(niceness, (std::vector<int>{own, std::max(own, nice), std::max(own, nice)}));
  }
}

TEST(ThreadPriority, IsTheThreadsOwnAndOnlyGoesDown) {
  const int own = own_niceness();
  std::thread([&] {
    lower_thread_priority(19);
    EXPECT_EQ(own_niceness(), 19);
    lower_thread_priority(0);
    EXPECT_EQ(own_niceness(), 19);
  }).join();
  EXPECT_EQ(own_niceness(), own);
}

TEST(ThreadPool, EveryThreadIsInKernelFloatMode) {
  ThreadPool pool(3);
  std::vector<float> product(3, 1.0F);
  std::vector<float> sum(3, 1.0F);
  pool.run([&](int thread) {
    volatile float small = 0x1p-100F;
    volatile float subnormal = __builtin_bit_cast(float, 1U << 20);
    product[static_cast<std::size_t>(thread)] = small * small;      // FTZ
    sum[static_cast<std::size_t>(thread)] = subnormal + subnormal;  // DAZ
  });
  for (const float value : product) EXPECT_EQ(value, 0.0F);
  for (const float value : sum) EXPECT_EQ(value, 0.0F);
}

}  // namespace
}  // namespace herd
