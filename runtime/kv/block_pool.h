#pragma once
// BlockPool: which block ids are free, how many block tables hold each of the others, and how often each was
// handed out. It knows nothing of tokens. A block is in one of three states: free (on the free list),
// held (references > 0), or idle (references 0 but not free: the prefix cache keeps its content).

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/ids.h"

namespace herd::kv {

// Pure machine. All operations are O(1), none allocates after construction.
class BlockPool {
 public:
  explicit BlockPool(std::uint32_t num_blocks);

  // A free block, now held once, its generation one higher; nullopt when none is free.
  [[nodiscard]] std::optional<BlockId> take();
  // One more holder. An idle block becomes held.
  void retain(BlockId block);
  // One holder less; returns how many are left. At 0 the block is idle: the caller frees it or caches it.
  std::uint32_t drop(BlockId block);
  // Idle -> free.
  void free(BlockId block);

  [[nodiscard]] std::uint32_t references(BlockId block) const { return blocks_[block.value].references; }
  [[nodiscard]] std::uint32_t generation(BlockId block) const { return blocks_[block.value].generation; }
  [[nodiscard]] bool is_free(BlockId block) const { return blocks_[block.value].free; }
  [[nodiscard]] std::uint32_t num_blocks() const { return static_cast<std::uint32_t>(blocks_.size()); }
  [[nodiscard]] std::uint32_t num_free() const { return static_cast<std::uint32_t>(free_list_.size()); }

  void check_integrity() const;

 private:
  struct Block {
    std::uint32_t references = 0;
    std::uint32_t generation = 0;  // hand-outs so far; tells a reused block from its earlier content
    bool free = true;
  };

  std::vector<Block> blocks_;
  std::vector<std::uint32_t> free_list_;  // a stack
};

}  // namespace herd::kv
