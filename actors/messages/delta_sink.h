#pragma once
// DeltaSink: where a sequence's deltas go. The gateway calls it on its own thread and never waits for it: a sink
// that is full says so and its sequence is cancelled (credits instead of unbounded buffers).

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

#include "runtime/step/submission.h"

namespace herd::actors {

class DeltaSink {
 public:
  virtual ~DeltaSink() = default;
  // Takes one delta, at once. False: no credit left, the delta was not taken and the sequence is cancelled; its
  // terminal delta still follows. A terminal delta (finish set) must always be taken; it is the last call for
  // its sequence. One sink may serve many sequences.
  virtual bool push(const step::TokenDelta& delta) = 0;
};

// A bounded queue between the gateway and a caller that waits. Any threads.
class DeltaQueue final : public DeltaSink {
 public:
  // deltas_max bounds the deltas that wait; terminal ones always fit (one per submitted sequence).
  explicit DeltaQueue(std::size_t deltas_max) : deltas_max_(deltas_max) {}
  bool push(const step::TokenDelta& delta) override;
  // The next delta, or nothing when none came within `timeout`.
  [[nodiscard]] std::optional<step::TokenDelta> next(std::chrono::milliseconds timeout);

 private:
  const std::size_t deltas_max_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<step::TokenDelta> waiting_;
};

}  // namespace herd::actors
