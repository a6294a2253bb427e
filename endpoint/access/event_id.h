#pragma once
// EventId: what a stream's `id:` line carries, so that the same body sent again with Last-Event-ID goes on after that
// event with the same bytes: on any gateway with the same key, after any restart. Not encrypted, but authenticated
// (HMAC-SHA-256 cut to 128 bits): whoever does not have the key cannot make or change one.
//
//   base64url( version 2 | created | answer id | seed | body hash | numerics | cached tokens | progress … | mac )

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::access {

using BodyHash = std::array<std::uint8_t, 16>;  // SHA-256 of the request's body, cut
[[nodiscard]] BodyHash hash_body(std::string_view body);

// The 32 hexadecimal digits that a numerics id ends with (runtime/shard/numerics_id.h), as bytes; zeros for an empty id. Every
// other text is a bug.
using NumericsDigits = std::array<std::uint8_t, 16>;
[[nodiscard]] NumericsDigits numerics_digits(std::string_view numerics_id);
// The same of an id that another process told. nullopt: the text, or an empty one, does not end with 32 hexadecimal digits.
[[nodiscard]] std::optional<NumericsDigits> read_numerics_digits(std::string_view numerics_id);

struct EventId {
  static constexpr std::uint32_t kEnded = 1U << 31;  // in `progress`: the last of those events said the choice's end

  std::int64_t created = 0;               // Unix seconds, as in the answer
  std::array<std::uint8_t, 12> answer{};  // random part of the answer's id
  std::uint64_t seed = 0;                 // the request's, drawn by the gateway when it gave none
  BodyHash body{};
  NumericsDigits numerics{};              // the stream's: under others it would go on with other bytes
  std::uint32_t cached_tokens = 0;      // prompt tokens from the prefix cache, as the first run reported them
  std::vector<std::uint32_t> progress;  // events sent so far of each choice, this one included, and kEnded; at most 4096
  bool usage_sent = false;              // the usage chunk is among them
  bool operator==(const EventId&) const = default;
};

class EventIdCodec {
 public:
  static constexpr std::size_t kKeyBytes = 32;
  // `scope`: the model's name and text digest. Ids of another scope or tenant do not verify; those of other numerics do, and say so.
  EventIdCodec(std::array<std::uint8_t, kKeyBytes> key, std::string scope);
  ~EventIdCodec();

  // Any thread. About a microsecond: one per token of a stream.
  [[nodiscard]] std::string encode(const EventId& id, std::string_view tenant) const;
  // nullopt: not ours, of another scope or tenant, or damaged. (One answer for all: no oracle.)
  [[nodiscard]] std::optional<EventId> decode(std::string_view text, std::string_view tenant) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The 32 bytes of `path` (64 hex digits and a newline); made with mode 0600 when there is none. kBadInput: another
// content, or readable by others; kMissing: cannot be made or read.
[[nodiscard]] Expected<std::array<std::uint8_t, EventIdCodec::kKeyBytes>> load_or_make_key(const std::string& path);
[[nodiscard]] std::array<std::uint8_t, EventIdCodec::kKeyBytes> random_key();

}  // namespace herd::access
