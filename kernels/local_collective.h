#pragma once
// The in-process Collective: ranks are threads of one process and read each other's memory between two barriers.

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/collective.h"

namespace herd {

struct LocalCollectiveConfig {
  // How long a rank waits for the others in one operation before it gives the group up.
  std::int64_t deadline_ms = 60'000;
};

// One Collective per rank, in rank order; they share a group and may outlive each other. Each is used by one thread
// at a time; abort() and status() by any.
std::vector<std::unique_ptr<Collective>> make_local_group(int size, const LocalCollectiveConfig& config = {});

}  // namespace herd
