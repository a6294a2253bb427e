#pragma once
// BlockBytes: the content of one KV block of one rank on its way from a replica to another. What the bytes mean is the layout's
// (runtime/kv/kv_layout_id.h): both ranks have the same one.
//
//   rank r, replica A   executes a read, hands out BlockBytes before the step's result
//   replica A → B       the bytes travel; rank r of B gets those of rank r of A
//   rank r, replica B   is given them before the plan that writes them; checks the sum, and says in the result which are damaged
//
// Between processes a block goes in parts that fit a message: cut_block() and BlockJoiner. Pure.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::step {

// All layers of the block, one after the other.
struct BlockBytes {
  TransferId transfer;
  std::uint32_t index = 0;        // in the transfer's chain
  std::uint32_t rank = 0;         // whose share of the block it is
  std::uint32_t crc32c = 0;       // of `bytes`, made where they were read
  std::vector<std::byte> bytes;
  bool operator==(const BlockBytes&) const = default;
};

// Most bytes of one block and rank: 512 tokens of 8 KV heads of 128 in 32 layers of float32 take 128 MiB.
inline constexpr std::uint64_t kBlockBytesMax = std::uint64_t{1} << 28;
inline constexpr std::uint32_t kBlockPartBytesMax = std::uint32_t{1} << 20;
// Of blocks that are on their way from one peer and not complete: two of the largest.
inline constexpr std::uint64_t kBlocksBegunMax = 2 * kBlockBytesMax;

// `bytes` lie at `offset` of a block of `bytes_total`.
struct BlockPart {
  TransferId transfer;
  std::uint32_t index = 0;
  std::uint32_t rank = 0;
  std::uint32_t crc32c = 0;       // of the whole block
  std::uint64_t bytes_total = 0;  // at least 1, at most kBlockBytesMax
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;   // at least one, at most kBlockPartBytesMax
  bool operator==(const BlockPart&) const = default;
};

// In order of their offsets.
[[nodiscard]] std::vector<BlockPart> cut_block(const BlockBytes& block);

// Puts parts together that one peer sends. Parts of one block come in order; several blocks may come mixed.
class BlockJoiner {
 public:
  // `bytes_max`: of all blocks that are begun and not complete.
  explicit BlockJoiner(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // The block that the part completes. kBadInput: the part contradicts those before it; kOverloaded: more bytes are begun
  // than this may hold. Either way the block is forgotten.
  [[nodiscard]] Expected<std::optional<BlockBytes>> add(BlockPart part);
  // What came of these blocks is of no use any more.
  void forget(TransferId transfer);

 private:
  struct Begun {
    BlockBytes block;
    std::uint64_t bytes_total = 0;
  };

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_begun_ = 0;  // the totals of all that is begun
  std::vector<Begun> begun_;
};

// The bytes that a rank was given and has not written yet.
class GivenBlocks {
 public:
  // `bytes_max`: of all of them. What does not fit is not kept, so that its write finds nothing: a damaged block.
  explicit GivenBlocks(std::uint64_t bytes_max = kBlockBytesMax) : bytes_max_(bytes_max) {}

  // In place of what it was given under the same name before.
  void give(BlockBytes block);
  // The bytes for a write, which are gone then. nullopt: it was given none.
  [[nodiscard]] std::optional<BlockBytes> take(TransferId transfer, std::uint32_t index);
  void forget(TransferId transfer);
  void clear();
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  using Name = std::pair<TransferId, std::uint32_t>;

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::map<Name, BlockBytes> blocks_;
};

}  // namespace herd::step
