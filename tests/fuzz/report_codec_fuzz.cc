// Any bytes as a report of processes or an order of an operator: refused, or a value that passes its own checks and survives a round trip.
// The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/report_codec.h"
#include "tests/fuzz/round_trip.h"

namespace {

void decode_one(int choice, const herd::wire::Words& words) {
  switch (choice) {
    case 0:
      return herd::wire::try_decode(words, herd::wire::decode_process_reports);
    case 1:
      return herd::wire::try_decode(words, herd::wire::decode_status_ask);
    case 2:
      return herd::wire::try_decode(words, herd::wire::decode_cluster_status);
    case 3:
      return herd::wire::try_decode(words, herd::wire::decode_drain_ask);
    case 4:
      return herd::wire::try_decode(words, herd::wire::decode_reload_ask);
    case 5:
      return herd::wire::try_decode(words, herd::wire::decode_order_answer);
    case 6:
      return herd::wire::try_decode(words, herd::wire::decode_reload_prepare);
    case 7:
      return herd::wire::try_decode(words, herd::wire::decode_reload_prepared);
    default:
      return herd::wire::try_decode(words, herd::wire::decode_reload_decision);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  decode_one(data[0] % 9, words);
  return 0;
}
