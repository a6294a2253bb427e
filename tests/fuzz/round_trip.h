#pragma once
// What every codec's fuzz target asks of a message: refused, or valid and unchanged by another round trip.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/envelope.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/link_codec.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"

namespace herd::wire {

// What follows the eight bytes that choose the message; at least those are there.
inline Words words_of(const std::uint8_t* data, std::size_t size) {
  Words words((size - 8) / 8);
  if (!words.empty()) std::memcpy(words.data(), data + 8, words.size() * 8);
  return words;
}

template <class Decode>
void try_decode(const Words& words, Decode decode) {
  const auto value = decode(words);
  if (!value) return;
  HERD_CHECK(validate(*value).ok(), "what decode lets through is valid");
  const auto again = decode(encode(*value).words);
  HERD_CHECK(again.has_value(), "a decoded value can be sent on");
  // Bytes, not values: NaN is not equal to itself.
  HERD_CHECK(encode(*again) == encode(*value), "a round trip changes nothing");
}

}  // namespace herd::wire
