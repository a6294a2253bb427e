// Any bytes as a Submission, TokenDeltas, Abort, Hello or a whole frame: refused, or a value that passes its own
// checks and survives a round trip. The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
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
  switch (data[0] % 5) {
    case 0: try_decode(words, herd::wire::decode_submission); break;
    case 1: try_decode(words, herd::wire::decode_token_deltas); break;
    case 2: try_decode(words, herd::wire::decode_hello); break;
    case 3: (void)herd::wire::decode_abort(words); break;
    default: (void)herd::wire::open(std::as_bytes(std::span(data + 8, size - 8)));
  }
  return 0;
}
