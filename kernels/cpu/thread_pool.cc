#include "kernels/cpu/thread_pool.h"

#include <sys/resource.h>

#include <system_error>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/futex.h"

namespace herd {
namespace {

// A pause is 40 to 140 cycles, so this is 20 to 100 us: longer than the gap between two operations of a step,
// shorter than anyone would notice as load.
constexpr int kSpinPauses = 2000;

// Threads of all pools of this process, callers included. Spinning takes the CPU away from a thread that has work
// as soon as there are more of them than CPUs.
std::atomic<int> pool_threads_total{0};

int spin_pauses() {
  static const int cpus = usable_cpus();
  return pool_threads_total.load(std::memory_order_relaxed) > cpus ? 0 : kSpinPauses;
}

}  // namespace

void lower_thread_priority(int nice) {
  HERD_CHECK(nice >= 0 && nice <= 19, "niceness is within [0, 19]");
  const int own = ::getpriority(PRIO_PROCESS, 0);  // of this thread: 0 names it, not the process
  if (nice > own) ::setpriority(PRIO_PROCESS, 0, nice);  // downhill, which needs no privilege
}

ThreadPool::ThreadPool(int threads, int nice)
    : threads_(threads), nice_(nice), groups_(std::make_unique<Group[]>(static_cast<std::size_t>(std::max(0, groups())))) {
  HERD_CHECK(threads >= 1, "a thread pool has at least the caller");
  pool_threads_total += threads_;
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  try {
    for (int thread = 1; thread < threads_; thread++) workers_.emplace_back([this, thread] { work(thread); });
  } catch (const std::system_error&) {
    end_workers();
    throw;
  }
}

ThreadPool::~ThreadPool() { end_workers(); }

void ThreadPool::end_workers() {
  stop_ = true;
  epoch_.fetch_add(1);
  futex_wake_all(epoch_);
  for (std::thread& worker : workers_) worker.join();
  pool_threads_total -= threads_;
}

// Sleeping protocol, in both directions: the sleeper announces itself, then futex_wait compares the word once more;
// the waker changes the word, then looks for sleepers. All four are sequentially consistent, so one of the two sees
// the other and no wake-up is lost.
void ThreadPool::run(RunBody body, void* context) {
  set_kernel_float_mode();
  if (threads_ > 1) {
    body_ = body;
    context_ = context;
    for (int group = 0; group < groups(); group++) {
      groups_[static_cast<std::size_t>(group)].left.store(static_cast<std::uint32_t>(group_size(group)), std::memory_order_relaxed);
    }
    pending_.store(static_cast<std::uint32_t>(groups()));
    epoch_.fetch_add(1);
    if (sleepers_.load() != 0) futex_wake_all(epoch_);
  }
  body(context, 0);
  if (threads_ == 1) return;
  for (int pause = spin_pauses(); pause > 0 && pending_.load(std::memory_order_acquire) != 0; pause--) spin_pause();
  if (pending_.load() == 0) return;
  caller_sleeps_.store(1);
  for (std::uint32_t left = pending_.load(); left != 0; left = pending_.load()) futex_wait(pending_, left, -1);
  caller_sleeps_.store(0);
}

void ThreadPool::parallel_for(std::int64_t count, RangeBody body, void* context) {
  if (count <= 0) return;
  const auto range = [&](int thread) {
    const std::int64_t begin = count * thread / threads_;
    const std::int64_t end = count * (thread + 1) / threads_;
    if (begin < end) body(context, begin, end, thread);
  };
  if (count == 1 || threads_ == 1) {  // nothing to share: do not wake anyone
    set_kernel_float_mode();
    body(context, 0, count, 0);
    return;
  }
  run(range);
}

void ThreadPool::arrive(int thread) {
  Group& group = groups_[static_cast<std::size_t>((thread - 1) / kGroupThreads)];
  if (group.left.fetch_sub(1) != 1) return;
  if (pending_.fetch_sub(1) == 1 && caller_sleeps_.load() != 0) futex_wake_all(pending_);
}

void ThreadPool::work(int thread) {
  set_kernel_float_mode();
  lower_thread_priority(nice_);
  for (std::uint32_t seen = 0;; seen++) {
    for (int pause = spin_pauses(); pause > 0 && epoch_.load(std::memory_order_acquire) == seen; pause--) spin_pause();
    if (epoch_.load() == seen) {
      sleepers_.fetch_add(1);
      while (epoch_.load() == seen) futex_wait(epoch_, seen, -1);
      sleepers_.fetch_sub(1);
    }
    if (stop_) return;
    body_(context_, thread);
    arrive(thread);
  }
}

}  // namespace herd
