#pragma once
// BlockHash: names the content of a full KV block by everything it was computed from: the salt, all earlier
// tokens (through the parent's hash) and its own tokens. A pure function, equal on every machine, so that a
// router can compare prefixes held by other replicas. Not cryptographic: a hit is always verified against
// the stored tokens (prefix_index.h), a collision costs a miss and never a wrong answer.

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/ids.h"

namespace herd::kv {

// 128 bits: two lanes of 64.
struct BlockHash {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const BlockHash&) const = default;
};

// Start of a chain. The salt separates tenants, adapters and image digests.
[[nodiscard]] BlockHash root_hash(std::uint64_t salt);

// Hash of the block that holds `tokens` and follows the block named `parent`.
[[nodiscard]] BlockHash chain_hash(const BlockHash& parent, std::span<const TokenId> tokens);

// Hashes of all full blocks of `tokens`, in order.
[[nodiscard]] std::vector<BlockHash> hash_blocks(std::span<const TokenId> tokens, std::uint32_t block_size,
                                                 std::uint64_t salt);

}  // namespace herd::kv
