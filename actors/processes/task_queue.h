#pragma once
// TaskQueue: what the threads of a process have for its main thread to do, in order. No CAF.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
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
  // One thread: until end().
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || !tasks_.empty(); });
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
};

}  // namespace herd::actors
