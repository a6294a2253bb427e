// Any bytes as a message between leaders while KV blocks move: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/moves_codec.h"
#include "tests/fuzz/round_trip.h"

namespace {

void decode_one(int choice, const herd::wire::Words& words) {
  switch (choice) {
    case 0:
      return herd::wire::try_decode(words, herd::wire::decode_move_ask);
    case 1:
      return herd::wire::try_decode(words, herd::wire::decode_move_grant);
    case 2:
      return herd::wire::try_decode(words, herd::wire::decode_move_stop);
    case 3:
      return herd::wire::try_decode(words, herd::wire::decode_move_found);
    default:
      return herd::wire::try_decode(words, herd::wire::decode_move_over);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  decode_one(data[0] % 5, words);
  return 0;
}
