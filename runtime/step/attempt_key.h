#pragma once
// AttemptKey: what a sequence is called between processes. A replica serves several gateways, and a gateway that starts
// again counts from the beginning, so a number alone would name two sequences.

#include <compare>
#include <cstdint>

#include "runtime/ids.h"

namespace herd::step {

struct AttemptKey {
  GatewayId gateway;
  SequenceId sequence;        // the gateway's number
  std::uint32_t attempt = 0;  // the first is 0; each replica that takes the sequence gets the next
  constexpr auto operator<=>(const AttemptKey&) const = default;
};

}  // namespace herd::step
