#pragma once
// LiveRanks: how many ranks still hold a thread of this process. Whoever shuts down waits for them, but not for ever: a thread that
// hangs in what it computes cannot be ended. Any thread.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

namespace herd::actors {

class LiveRanks {
 public:
  // One rank, for as long as this is there.
  class Place {
   public:
    explicit Place(std::shared_ptr<LiveRanks> ranks) : ranks_(std::move(ranks)) { ranks_->add(1); }
    ~Place() { ranks_->add(-1); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    const std::shared_ptr<LiveRanks> ranks_;
  };

  // Until there is none; false when `patience` passed first.
  [[nodiscard]] bool await_none(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [this] { return count_ == 0; });
  }

 private:
  void add(int ranks) {
    const std::scoped_lock lock(mutex_);
    count_ += ranks;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

}  // namespace herd::actors
