#pragma once
// RankFate: how a rank's process ended, from whoever saw it, for the replica whose rank it was. Any thread.

#include <mutex>
#include <optional>
#include <utility>

#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"

namespace herd::actors {

class RankFate {
 public:
  struct End {
    routing::LossCause cause = routing::LossCause::kKilled;
    Status why;  // not ok
  };
  // The first word counts.
  void tell(End end) {
    const std::scoped_lock lock(mutex_);
    if (!end_) end_ = std::move(end);
  }
  // Nothing: nobody has seen it end.
  [[nodiscard]] std::optional<End> end() const {
    const std::scoped_lock lock(mutex_);
    return end_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<End> end_;
};

}  // namespace herd::actors
