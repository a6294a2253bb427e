#pragma once
// RankFate: how a rank's process ended, from whoever saw it, for the replica whose rank it was. Any thread.

#include <mutex>
#include <optional>
#include <utility>

#include "cluster/routing/replica_loss.h"

namespace herd::actors {

class RankFate {
 public:
  // The first word counts.
  void tell(routing::RankLoss end) {
    const std::scoped_lock lock(mutex_);
    if (!end_) end_ = std::move(end);
  }
  // Nothing: nobody has seen it end.
  [[nodiscard]] std::optional<routing::RankLoss> end() const {
    const std::scoped_lock lock(mutex_);
    return end_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<routing::RankLoss> end_;
};

}  // namespace herd::actors
