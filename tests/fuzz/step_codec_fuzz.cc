// Any bytes as a StepPlan or a StepResult: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cluster/wire/step_codec.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  herd::wire::Words words((size - 8) / 8);
  if (!words.empty()) std::memcpy(words.data(), data + 8, words.size() * 8);
  if (data[0] % 2 == 0) {
    herd::wire::try_decode(words, herd::wire::decode_step_plan);
  } else {
    herd::wire::try_decode(words, herd::wire::decode_step_result);
  }
  return 0;
}
