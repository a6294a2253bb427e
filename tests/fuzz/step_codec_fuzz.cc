// Any bytes as a StepPlan or a StepResult: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cluster/wire/step_codec.h"
#include "kernels/check.h"

namespace {

template <class Decode>
void try_decode(const herd::wire::Words& words, Decode decode) {
  const auto value = decode(words);
  if (!value) return;
  HERD_CHECK(validate(*value).ok(), "what decode lets through is valid");
  const auto again = decode(herd::wire::encode(*value).words);
  HERD_CHECK(again.has_value(), "a decoded value can be sent on");
  // Bytes, not values: NaN is not equal to itself.
  HERD_CHECK(herd::wire::encode(*again) == herd::wire::encode(*value), "a round trip changes nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  herd::wire::Words words((size - 8) / 8);
  if (!words.empty()) std::memcpy(words.data(), data + 8, words.size() * 8);
  if (data[0] % 2 == 0) {
    try_decode(words, herd::wire::decode_step_plan);
  } else {
    try_decode(words, herd::wire::decode_step_result);
  }
  return 0;
}
