// Any bytes as a message between a node and the coordinator: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/membership_codec.h"
#include "tests/fuzz/round_trip.h"

namespace {

void decode_one(int choice, const herd::wire::Words& words) {
  switch (choice) {
    case 0:
      return herd::wire::try_decode(words, herd::wire::decode_node_join);
    case 1:
      return herd::wire::try_decode(words, herd::wire::decode_assignment);
    case 2:
      return herd::wire::try_decode(words, herd::wire::decode_place_ask);
    case 3:
      return herd::wire::try_decode(words, herd::wire::decode_placed);
    case 4:
      return herd::wire::try_decode(words, herd::wire::decode_serving);
    case 5:
      return herd::wire::try_decode(words, herd::wire::decode_given_up);
    default:
      return herd::wire::try_decode(words, herd::wire::decode_node_leaving);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  decode_one(data[0] % 7, words);
  return 0;
}
