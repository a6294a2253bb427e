#pragma once
// StepProgress: since when nothing moves although something waits to, as a gateway sees it. What moves is steps: a long prefill
// makes none of the tokens that anybody waits for, and is no reason to call a server stuck. Pure.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "cluster/routing/cluster_view.h"
#include "runtime/clock.h"

namespace herd::gateway {

class StepProgress {
 public:
  // What a replica says of itself: steps it has finished, and whether sequences run or wait there.
  void on_report(routing::ReplicaGeneration from, std::uint64_t steps, bool busy, Instant now);
  void on_lost(routing::ReplicaGeneration replica) { replicas_.erase(replica); }
  // So many sequences of this gateway are open.
  void on_open(std::size_t sequences, Instant now);

  // Of the busy replicas, the earliest of their last steps (or of their beginning to be busy); without a busy one, since when
  // sequences are open and nobody has them. nullopt: none is open.
  [[nodiscard]] std::optional<Instant> silent_since() const;

 private:
  struct Replica {
    std::uint64_t steps = 0;
    bool busy = false;
    Instant moved;
  };
  [[nodiscard]] bool any_busy() const;

  std::map<routing::ReplicaGeneration, Replica> replicas_;
  std::size_t open_ = 0;
  Instant idle_at_;  // the last time that a replica was busy or nothing was open
};

}  // namespace herd::gateway
