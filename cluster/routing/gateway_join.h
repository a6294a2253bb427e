#pragma once
// GatewayJoin: a gateway asks the coordinator for views, and says which one it has. Value.

#include <cstdint>

#include "runtime/ids.h"

namespace herd::routing {

struct GatewayJoin {
  GatewayId gateway;
  // Of its newest view, so that a coordinator that starts again begins beyond it; 0, 0: it has none.
  Epoch cluster_epoch;
  std::uint64_t view_number = 0;
  bool operator==(const GatewayJoin&) const = default;
};

}  // namespace herd::routing
