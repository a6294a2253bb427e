#pragma once
// ChildKeeper: child processes for a process of many threads. Any of them orders; the one that calls poll(), which lives as long as
// the process, starts and watches them. No CAF.

#include <chrono>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "actors/children/child_processes.h"

namespace herd::children {

class ChildKeeper {
 public:
  using Task = std::function<void(ChildProcesses&)>;

  // Done within poll(), in the order of the orders. Any thread.
  void post(Task task) {
    {
      const std::scoped_lock lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    children_.wake();
  }
  // Until the next poll() something is to be looked at. Any thread or signal handler.
  void wake() { children_.wake(); }

  // Does what was posted, then what ChildProcesses::poll() does.
  void poll(std::chrono::milliseconds timeout) {
    do_tasks();
    children_.poll(timeout);
    do_tasks();
  }
  [[nodiscard]] std::size_t running() const { return children_.running(); }

 private:
  void do_tasks() {
    std::vector<Task> tasks;
    {
      const std::scoped_lock lock(mutex_);
      tasks.swap(tasks_);
    }
    for (const Task& task : tasks) task(children_);
  }

  ChildProcesses children_;
  std::mutex mutex_;  // of tasks_
  std::vector<Task> tasks_;
};

}  // namespace herd::children
