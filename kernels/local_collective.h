#pragma once
// The Collective of ranks on one machine, through memory of the group (local_group.h). An operation is one barrier: a
// rank puts its bytes in its slot, waits for the others, and takes theirs; the next operation uses the other slot, which
// nobody reads any more once all have come to it. What is larger than a slot goes in pieces.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/collective.h"

namespace herd {

struct LocalCollectiveConfig {
  // How long a rank waits for the others in one operation before it gives the group up.
  std::int64_t deadline_ms = 60'000;
  // A slot stays in the cache; ranks that sleep between pieces still have enough to do in one.
  std::size_t slot_bytes = std::size_t{256} << 10;
  // How many ranks share the CPUs that this process may use: a rank spins for a moment before it sleeps where each of them has one.
  // 0: all ranks of the group do, as threads of one process. Each rank's own affair.
  int cpu_sharers = 0;
};

// One Collective per rank, in rank order, for threads of this process; 1 to 8. They share a group and may outlive each
// other. Each is used by one thread at a time; abort() and status() by any. All operations are there.
std::vector<std::unique_ptr<Collective>> make_local_group(int size, const LocalCollectiveConfig& config = {});

// The same for processes: memory of local_group_bytes(), 64-byte aligned, that all map wherever they like. One prepares
// it before the others join; `memory` owns the mapping. All give the same size and slot_bytes.
[[nodiscard]] std::size_t local_group_bytes(int size, const LocalCollectiveConfig& config = {});
void prepare_local_group(void* memory);
std::unique_ptr<Collective> join_local_group(std::shared_ptr<void> memory, int rank, int size,
                                             const LocalCollectiveConfig& config = {});

}  // namespace herd
