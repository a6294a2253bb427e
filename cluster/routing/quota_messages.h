#pragma once
// Limits of a key hold over all gateways of a cluster together: each gateway says what is asked of it, and the coordinator hands out
// what each may let through. Values; they travel as schema/control.capnp says.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/ids.h"

namespace herd::routing {

inline constexpr std::size_t kTenantsInUseMax = 4096;  // of a message; gateways name the busiest

// From a gateway, several times a second while there is something to say: what each tenant asked of it since its last message, let
// through or not.
struct TenantDemand {
  std::uint64_t tenant = 0;          // access::ApiKey::tenant, the same on every gateway
  double requests = 0;
  double prompt_tokens = 0;
  double output_tokens = 0;
  std::uint32_t in_flight = 0;       // requests that wait or run there now
  std::uint32_t sequences = 0;       // of these: they want a place on a replica
  double weight = 1;                 // of the key, as this gateway's file says
  bool operator==(const TenantDemand&) const = default;
};
struct QuotaDemand {
  double seconds = 0;                // since the last message; (0, 3600]
  std::vector<TenantDemand> tenants; // rising, each once
  bool operator==(const QuotaDemand&) const = default;
};

// To a gateway: which part of each limit is its own until it hears again. A tenant that is not named has 1 / gateways of each.
struct TenantShare {
  std::uint64_t tenant = 0;
  double rate = 1;                   // of requests_per_minute, prompt_tokens_per_minute, output_tokens_per_minute; [0, 1]
  double in_flight = 1;              // of in_flight_max; [0, 1]
  bool operator==(const TenantShare&) const = default;
};
struct QuotaShares {
  std::uint32_t gateways = 1;        // that share; at least 1
  double running = 1;                // of the sequences that all gateways together may have running; [0, 1]
  std::vector<TenantShare> tenants;  // rising, each once
  bool operator==(const QuotaShares&) const = default;
};

}  // namespace herd::routing
