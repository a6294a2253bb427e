#pragma once
// What every codec's fuzz target asks of a message: refused, or valid and unchanged by another round trip.

#include "cluster/wire/control_codec.h"
#include "cluster/wire/envelope.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"

namespace herd::wire {

template <class Decode>
void try_decode(const Words& words, Decode decode) {
  const auto value = decode(words);
  if (!value) return;
  HERD_CHECK(wire::validate(*value).ok(), "what decode lets through is valid");
  const auto again = decode(wire::encode(*value).words);
  HERD_CHECK(again.has_value(), "a decoded value can be sent on");
  // Bytes, not values: NaN is not equal to itself.
  HERD_CHECK(wire::encode(*again) == wire::encode(*value), "a round trip changes nothing");
}

}  // namespace herd::wire
