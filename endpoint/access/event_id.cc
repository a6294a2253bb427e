// The bytes of an event id, all of fixed length or varints (LEB128, shortest form), so that each has one spelling:
//   version 2 (1) | created (varint) | answer (12) | seed (8, little endian) | body (16) | numerics (16) |
//   cached tokens (varint) | choices (varint) | progress of each (varint) | usage sent, 0 or 1 (1) | mac (16)
// The MAC covers: length of the scope (8) | scope | length of the tenant (8) | tenant | all of the above before it.
#include "endpoint/access/event_id.h"

#include "endpoint/access/base64url.h"
#include "endpoint/access/hmac_sha256.h"
#include "kernels/check.h"
#include "runtime/text/hex.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <limits>
#include <span>
#include <string>

namespace herd::access {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint8_t kVersion = 2;
constexpr std::size_t kMacBytes = 16;
constexpr std::size_t kProgressMax = 4096;
constexpr std::size_t kTextBytesMax = 32 << 10;  // 4096 choices of 5 bytes and the rest take 27,400

std::array<std::uint8_t, 8> little_endian(std::uint64_t value) {
  std::array<std::uint8_t, 8> bytes;
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(value);
    value >>= 8;
  }
  return bytes;
}

void append(Bytes& bytes, View more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

void append_varint(Bytes& bytes, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<std::uint8_t>(value | 0x80));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

// Reads from the front; after the first thing that is not there, or not in its one spelling, ok() is false.
class Reader {
 public:
  explicit Reader(View bytes) : rest_(bytes) {}
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  std::uint8_t byte() {
    std::array<std::uint8_t, 1> one{};
    read(one);
    return one[0];
  }
  void read(std::span<std::uint8_t> out) {
    if (rest_.size() < out.size()) {
      fail();
      return;
    }
    std::copy_n(rest_.begin(), out.size(), out.begin());
    rest_ = rest_.subspan(out.size());
  }
  std::uint64_t varint(std::uint64_t max) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t next = byte();
      const std::uint64_t digit = next & 0x7F;
      if (digit << shift >> shift != digit) break;  // more than 64 bits
      value |= digit << shift;
      if (next >= 0x80) continue;
      if ((next == 0 && shift > 0) || value > max) break;  // not the shortest form
      return value;
    }
    fail();
    return 0;
  }

 private:
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  View rest_;
  bool ok_ = true;
};

Bytes serialized(const EventId& id) {
  Bytes bytes;
  bytes.reserve(96 + id.progress.size() * 5);
  bytes.push_back(kVersion);
  append_varint(bytes, static_cast<std::uint64_t>(id.created));
  append(bytes, id.answer);
  append(bytes, little_endian(id.seed));
  append(bytes, id.body);
  append(bytes, id.numerics);
  append_varint(bytes, id.cached_tokens);
  append_varint(bytes, id.progress.size());
  for (const std::uint32_t events : id.progress) append_varint(bytes, events);
  bytes.push_back(id.usage_sent ? 1 : 0);
  return bytes;
}

std::optional<EventId> parsed(View bytes) {
  constexpr std::uint64_t kUint32Max = std::numeric_limits<std::uint32_t>::max();
  Reader reader(bytes);
  if (reader.byte() != kVersion) return std::nullopt;
  EventId id;
  id.created = static_cast<std::int64_t>(reader.varint(std::numeric_limits<std::uint64_t>::max()));
  reader.read(id.answer);
  std::array<std::uint8_t, 8> seed{};
  reader.read(seed);
  for (std::size_t i = seed.size(); i-- > 0;) id.seed = id.seed << 8 | seed[i];
  reader.read(id.body);
  reader.read(id.numerics);
  id.cached_tokens = static_cast<std::uint32_t>(reader.varint(kUint32Max));
  id.progress.resize(reader.varint(kProgressMax));
  for (std::uint32_t& events : id.progress) {
    if (!reader.ok()) return std::nullopt;
    events = static_cast<std::uint32_t>(reader.varint(kUint32Max));
  }
  const std::uint8_t usage_sent = reader.byte();
  if (!reader.ok() || !reader.at_end() || usage_sent > 1) return std::nullopt;
  id.usage_sent = usage_sent == 1;
  return id;
}

// Cut to 16 bytes by those who use it.
Sha256 mac_of(const HmacSha256& hmac, std::string_view tenant, View bytes) {
  return hmac.of({little_endian(tenant.size()), view(tenant), bytes});
}

Bytes with_length(std::string_view text) {
  Bytes bytes;
  append(bytes, little_endian(text.size()));
  append(bytes, view(text));
  return bytes;
}

}  // namespace

BodyHash hash_body(std::string_view body) {
  const Sha256 digest = sha256({view(body)});
  BodyHash cut;
  std::copy_n(digest.begin(), cut.size(), cut.begin());
  return cut;
}

NumericsDigits numerics_digits(std::string_view numerics_id) {
  if (numerics_id.empty()) return {};
  const auto digits = read_numerics_digits(numerics_id);
  HERD_CHECK(digits.has_value(), "a numerics id ends with 32 digits");
  return *digits;
}

std::optional<NumericsDigits> read_numerics_digits(std::string_view numerics_id) {
  NumericsDigits digits{};
  const std::size_t size = 2 * digits.size();
  if (numerics_id.size() < size) return std::nullopt;
  const auto bytes = text::hex_bytes(numerics_id.substr(numerics_id.size() - size));
  if (!bytes) return std::nullopt;
  std::ranges::copy(*bytes, digits.begin());
  return digits;
}

struct EventIdCodec::Impl {
  Impl(const std::array<std::uint8_t, kKeyBytes>& key, std::string_view scope) : hmac(key, with_length(scope)) {}
  HmacSha256 hmac;
};

EventIdCodec::EventIdCodec(std::array<std::uint8_t, kKeyBytes> key, std::string scope)
    : impl_(std::make_unique<Impl>(key, scope)) {
  OPENSSL_cleanse(key.data(), key.size());
}

EventIdCodec::~EventIdCodec() = default;

std::string EventIdCodec::encode(const EventId& id, std::string_view tenant) const {
  HERD_CHECK(id.progress.size() <= kProgressMax, "an event id has at most 4096 choices");
  Bytes bytes = serialized(id);
  const Sha256 mac = mac_of(impl_->hmac, tenant, bytes);
  append(bytes, View(mac).first(kMacBytes));
  return base64url_encode(bytes);
}

std::optional<EventId> EventIdCodec::decode(std::string_view text, std::string_view tenant) const {
  if (text.size() > kTextBytesMax) return std::nullopt;
  const auto bytes = base64url_decode(text);
  if (!bytes || bytes->size() < kMacBytes) return std::nullopt;
  const View fields = View(*bytes).first(bytes->size() - kMacBytes);
  const Sha256 mac = mac_of(impl_->hmac, tenant, fields);
  if (CRYPTO_memcmp(mac.data(), bytes->data() + fields.size(), kMacBytes) != 0) return std::nullopt;
  return parsed(fields);
}

}  // namespace herd::access
