#pragma once
// EventLoop: one thread that does what others post, in order, and one thing more at a time that is said with each turn. No CAF.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "runtime/clock.h"
#include "runtime/steady_clock.h"

namespace herd::processes {

class EventLoop {
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

  // One thread: does tasks until end(), and `on_time` whenever the time that `deadline` says has come; it is asked before each wait.
  template <class Deadline, class OnTime>
  void run(Deadline deadline, OnTime on_time) {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      if (!tasks_.empty()) {
        const std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        lock.unlock();
        task();
        lock.lock();
        continue;
      }
      lock.unlock();
      const std::optional<Instant> due = deadline();
      lock.lock();
      if (ended_ || !tasks_.empty()) continue;
      if (!due) {
        changed_.wait(lock);
      } else if (due->ns > steady_now().ns) {
        changed_.wait_for(lock, std::chrono::nanoseconds(due->ns - steady_now().ns));
      } else {
        lock.unlock();
        on_time();
        lock.lock();
      }
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ended_ = false;
};

}  // namespace herd::processes
