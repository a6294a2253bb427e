// Any text as an event id, and any fields under a right MAC (mutation alone never makes one): what is accepted is
// spelled as encode() spells it.
//
// The first byte of the input says which: 0 mod 2, the rest is the text; 1 mod 2, the rest is the fields.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/access/base64url.h"
#include "endpoint/access/event_id.h"
#include "endpoint/access/hmac_sha256.h"
#include "kernels/check.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::array<std::uint8_t, herd::access::EventIdCodec::kKeyBytes> kKey = {1, 2, 3};
constexpr std::string_view kTenant = "t";

const herd::access::EventIdCodec& codec() {
  static const herd::access::EventIdCodec kCodec(kKey, "s");
  return kCodec;
}

std::string with_mac(std::span<const std::uint8_t> fields) {
  static const herd::access::HmacSha256 kHmac(kKey, Bytes{1, 0, 0, 0, 0, 0, 0, 0, 's'});
  const auto mac = kHmac.of({Bytes{1, 0, 0, 0, 0, 0, 0, 0, 't'}, fields});
  Bytes all(fields.begin(), fields.end());
  all.insert(all.end(), mac.begin(), mac.begin() + 16);
  return herd::access::base64url_encode(all);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span rest(data + 1, size - 1);
  const std::string text = data[0] % 2 == 1 ? with_mac(rest) : std::string(rest.begin(), rest.end());
  if (const auto bytes = herd::access::base64url_decode(text))
    HERD_CHECK(herd::access::base64url_encode(*bytes) == text, "each byte string has one spelling");
  const auto id = codec().decode(text, kTenant);
  if (!id) return 0;
  HERD_CHECK(id->progress.size() <= 4096, "choices are bounded");
  HERD_CHECK(codec().encode(*id, kTenant) == text, "each id has one spelling");
  HERD_CHECK(!codec().decode(text, "u"), "an id is its tenant's");
  return 0;
}
