#include "endpoint/api/text_pool.h"

#include <exception>
#include <utility>

namespace herd::api {

TextPool::TextPool(int threads, const TextBounds& bounds) : queue_(bounds) {
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

std::optional<TextQueue::TaskId> TextPool::post(TextTask task) {
  std::optional<TextQueue::TaskId> id;
  {
    const std::scoped_lock lock(mutex_);
    if (!stop_) id = queue_.push(std::move(task));
  }
  if (id) arrived_.notify_one();
  return id;
}

void TextPool::drop(const TextQueue::TaskId& id) {
  std::optional<TextTask> dropped;  // freed without the lock
  const std::scoped_lock lock(mutex_);
  dropped = queue_.remove(id);
  if (queue_.empty() && running_ == 0) idle_.notify_all();
}

bool TextPool::await_idle(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, timeout, [this] { return queue_.empty() && running_ == 0; });
}

void TextPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    arrived_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    std::optional<TextTask> task = queue_.pop();
    if (!task) return;
    ++running_;
    lock.unlock();
    try {
      task->run();
    } catch (const std::exception&) {
      // Memory ran out over one request: its responder, dropped with the task, answers 500. The others go on.
    }
    task.reset();
    lock.lock();
    --running_;
    if (queue_.empty() && running_ == 0) idle_.notify_all();
  }
}

}  // namespace herd::api
