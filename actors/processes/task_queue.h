#pragma once
// TaskQueue: what the threads of a process have for its main thread to do, in order. No CAF.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

namespace herd::actors {

class TaskQueue {
 public:
  // Any thread. After end() nothing is done any more.
  void post(std::function<void()> task) {
    const std::scoped_lock lock(mutex_);
    tasks_.push_back(std::move(task));
    changed_.notify_one();
  }
  void end() {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
    changed_.notify_one();
  }
  // As end(), so long from now. From a task.
  void end_after(std::chrono::milliseconds delay) {
    const std::scoped_lock lock(mutex_);
    ends_at_ = std::chrono::steady_clock::now() + delay;
  }
  // One thread: until the end.
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto has_work = [this] { return ended_ || !tasks_.empty(); };
      if (!ends_at_) changed_.wait(lock, has_work);
      else if (!changed_.wait_until(lock, *ends_at_, has_work) || std::chrono::steady_clock::now() >= *ends_at_) return;
      if (ended_) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ended_ = false;
  std::optional<std::chrono::steady_clock::time_point> ends_at_;
};

}  // namespace herd::actors
