// KV blocks that ranks of one replica hand out and those of another take: equal bits afterwards, and what is damaged is said.
#include "runtime/shard/block_copies.h"

#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/block_copies_fixture.h"

namespace herd::shard {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

TinyReplica replica_of(int ranks, WeightFormat format = WeightFormat::kF32) {
  return TinyReplica(format, ranks, [] { return cpu(CpuIsa::kAuto); });
}

TEST(BlockCopies, MovedBlocksGiveTheBitsOfComputedOnes) {
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    for (const int ranks : {1, 2}) {
      SCOPED_TRACE(std::to_string(ranks) + " ranks, weights of format " + std::to_string(static_cast<int>(format)));
      TinyReplica from = replica_of(ranks, format), to = replica_of(ranks, format);
      expect_moved_blocks_serve(from, to);
    }
  }
}

TEST(BlockCopies, ABlockIsAllLayersAsTheyLieInMemory) {
  TinyReplica from = replica_of(1);
  (void)tokens_behind(from, {}, BlockId{1});
  const std::vector<step::BlockBytes> blocks = read_blocks(from);
  ASSERT_EQ(blocks.size(), kMovedBlocks);
  const kv::KvStorage& kv = from.rank(0).kv();
  EXPECT_EQ(kv.block_bytes(), std::size_t{2} * 2 * 16 * (16 + 32) * 4) << "layers, heads, tokens, V and padded K, float";
  EXPECT_EQ(blocks[1].index, 1U);
  EXPECT_EQ(blocks[1].transfer, kMoved);
  ASSERT_EQ(blocks[1].bytes.size(), kv.block_bytes());
  for (int layer = 0; layer < kv.layers(); ++layer) {
    const std::byte* const there = kv.block(layer, BlockId{2});
    EXPECT_TRUE(std::equal(there, there + kv.layer_block_bytes(),
                           blocks[1].bytes.begin() + layer * static_cast<std::ptrdiff_t>(kv.layer_block_bytes())));
  }
  EXPECT_NE(blocks[0].bytes, blocks[1].bytes);
}

TEST(BlockCopies, RanksHandOutTheirOwnShares) {
  TinyReplica from = replica_of(2);
  (void)tokens_behind(from, {}, BlockId{1});
  const std::vector<step::BlockBytes> blocks = read_blocks(from);
  ASSERT_EQ(blocks.size(), 2 * kMovedBlocks);
  EXPECT_EQ(blocks[0].rank, 0U);
  EXPECT_EQ(blocks[kMovedBlocks].rank, 1U);
  EXPECT_NE(blocks[0].bytes, blocks[kMovedBlocks].bytes);
  EXPECT_TRUE(from.take_blocks_read().empty()) << "each is handed out once";
}

// One rank of two finds a block damaged: it says which, the step goes on, and the same replica computes the same tokens.
void expect_damage(const std::function<void(step::BlockBytes&)>& spoil) {
  TinyReplica from = replica_of(2), to = replica_of(2);
  const std::vector<step::SampledToken> computed = tokens_behind(from, {}, BlockId{1});
  for (step::BlockBytes& block : read_blocks(from)) {
    if (block.rank == 1 && block.index == 1) spoil(block);
    to.give(std::move(block));
  }
  const std::vector<step::StepResult> results = write_blocks(to);
  EXPECT_TRUE(results[0].damaged.empty());
  EXPECT_EQ(results[1].damaged, (std::vector<step::DamagedBlock>{{kMoved, 1}}));
  for (const step::StepResult& result : results) {
    EXPECT_TRUE(result.status.ok()) << result.status.message();
    EXPECT_EQ(result.token_hash, results[0].token_hash) << "a damaged block is no reason to give the group up";
  }
  EXPECT_EQ(tokens_behind(to, {moved_to()[0]}, BlockId{6}), computed) << "behind what is sound";
}

TEST(BlockCopies, AFlippedBitIsDamage) {
  expect_damage([](step::BlockBytes& block) { block.bytes[100] ^= std::byte{4}; });
}

TEST(BlockCopies, BytesOfAnotherLengthAreDamage) {
  expect_damage([](step::BlockBytes& block) { block.bytes.pop_back(); });
}

TEST(BlockCopies, AnotherSumIsDamage) {
  expect_damage([](step::BlockBytes& block) { block.crc32c ^= 1; });
}

TEST(BlockCopies, MissingBytesAreDamage) {
  expect_damage([](step::BlockBytes& block) { block.index = 7; });
}

TEST(BlockCopies, AnotherRanksBytesAreDamage) {
  TinyReplica from = replica_of(2), to = replica_of(2);
  (void)tokens_behind(from, {}, BlockId{1});
  for (step::BlockBytes& block : read_blocks(from)) {
    if (block.rank == 0) to.rank(1).give(block);
    if (block.rank == 0) to.rank(0).give(std::move(block));
  }
  const std::vector<step::StepResult> results = write_blocks(to);
  EXPECT_TRUE(results[0].damaged.empty());
  EXPECT_EQ(results[1].damaged.size(), kMovedBlocks);
}

TEST(BlockCopies, WhatIsForgottenOrOfAnotherGroupIsNotWritten) {
  TinyReplica from = replica_of(1);
  (void)tokens_behind(from, {}, BlockId{1});
  const std::vector<step::BlockBytes> blocks = read_blocks(from);
  TinyReplica forgetful = replica_of(1), left = replica_of(1);
  for (const step::BlockBytes& block : blocks) {
    forgetful.give(block);
    left.give(block);
  }
  step::StepPlan plan = forgetful.next();
  plan.forgotten = {TransferId{6}, kMoved};
  EXPECT_TRUE(forgetful.execute(plan)[0].status.ok());
  EXPECT_EQ(write_blocks(forgetful)[0].damaged.size(), kMovedBlocks);
  left.rank(0).leave();
  left.rank(0).join(Epoch{});
  EXPECT_EQ(write_blocks(left)[0].damaged.size(), kMovedBlocks);
}

TEST(BlockCopies, ABlockOutsideThePoolFailsThePlan) {
  TinyReplica replica = replica_of(1);
  step::StepPlan plan = replica.next();
  plan.reads = {{kMoved, 3, BlockId{16}}};
  const step::StepResult result = replica.execute(plan)[0];
  EXPECT_EQ(result.status.code(), StatusCode::kInternal);
  EXPECT_EQ(result.status.message(), "step plan: block 3 of transfer 5: block 16 outside the pool");
  EXPECT_TRUE(replica.take_blocks_read().empty());
}

// Reads and writes of one plan come before its rows, and with the result of their step.
TEST(BlockCopies, CopiesRideWithAStepThatComputes) {
  TinyReplica from = replica_of(1), to = replica_of(1);
  const std::vector<step::SampledToken> computed = tokens_behind(from, {}, BlockId{1});
  for (step::BlockBytes& block : read_blocks(from)) to.give(std::move(block));
  step::StepPlan plan = to.next();
  for (std::uint32_t i = 0; i < kMovedBlocks; ++i) plan.writes.push_back({kMoved, i, moved_to()[i]});
  plan.started.push_back(start_of(2, prompt(9, 8)));
  plan.slices.push_back(slice_of(2, 0, 9, {BlockId{3}}, true));
  to.rank(0).submit(plan);
  plan = to.next();
  plan.reads = {{TransferId{8}, 0, moved_to()[0]}};
  to.rank(0).submit(plan);
  EXPECT_EQ(to.rank(0).collect().sampled.size(), 1U);
  EXPECT_TRUE(to.take_blocks_read().empty()) << "that step is not collected";
  EXPECT_TRUE(to.rank(0).collect().status.ok());
  EXPECT_EQ(to.take_blocks_read().size(), 1U);
  EXPECT_EQ(tokens_behind(to, moved_to(), BlockId{6}), computed);
}

}  // namespace
}  // namespace herd::shard
