// Any bytes as a Submission, TokenDeltas, Abort, Hello or a whole frame: refused, or a value that passes its own
// checks and survives a round trip. The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  herd::wire::Words words((size - 8) / 8);
  if (!words.empty()) std::memcpy(words.data(), data + 8, words.size() * 8);
  switch (data[0] % 5) {
    case 0:
      herd::wire::try_decode(words, herd::wire::decode_submission);
      break;
    case 1:
      herd::wire::try_decode(words, herd::wire::decode_token_deltas);
      break;
    case 2:
      herd::wire::try_decode(words, herd::wire::decode_hello);
      break;
    case 3:
      (void)herd::wire::decode_abort(words);
      break;
    default:
      (void)herd::wire::open(std::as_bytes(std::span(data + 8, size - 8)));
  }
  return 0;
}
