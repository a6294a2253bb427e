#pragma once
// TextPool: a few threads for work on text (parsing bodies, tokenizing, scrapes), so that it runs neither on an I/O thread
// nor on a rank. Bounded.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace herd::api {

class TextPool {
 public:
  TextPool(int threads, std::size_t tasks_max);  // throws std::system_error where the threads are not to be had
  ~TextPool();  // finishes what waits
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  // False when tasks_max wait already; the task was not taken. One that throws is over, nothing else is.
  [[nodiscard]] bool post(std::function<void()> task);

 private:
  void work();
  void end();

  const std::size_t tasks_max_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace herd::api
