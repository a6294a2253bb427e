#pragma once
// ThreadPool: resident fork-join threads of one rank. The caller is thread 0 and works too; run() returns when all
// threads are done. Between runs workers spin for a moment, then sleep in a futex. Not for per-ISA files: the
// launchers (ops_cpu.cc) call it and hand the kernels their ranges.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace herd {

// A resource: neither copied nor moved. One run at a time, from one thread, never from inside a body.
class ThreadPool {
 public:
  using RunBody = void (*)(void* context, int thread);
  using RangeBody = void (*)(void* context, std::int64_t begin, std::int64_t end, int thread);

  // `nice`, [0, 19]: of the workers, see lower_thread_priority; the caller's own is the caller's business. Throws
  // std::system_error, with no thread left behind, when the system refuses one.
  explicit ThreadPool(int threads, int nice = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return threads_; }

  // body(context, t) once on every thread t in [0, threads()). Sets the caller's float mode first (rule 2).
  void run(RunBody body, void* context);
  // Thread t gets [count * t / threads, count * (t + 1) / threads); empty ranges are not called.
  void parallel_for(std::int64_t count, RangeBody body, void* context);

  // The same with a callable, kept on the caller's stack: nothing is allocated.
  template <class F>
  void run(const F& body) {
    run([](void* context, int thread) { (*static_cast<const F*>(context))(thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }
  template <class F>
  void parallel_for(std::int64_t count, const F& body) {
    parallel_for(
        count,
        [](void* context, std::int64_t begin, std::int64_t end, int thread) {
          (*static_cast<const F*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  void work(int thread);
  void end_workers();

  const int threads_;
  const int nice_;
  RunBody body_ = nullptr;  // written before epoch_ moves, read after
  void* context_ = nullptr;
  bool stop_ = false;
  alignas(64) std::atomic<std::uint32_t> epoch_{0};    // moves once per run; workers wait for it
  // Workers of a group count down their own word, the last of them the groups: where all of many threads write one word, its
  // cache line is handed from core to core as often as there are threads.
  struct alignas(64) Group {
    std::atomic<std::uint32_t> left{0};
  };
  [[nodiscard]] int groups() const { return (threads_ - 1 + kGroupThreads - 1) / kGroupThreads; }
  [[nodiscard]] int group_size(int group) const { return std::min(kGroupThreads, threads_ - 1 - group * kGroupThreads); }
  void arrive(int thread);

  static constexpr int kGroupThreads = 8;
  const std::unique_ptr<Group[]> groups_;
  alignas(64) std::atomic<std::uint32_t> pending_{0};  // groups with a worker in the body; the caller waits for 0
  alignas(64) std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<std::uint32_t> caller_sleeps_{0};
  std::vector<std::thread> workers_;
};

}  // namespace herd
