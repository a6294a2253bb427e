#pragma once
// RoutingStats: what a gateway's router has counted. Value.

#include <cstdint>

namespace herd::routing {

struct RoutingStats {
  std::uint64_t prompt_tokens = 0;  // of sequences that were sent
  std::uint64_t held_tokens = 0;    // of these, that the cache they were sent to was taken to hold
  std::uint64_t news_missed = 0;    // batches: the replica was asked for all it has
  bool operator==(const RoutingStats&) const = default;
};

}  // namespace herd::routing
