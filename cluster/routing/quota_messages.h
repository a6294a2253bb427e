#pragma once
// Limits of a key hold over all gateways of a cluster together: each gateway says what is asked of it and what it has left, and the
// coordinator answers with what it may let through. Values; they travel as schema/control.capnp says.
//
// Every QuotaDemand is answered by one QuotaShares of its number, and a gateway says the next one only after it has taken that: so
// what is moved from one gateway's bucket to another's is moved once.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/ids.h"

namespace herd::routing {

inline constexpr std::size_t kTenantsInUseMax = 4096;  // of a message; gateways name the busiest

// Of one limit per minute of one key at one gateway, in requests or tokens.
struct BucketDemand {
  double asked = 0;  // since the last message, let through or not; at least 0
  double held = 0;   // what its bucket has now; below 0: more was used than there was
  bool operator==(const BucketDemand&) const = default;
};
struct TenantDemand {
  std::uint64_t tenant = 0;  // access::ApiKey::tenant, the same on every gateway
  double weight = 1;         // of the key, as this gateway's file says; above 0
  BucketDemand requests{};
  BucketDemand prompt_tokens{};
  BucketDemand output_tokens{};
  std::uint32_t in_flight = 0;          // requests that wait or run there now
  std::uint32_t in_flight_refused = 0;  // since the last message, for want of a place among them
  std::uint32_t in_flight_max = 0;      // of the key, as this gateway's file says; 0: no limit
  std::uint32_t sequences = 0;          // of its requests in flight: they have a place on a replica, or want one
  bool operator==(const TenantDemand&) const = default;
};
// From a gateway, several times a second while there is something to say.
struct QuotaDemand {
  std::uint64_t number = 0;          // rising on a connection; not 0
  double seconds = 0;                // since the last message; (0, 3600]
  std::uint32_t running_max = 1;     // sequences that all gateways together may have running, as this one's file says; at least 1
  std::vector<TenantDemand> tenants{};  // rising, each once
  bool operator==(const QuotaDemand&) const = default;
};

struct BucketShare {
  double share = 1;  // of the limit and of what its bucket can hold; [0, 1]
  double moved = 0;  // add that to what it has; below 0: it goes to other gateways
  bool operator==(const BucketShare&) const = default;
};
struct TenantShare {
  std::uint64_t tenant = 0;
  BucketShare requests{};
  BucketShare prompt_tokens{};
  BucketShare output_tokens{};
  double in_flight = 1;  // of in_flight_max; [0, 1]
  double weight = 1;     // of the key's weight: as much of its work wants to run there; [0, 1]
  bool operator==(const TenantShare&) const = default;
};
// To a gateway: which part of each limit is its own until it hears again.
struct QuotaShares {
  std::uint64_t number = 0;          // of the demand that it answers; 0: of none, and then nothing is moved
  std::uint32_t gateways = 1;        // that share; at least 1
  double running = 1;                // of running_max; [0, 1]
  std::vector<TenantShare> tenants{};  // rising, each once; who is not named has 1 / gateways of each limit
  bool operator==(const QuotaShares&) const = default;
};

}  // namespace herd::routing
