// Any bytes as a Ping or a Goodbye: refused, or a value that passes its own checks and survives a round trip. The first eight
// bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/link_codec.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  if (data[0] % 2 == 0) {
    herd::wire::try_decode(words, herd::wire::decode_ping);
  } else {
    herd::wire::try_decode(words, herd::wire::decode_goodbye);
  }
  return 0;
}
