#pragma once
// PromptPrefix: the names of a prompt's beginnings, as replicas name the blocks that they cache (runtime/kv/block_news.h). Pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/ids.h"
#include "runtime/kv/block_news.h"

namespace herd::routing {

struct PromptPrefix {
  static constexpr std::size_t kKeysMax = 512;

  // `salt`: prompts of different ones share nothing. `block_size` 0: nobody knows it, and the prefix is empty.
  [[nodiscard]] static PromptPrefix of(std::span<const TokenId> tokens, std::uint64_t salt, std::uint32_t block_size);

  [[nodiscard]] bool empty() const { return keys.empty(); }
  // Of the beginning that the first so many keys name.
  [[nodiscard]] std::uint64_t tokens_of(std::size_t count) const { return std::uint64_t{count} * stride * block_size; }

  std::uint32_t block_size = 0;    // tokens
  std::uint32_t stride = 1;        // blocks from one key to the next; a power of two: 1 unless the prompt has more than kKeysMax
  std::vector<kv::BlockKey> keys;  // key i names the first (i + 1) * stride blocks
};

}  // namespace herd::routing
