#include "runtime/kv/block_hash.h"

#include <cstddef>

#include "kernels/splitmix64.h"

namespace herd::kv {
namespace {

// Odd constants without structure: fractional bits of sqrt(2), sqrt(3), sqrt(5), sqrt(7).
constexpr std::uint64_t kHighKey = 0x6A09E667F3BCC909;
constexpr std::uint64_t kLowKey = 0xBB67AE8584CAA73B;
constexpr std::uint64_t kHighStep = 0x3C6EF372FE94F82B;
constexpr std::uint64_t kLowStep = 0xA54FF53A5F1D36F1;

__extension__ using Uint128 = unsigned __int128;

// Folded 64 x 64 -> 128 bit product (the mixing step of wyhash, Wang Yi).
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Uint128 product = static_cast<Uint128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

BlockHash root_hash(std::uint64_t salt) { return {splitmix64_finish(salt + kHighKey), splitmix64_finish(salt ^ kLowKey)}; }

BlockHash chain_hash(const BlockHash& parent, std::span<const TokenId> tokens) {
  std::uint64_t high = parent.high ^ kHighKey;
  std::uint64_t low = parent.low + kLowKey;
  std::size_t i = 0;
  for (; i < tokens.size(); i += 2) {
    // Two tokens a word, the first in the low half; an odd last one alone.
    std::uint64_t word = static_cast<std::uint32_t>(tokens[i]);
    if (i + 1 < tokens.size()) word |= std::uint64_t{static_cast<std::uint32_t>(tokens[i + 1])} << 32;
    // The second term keeps the old state alive where one factor of the product happens to be zero.
    high = fold(word ^ kHighStep, high ^ kLowStep) + (high << 23 | high >> 41);
    low = fold(word + kLowStep, low ^ kHighStep) + (low << 37 | low >> 27);
  }
  const std::uint64_t length = tokens.size();
  return {splitmix64_finish(high + length + (low >> 32)), splitmix64_finish(low ^ (length << 48) ^ (high << 17))};
}

std::vector<BlockHash> hash_blocks(std::span<const TokenId> tokens, std::uint32_t block_size, std::uint64_t salt) {
  std::vector<BlockHash> hashes;
  hashes.reserve(tokens.size() / block_size);
  BlockHash parent = root_hash(salt);
  for (std::size_t end = block_size; end <= tokens.size(); end += block_size) {
    parent = chain_hash(parent, tokens.subspan(end - block_size, block_size));
    hashes.push_back(parent);
  }
  return hashes;
}

}  // namespace herd::kv
