// IoThread: one io_context, the thread that runs it and the connections that live on it. A connection never leaves its
// thread, so that it needs no lock; outboxes from other threads are queued here and one posted call empties the queue.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "endpoint/http/http_session.h"
#include "endpoint/http/response_outbox.h"
#include "runtime/steady_clock.h"

namespace herd::http {

// A connection, as its thread sees it.
class ThreadConnection : public OutboxOwner {
 public:
  virtual void drain() = 0;
  virtual void stop() = 0;  // closes at once
  virtual std::shared_ptr<ThreadConnection> self() = 0;
};

class IoThread final : public OutboxWaker {
 public:
  static constexpr std::size_t kScratchBytes = 64 * 1024;

  IoThread() : guard_(boost::asio::make_work_guard(context)), scratch(std::make_unique<char[]>(kScratchBytes)) {}

  void start() {
    thread_ = std::thread([this] { context.run(); });
  }

  void wake(std::shared_ptr<ResponseOutbox> outbox) override {
    const std::lock_guard lock(mutex_);
    if (!open_) return;
    ready_.push_back(std::move(outbox));
    if (ready_.size() == 1) boost::asio::post(context, [this] { on_ready(); });
  }

  // The rest: on this thread.
  void add(ThreadConnection& connection) { connections_.insert(&connection); }
  void remove(ThreadConnection& connection) { connections_.erase(&connection); }
  [[nodiscard]] bool stopping() const { return stopping_; }

  void drain_connections() {
    for (const auto& connection : held_connections()) connection->drain();
  }
  void stop_connections() {
    stopping_ = true;
    for (const auto& connection : held_connections()) connection->stop();
  }

  // Any other thread, once, after stop_connections() was posted: waits until the last operation has ended.
  void join() {
    guard_.reset();
    if (thread_.joinable()) thread_.join();
    const std::lock_guard lock(mutex_);
    open_ = false;
    ready_.clear();
  }

  boost::asio::io_context context{1};

 private:
  void on_ready() {
    {
      const std::lock_guard lock(mutex_);
      taken_.swap(ready_);
    }
    for (const std::shared_ptr<ResponseOutbox>& outbox : taken_) {
      if (outbox->owner) outbox->owner->on_outbox_ready();
    }
    taken_.clear();
  }

  std::vector<std::shared_ptr<ThreadConnection>> held_connections() {
    std::vector<std::shared_ptr<ThreadConnection>> held;
    for (ThreadConnection* connection : connections_) held.push_back(connection->self());
    return held;
  }

  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
  std::unordered_set<ThreadConnection*> connections_;
  bool stopping_ = false;

  std::mutex mutex_;
  bool open_ = true;
  std::vector<std::shared_ptr<ResponseOutbox>> ready_;
  std::vector<std::shared_ptr<ResponseOutbox>> taken_;

 public:
  // What a read fills until the session has looked at it: idle connections hold no buffer.
  const std::unique_ptr<char[]> scratch;
};

}  // namespace herd::http
