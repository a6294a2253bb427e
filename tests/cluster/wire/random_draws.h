#pragma once
// What random values are made of.

#include <random>
#include <string>

#include "cluster/routing/cluster_view.h"
#include "kernels/status.h"

namespace herd::wire {

using Random = std::mt19937_64;

inline std::uint64_t below(Random& random, std::uint64_t bound) { return random() % bound; }
inline bool maybe(Random& random) { return below(random, 2) == 0; }
inline float between(Random& random, float low, float high) {
  return low + (high - low) * static_cast<float>(below(random, 1001)) / 1000.0F;
}
inline std::uint32_t number(Random& random) { return static_cast<std::uint32_t>(random()); }
// Finite, not negative, in steps of a microsecond.
inline double seconds(Random& random) { return static_cast<double>(below(random, 1'000'000'000)) * 1e-6; }
inline std::string letters(Random& random, std::size_t least, std::size_t most, char letter) {
  return std::string(least + below(random, most - least + 1), letter);
}

inline Status failure(Random& random) { return {static_cast<StatusCode>(1 + below(random, 6)), letters(random, 0, 99, 'x')}; }
inline Status status(Random& random) { return maybe(random) ? Status() : failure(random); }

// Of a view: with or without an address.
routing::ReplicaView random_replica(Random& random, ReplicaId id);

}  // namespace herd::wire
