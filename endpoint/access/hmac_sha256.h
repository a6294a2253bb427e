#pragma once
// HmacSha256: HMAC (RFC 2104) with SHA-256 of many messages that begin alike, under one key. The blocks of the key and
// the common beginning are hashed once; each message copies that state.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

namespace herd::access {

using Sha256 = std::array<std::uint8_t, 32>;

// Bytes that are hashed, and those of a text.
using View = std::span<const std::uint8_t>;
inline View view(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

// SHA-256 of the parts one after another.
[[nodiscard]] Sha256 sha256(std::initializer_list<View> parts);

class HmacSha256 {
 public:
  // `key`: at most 64 bytes (a longer one would have to be hashed first).
  HmacSha256(View key, View beginning);
  ~HmacSha256();

  // Of the beginning and the parts, one after another. Any thread.
  [[nodiscard]] Sha256 of(std::initializer_list<View> parts) const;

 private:
  struct States;
  std::unique_ptr<States> states_;
};

}  // namespace herd::access
