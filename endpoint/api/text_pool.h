#pragma once
// TextPool: a few threads for work on text (parsing bodies, tokenizing, scrapes), so that it runs neither on an I/O thread
// nor on a rank. What waits, and whose turn it is, is TextQueue's.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "endpoint/api/text_queue.h"

namespace herd::api {

// Of a pool for scrapes alone.
inline constexpr TextBounds kScrapeBounds{.tasks = 128, .bytes = 0};

// All methods: any thread.
class TextPool {
 public:
  TextPool(int threads, const TextBounds& bounds);  // throws std::system_error where the threads are not to be had
  ~TextPool();  // finishes what waits
  TextPool(const TextPool&) = delete;
  TextPool& operator=(const TextPool&) = delete;

  // Nothing where a bound is reached; the task was not taken. One that throws is over, nothing else is.
  [[nodiscard]] std::optional<TextQueue::TaskId> post(TextTask task);
  // Nobody wants it any more: a task that waits is freed without being run; one that runs goes on.
  void drop(const TextQueue::TaskId& id);
  // Waits until no task waits or runs; false when `timeout` passed first.
  [[nodiscard]] bool await_idle(std::chrono::milliseconds timeout);

 private:
  void work();
  void end();

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable idle_;
  TextQueue queue_;
  int running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace herd::api
