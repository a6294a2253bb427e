#include "runtime/kv/block_pool.h"

#include "kernels/check.h"

namespace herd::kv {

BlockPool::BlockPool(std::uint32_t num_blocks) : blocks_(num_blocks) {
  free_list_.reserve(num_blocks);
  for (std::uint32_t i = num_blocks; i > 0; --i) free_list_.push_back(i - 1);  // lowest id on top
}

std::optional<BlockId> BlockPool::take() {
  if (free_list_.empty()) return std::nullopt;
  const BlockId block{free_list_.back()};
  free_list_.pop_back();
  Block& state = blocks_[block.value];
  state = {1, state.generation + 1, false};
  return block;
}

void BlockPool::retain(BlockId block) {
  HERD_CHECK(!blocks_[block.value].free, "a free block cannot be held");
  ++blocks_[block.value].references;
}

std::uint32_t BlockPool::drop(BlockId block) {
  HERD_CHECK(blocks_[block.value].references > 0, "a block nobody holds cannot be dropped");
  return --blocks_[block.value].references;
}

void BlockPool::free(BlockId block) {
  Block& state = blocks_[block.value];
  HERD_CHECK(state.references == 0 && !state.free, "only an idle block can be freed");
  state.free = true;
  free_list_.push_back(block.value);
}

void BlockPool::check_integrity() const {
  std::uint32_t free = 0;
  for (const Block& block : blocks_) {
    HERD_CHECK(!block.free || block.references == 0, "a free block is held");
    free += block.free ? 1 : 0;
  }
  HERD_CHECK(free == num_free(), "the free list and the blocks' states differ");
  std::vector<bool> seen(blocks_.size());
  for (const std::uint32_t block : free_list_) {
    HERD_CHECK(block < blocks_.size() && blocks_[block].free && !seen[block], "the free list holds a wrong block");
    seen[block] = true;
  }
}

}  // namespace herd::kv
