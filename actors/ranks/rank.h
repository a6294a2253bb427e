#pragma once
// Rank: one rank through its lives, as its actor drives it on one thread: prepare once, then a group after another.
//
//   made --prepare--> free --join--> in a group --leave--> free --join (next epoch)--> ...
// In a group it computes through executor(). A rank that throws is in no known state: it ends, and another is made.

#include <string>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/shard/rank_executor.h"

namespace herd::actors {

// Where the ranks of a group meet; only those who meet there look inside. A name in this process, the handle of shared memory, an
// NCCL id.
using Rendezvous = std::string;

class Rank {
 public:
  virtual ~Rank() = default;
  // Weights, KV memory, step buffers; says what was measured on the way. Once.
  [[nodiscard]] virtual Expected<scheduler::DeviceRates> prepare() = 0;
  // Enters a group of that epoch; all its ranks do so at the same time. kAborted: the group was given up meanwhile.
  [[nodiscard]] virtual Status join(Epoch epoch, const Rendezvous& rendezvous) = 0;
  // Forgets the group and the sequences of it; keeps weights and memory.
  virtual void leave() = 0;
  // In a group: what executes its plans.
  [[nodiscard]] virtual shard::RankExecutor& executor() = 0;
};

}  // namespace herd::actors
