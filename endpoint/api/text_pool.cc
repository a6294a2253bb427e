#include "endpoint/api/text_pool.h"

#include <exception>
#include <utility>

namespace herd::api {

TextPool::TextPool(int threads, std::size_t tasks_max) : tasks_max_(tasks_max) {
  try {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {
    end();
    throw;
  }
}

TextPool::~TextPool() { end(); }

void TextPool::end() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool TextPool::post(std::function<void()> task) {
  {
    const std::scoped_lock lock(mutex_);
    if (stop_ || tasks_.size() >= tasks_max_) return false;
    tasks_.push_back(std::move(task));
  }
  arrived_.notify_one();
  return true;
}

void TextPool::work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    try {
      task();
    } catch (const std::exception&) {
      // Memory ran out over one request: its responder, dropped with the task, answers 500. The others go on.
    }
  }
}

}  // namespace herd::api
