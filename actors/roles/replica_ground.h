#pragma once
// ReplicaGround: where the ranks of one replica run and how its generations are formed: what differs between threads of this
// process (thread_ground.h) and processes of their own (actors/remote/child_ground.h). Its supervisor uses it, and nobody else.

#include <cstdint>
#include <memory>
#include <vector>

#include "actors/messages/type_ids.h"
#include "kernels/progress.h"
#include "kernels/status.h"
#include "runtime/scheduler/step_cost.h"

namespace herd::actors {

struct StartedRank {
  RankHandle handle;                             // the supervisor watches it: its end is the rank's
  std::shared_ptr<const ProgressWord> progress;  // where it is in its work
};

// A generation that is to be made, of ranks that are prepared and in no group.
struct Formation {
  routing::ReplicaView view;
  std::vector<StartedRank> ranks;
  scheduler::DeviceRates rates;  // of the slowest of them
  CoordinatorHandle coordinator;  // it and the supervisor are told whether the generation serves, and when it is lost
  SupervisorHandle supervisor;
};

// How a rank is ended.
enum class EndRank : std::uint8_t {
  kInOrder,  // nobody needs it any more
  kAtOnce,   // it hangs, or what it has in memory is damaged
};

class ReplicaGround {
 public:
  virtual ~ReplicaGround() = default;
  // A rank, which does nothing before PrepareRank.
  [[nodiscard]] virtual StartedRank start_rank(std::uint32_t rank, bool read_weights_again) = 0;
  virtual void end_rank(const RankHandle& rank, EndRank how) = 0;
  // What the coordinator is asked for a generation with; without the supervisor. All ranks are prepared.
  [[nodiscard]] virtual PlaceReplica place_order() = 0;
  // The replica of that generation. Not ok: it cannot be made.
  [[nodiscard]] virtual Expected<ReplicaHandle> form(Formation formation) = 0;
  // That generation is gone: its address leads nowhere, and ranks that wait for others in its group return.
  virtual void abort(routing::ReplicaGeneration generation, const Status& why) = 0;
};

}  // namespace herd::actors
