// Any bytes as a message between a node, a leader and its ranks: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/group_codec.h"
#include "tests/fuzz/round_trip.h"

namespace {

void decode_one(int choice, const herd::wire::Words& words) {
  switch (choice) {
    case 0:
      return herd::wire::try_decode(words, herd::wire::decode_rank_loading);
    case 1:
      return herd::wire::try_decode(words, herd::wire::decode_rank_ready);
    case 2:
      return herd::wire::try_decode(words, herd::wire::decode_form_replica);
    case 3:
      return herd::wire::try_decode(words, herd::wire::decode_join_group);
    case 4:
      return herd::wire::try_decode(words, herd::wire::decode_rank_joined);
    case 5:
      return herd::wire::try_decode(words, herd::wire::decode_leave_group);
    case 6:
      return herd::wire::try_decode(words, herd::wire::decode_rank_left);
    case 7:
      return herd::wire::try_decode(words, herd::wire::decode_rank_failed);
    case 8:
      return herd::wire::try_decode(words, herd::wire::decode_stop_replica);
    case 9:
      return herd::wire::try_decode(words, herd::wire::decode_rank_ended);
    case 10:
      return herd::wire::try_decode(words, herd::wire::decode_generation_ended);
    default:
      return herd::wire::try_decode(words, herd::wire::decode_replica_report);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  decode_one(data[0] % 12, words);
  return 0;
}
