#pragma once
// ReplicaSignals: what an autoscaler goes by, of one replica: how much it can do, and how near it is to that. Pure. What it has to do is
// in its ReplicaLoad, and in the queues of the gateways.

#include <algorithm>
#include <cstdint>

#include "cluster/routing/replica_load.h"

namespace herd::routing {

struct ReplicaSignals {
  double capacity_tokens_per_s = 0.0;  // 0: not known
  double saturation = 0.0;             // [0, 1]
};

// `places`: sequences that it runs at one time. `kv_held`: share of its KV blocks that sequences hold.
//
// Capacity: a token for each place in a step of all places. That step takes what one of the sequences that run is predicted to take, and
// for each place that is free what a row costs where arithmetic is the bound; where reading weights is, a row costs less, so that the
// true capacity is rather above this.
// Saturation: the share of its places that are taken, those that wait included, or of its KV blocks that are held, whichever is larger.
[[nodiscard]] inline ReplicaSignals signals_of(const ReplicaLoad& load, std::uint32_t places, double kv_held) {
  ReplicaSignals signals;
  if (places == 0) return signals;
  const double taken = static_cast<double>(load.running) + load.waiting;
  signals.saturation = std::clamp(std::max(taken / places, kv_held), 0.0, 1.0);
  if (!(load.decode_step_s > 0)) return signals;
  const double free = places - std::min(places, std::max(load.running, 1U));
  signals.capacity_tokens_per_s = places / (load.decode_step_s + free * load.prompt_token_s);
  return signals;
}

}  // namespace herd::routing
