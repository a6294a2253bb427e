#pragma once
// BlockNews: what changed in the prefix cache of a replica since it last told, so that others know which beginnings of prompts it
// holds. Batches are numbered; who misses one asks for all there is. News may be late or wrong (a key is not the whole content, a block
// may be gone by now): that costs a prompt computed again, never a wrong answer.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/kv/block_hash.h"

namespace herd::kv {

// Names the content of a block, as its BlockHash does; half as long, since nobody relies on it.
using BlockKey = std::uint64_t;
[[nodiscard]] constexpr BlockKey key_of(const BlockHash& hash) { return hash.low; }

struct BlockNews {
  enum class Kind : std::uint8_t {
    kChanges,  // since batch number - 1
    kAll,      // `stored` is all that is cached; what was told before does not count
    kMore,     // more of the kAll, or the kChanges, of that number
  };
  Kind kind = Kind::kChanges;
  std::uint64_t number = 0;         // of the batch, counted from 1 in the life of a cache; kAll: of the last one that it contains
  std::uint32_t block_size = 0;     // tokens of a block
  std::uint32_t num_blocks = 0;     // that the replica has: never more are cached
  std::vector<BlockKey> stored;     // taken into the cache
  std::vector<BlockKey> evicted;    // given up; none of them is among `stored`
  bool operator==(const BlockNews&) const = default;

  [[nodiscard]] std::size_t keys() const { return stored.size() + evicted.size(); }
};

// The same in parts of at most `keys_max` (at least 1) keys each, to be taken in order.
[[nodiscard]] std::vector<BlockNews> cut_news(const BlockNews& news, std::size_t keys_max);

}  // namespace herd::kv
