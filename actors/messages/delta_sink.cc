#include "actors/messages/delta_sink.h"

#include <utility>

namespace herd::actors {

bool DeltaQueue::push(const step::TokenDelta& delta) {
  {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= deltas_max_ && delta.finish == step::FinishReason::kNone) return false;
    waiting_.push_back(delta);
  }
  arrived_.notify_one();
  return true;
}

std::optional<step::TokenDelta> DeltaQueue::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (!arrived_.wait_for(lock, timeout, [this] { return !waiting_.empty(); })) return std::nullopt;
  std::optional<step::TokenDelta> delta(std::move(waiting_.front()));
  waiting_.pop_front();
  return delta;
}

}  // namespace herd::actors
