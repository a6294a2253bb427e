#pragma once
// MoveStats: what a replica has counted of KV blocks that moved. Value; counters rise only.

#include <cstdint>

namespace herd::replica {

struct MoveStats {
  std::uint64_t fetches = 0;             // moves that this replica asked for
  std::uint64_t fetches_whole = 0;       // of these, those that brought all that was wanted
  std::uint64_t fetches_failed = 0;      // and those that brought less; the rest is under way
  std::uint64_t blocks_in = 0;           // taken from others
  std::uint64_t bytes_in = 0;
  std::uint64_t blocks_recomputed = 0;   // wanted from others and computed here, as they did not come or came damaged
  std::uint64_t blocks_damaged = 0;      // of these
  std::uint64_t blocks_out = 0;          // given to others
  std::uint64_t bytes_out = 0;
  std::uint64_t leases_expired = 0;      // takers that were silent for too long
  std::uint32_t open = 0;                // moves under way, in and out
  double token_s = 0.0;                  // what a token took to come, lately; 0: none has come yet
  bool operator==(const MoveStats&) const = default;
};

}  // namespace herd::replica
