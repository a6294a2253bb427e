#pragma once
// HmacSha256: HMAC (RFC 2104) with SHA-256 of many messages that begin alike, under one key. The blocks of the key and
// the common beginning are hashed once; each message copies that state.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

namespace herd::access {

using Sha256 = std::array<std::uint8_t, 32>;

// SHA-256 of the parts one after another.
[[nodiscard]] Sha256 sha256(std::initializer_list<std::span<const std::uint8_t>> parts);

class HmacSha256 {
 public:
  // `key`: at most 64 bytes (a longer one would have to be hashed first).
  HmacSha256(std::span<const std::uint8_t> key, std::span<const std::uint8_t> beginning);
  ~HmacSha256();

  // Of the beginning and the parts, one after another. Any thread.
  [[nodiscard]] Sha256 of(std::initializer_list<std::span<const std::uint8_t>> parts) const;

 private:
  struct States;
  std::unique_ptr<States> states_;
};

}  // namespace herd::access
