// Any bytes as a StepPlan, a StepResult or a BlockPart: refused, or a value that passes its own checks and survives a round
// trip. The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/step_codec.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  switch (data[0] % 3) {
    case 0:
      herd::wire::try_decode(words, herd::wire::decode_step_plan);
      break;
    case 1:
      herd::wire::try_decode(words, herd::wire::decode_step_result);
      break;
    default:
      herd::wire::try_decode(words, herd::wire::decode_block_part);
  }
  return 0;
}
