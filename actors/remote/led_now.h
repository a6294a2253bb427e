#pragma once
// LedNow: the generation that a leader's process has now, for those who hear of that process. A leader that dies while its generation is
// being made is remembered until another one is started, so that the generation is told of it whichever came first. Any thread.

#include <mutex>
#include <optional>
#include <utility>

#include "actors/remote/led_replica.h"

namespace herd::actors {

class LedNow {
 public:
  void on_leader_started() {
    const std::scoped_lock lock(mutex_);
    death_.reset();
  }
  void on_leader_died(const routing::RankLoss& death) {
    const std::scoped_lock lock(mutex_);
    death_ = death;
    if (replica_) caf::anon_send(replica_, LeaderDied{death});
  }
  // It is there from now on; of a leader that is dead already it hears at once.
  void set(LedReplicaHandle replica) {
    const std::scoped_lock lock(mutex_);
    replica_ = std::move(replica);
    if (death_) caf::anon_send(replica_, LeaderDied{*death_});
  }
  template <class Message>
  void tell(const Message& message) {
    const std::scoped_lock lock(mutex_);
    if (replica_) caf::anon_send(replica_, message);
  }
  LedReplicaHandle take() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(replica_, nullptr);
  }

 private:
  std::mutex mutex_;
  LedReplicaHandle replica_;        // null: there is none
  std::optional<routing::RankLoss> death_;  // of the leader's process that was started last
};

}  // namespace herd::actors
