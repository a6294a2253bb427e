// Any bytes as a RankSpec: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes are left out, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/rank_codec.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  herd::wire::try_decode(words, herd::wire::decode_rank_spec);
  return 0;
}
