#include "cluster/routing/prompt_prefix.h"

namespace herd::routing {

PromptPrefix PromptPrefix::of(std::span<const TokenId> tokens, std::uint64_t salt, std::uint32_t block_size) {
  PromptPrefix prefix;
  prefix.block_size = block_size;
  if (block_size == 0) return prefix;
  const std::size_t blocks = tokens.size() / block_size;
  while (blocks / prefix.stride > kKeysMax) prefix.stride *= 2;
  prefix.keys.reserve(blocks / prefix.stride);
  kv::BlockHash hash = kv::root_hash(salt);
  for (std::size_t block = 0; block < blocks; ++block) {
    hash = kv::chain_hash(hash, tokens.subspan(block * block_size, block_size));
    if ((block + 1) % prefix.stride == 0) prefix.keys.push_back(kv::key_of(hash));
  }
  return prefix;
}

}  // namespace herd::routing
