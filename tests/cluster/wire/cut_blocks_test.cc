// Bytes of KV blocks on their way: cut into parts and joined again, kept by a rank until they are written.

#include <algorithm>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/step/block_bytes.h"

namespace herd::step {
namespace {

constexpr std::uint64_t kRoom = std::uint64_t{8} << 20;

BlockBytes block_of(std::uint32_t index, std::size_t bytes) {
  BlockBytes block{TransferId(7), index, 1, 0xABCD, std::vector<std::byte>(bytes)};
  for (std::size_t i = 0; i < bytes; ++i) block.bytes[i] = static_cast<std::byte>(i * 7 + index);
  return block;
}

// Joins parts that fit. The last one completes the block, none before it.
std::optional<BlockBytes> join(BlockJoiner& joiner, const std::vector<BlockPart>& parts) {
  std::optional<BlockBytes> joined;
  for (const BlockPart& part : parts) {
    EXPECT_FALSE(joined.has_value());
    auto added = joiner.add(part);
    if (!added) {
      ADD_FAILURE() << added.error().message();
      return std::nullopt;
    }
    joined = std::move(*added);
  }
  return joined;
}

TEST(CutBlocks, AreTheSameWhenJoined) {
  BlockJoiner joiner(kRoom);
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{kBlockPartBytesMax}, std::size_t{kBlockPartBytesMax} + 1,
                                  3 * std::size_t{kBlockPartBytesMax}}) {
    const BlockBytes block = block_of(2, bytes);
    const std::vector<BlockPart> parts = cut_block(block);
    EXPECT_EQ(parts.size(), (bytes + kBlockPartBytesMax - 1) / kBlockPartBytesMax);
    EXPECT_EQ(join(joiner, parts), block);
  }
}

TEST(CutBlocks, MayComeMixed) {
  BlockJoiner joiner(kRoom);
  const BlockBytes first = block_of(0, kBlockPartBytesMax + 5), second = block_of(1, kBlockPartBytesMax + 9);
  const auto a = cut_block(first), b = cut_block(second);
  EXPECT_EQ(joiner.add(a[0]).value(), std::nullopt);
  EXPECT_EQ(joiner.add(b[0]).value(), std::nullopt);
  EXPECT_EQ(joiner.add(b[1]).value(), second);
  EXPECT_EQ(joiner.add(a[1]).value(), first);
}

TEST(CutBlocks, APartThatIsNotTheNextOneIsRefusedAndTheBlockForgotten) {
  const auto parts = cut_block(block_of(0, 2 * std::size_t{kBlockPartBytesMax}));
  const auto refused = [&](auto spoil) {
    BlockJoiner joiner(kRoom);
    EXPECT_TRUE(joiner.add(parts[0]).has_value());
    BlockPart next = parts[1];
    spoil(next);
    const auto added = joiner.add(next);
    const bool begins_anew = joiner.add(parts[0]).value() == std::nullopt;
    return !added && added.error().code() == StatusCode::kBadInput && begins_anew;
  };
  EXPECT_TRUE(refused([](BlockPart& part) { part.offset -= 1; }));
  EXPECT_TRUE(refused([](BlockPart& part) { part.offset = 0; }));
  EXPECT_TRUE(refused([](BlockPart& part) { part.bytes_total += 1; }));
  EXPECT_TRUE(refused([](BlockPart& part) { part.crc32c += 1; }));
  EXPECT_TRUE(refused([](BlockPart& part) { part.bytes.resize(part.bytes.size() + 1); }));
  EXPECT_TRUE(refused([](BlockPart& part) { part.bytes.clear(); }));
  BlockJoiner joiner(kRoom);
  EXPECT_FALSE(joiner.add(parts[1]).has_value()) << "a block begins with its first part";
}

TEST(CutBlocks, NoMoreAreBegunThanThereIsRoomFor) {
  BlockJoiner joiner(3 * std::uint64_t{kBlockPartBytesMax});
  const auto first = cut_block(block_of(0, 2 * std::size_t{kBlockPartBytesMax}));
  const auto second = cut_block(block_of(1, 2 * std::size_t{kBlockPartBytesMax}));
  EXPECT_TRUE(joiner.add(first[0]).has_value());
  EXPECT_EQ(joiner.add(second[0]).error().code(), StatusCode::kOverloaded);
  joiner.forget(TransferId(8));
  EXPECT_EQ(joiner.add(second[0]).error().code(), StatusCode::kOverloaded);
  joiner.forget(TransferId(7));
  EXPECT_TRUE(join(joiner, second).has_value());
  EXPECT_TRUE(join(joiner, first).has_value()) << "what is complete takes no room";
}

TEST(GivenBlocks, AreTakenOnce) {
  GivenBlocks given;
  given.give(block_of(3, 10));
  EXPECT_EQ(given.bytes(), 10U);
  EXPECT_EQ(given.take(TransferId(7), 4), std::nullopt);
  EXPECT_EQ(given.take(TransferId(8), 3), std::nullopt);
  EXPECT_EQ(given.take(TransferId(7), 3), block_of(3, 10));
  EXPECT_EQ(given.take(TransferId(7), 3), std::nullopt);
  EXPECT_EQ(given.bytes(), 0U);
}

TEST(GivenBlocks, OfATransferThatIsForgottenAreGone) {
  GivenBlocks given;
  BlockBytes other = block_of(0, 7);
  other.transfer = TransferId(8);
  given.give(block_of(0, 10));
  given.give(block_of(9, 10));
  given.give(other);
  given.forget(TransferId(7));
  EXPECT_EQ(given.bytes(), 7U);
  EXPECT_EQ(given.take(TransferId(8), 0), other);
}

TEST(GivenBlocks, ThatDoNotFitAreNotKept) {
  GivenBlocks given(20);
  given.give(block_of(0, 15));
  given.give(block_of(1, 6));
  EXPECT_EQ(given.take(TransferId(7), 1), std::nullopt);
  given.give(block_of(0, 20));  // in place of the first
  EXPECT_EQ(given.bytes(), 20U);
  EXPECT_EQ(given.take(TransferId(7), 0), block_of(0, 20));
}

}  // namespace
}  // namespace herd::step
