#pragma once
// RankGround: where ranks of this process are made, and what those of a replica meet in. What actors know of it: no model, no
// device. Any thread.

#include <cstdint>
#include <memory>

#include "actors/ranks/rank.h"
#include "kernels/progress.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::actors {

// Which rank is to be made, and how it says where it is in its work.
struct RankStart {
  ReplicaId replica;
  std::uint32_t rank = 0;
  bool read_weights_again = false;         // not those that other ranks of this process have in memory: they may be damaged
  std::shared_ptr<ProgressWord> progress;  // not null; the rank's own thread writes it
};

class RankGround {
 public:
  virtual ~RankGround() = default;
  // A rank that is not prepared yet. On the thread that drives and destroys it.
  [[nodiscard]] virtual Expected<std::unique_ptr<Rank>> make_rank(const RankStart& start) = 0;
  // What the ranks of that generation meet in. Those of earlier epochs of the replica are forgotten.
  [[nodiscard]] virtual Expected<Rendezvous> open_group(ReplicaId replica, Epoch epoch) = 0;
  // Its ranks that wait for others return, now and later, and the group is forgotten. The first reason counts; one that was
  // given up before, or never opened, stays as it is.
  virtual void abort_group(ReplicaId replica, Epoch epoch, const Status& why) = 0;
};

}  // namespace herd::actors
