#pragma once
// A replica of one or several ranks, each on a thread of its own while it computes, and a prompt whose blocks go from one
// replica to another.

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/shard_fixture.h"

namespace herd::shard::testing {

class TinyReplica {
 public:
  // `device`: makes the device of one rank.
  template <class MakeDevice>
  TinyReplica(WeightFormat format, int ranks, MakeDevice device) {
    auto group = make_local_group(ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      ShardConfig config = tiny_shard(ranks, rank);
      config.encoding.weights = format;
      ranks_.push_back(make_executor(config, device(), std::move(group[static_cast<std::size_t>(rank)])));
    }
    on_all([](std::size_t, ShardExecutor& rank) {
      const Status status = rank.prepare();
      EXPECT_TRUE(status.ok()) << status.message();
    });
  }

  [[nodiscard]] step::StepPlan next() { return plans_.next(); }
  // By rank.
  std::vector<step::StepResult> execute(const step::StepPlan& plan) {
    std::vector<step::StepResult> results(ranks_.size());
    on_all([&](std::size_t at, ShardExecutor& rank) { results[at] = rank.execute(plan); });
    return results;
  }
  // What all ranks have read, rank by rank.
  [[nodiscard]] std::vector<step::BlockBytes> take_blocks_read() {
    std::vector<step::BlockBytes> blocks;
    for (const auto& rank : ranks_) {
      for (step::BlockBytes& block : rank->take_blocks_read()) blocks.push_back(std::move(block));
    }
    return blocks;
  }
  // To the rank it is of.
  void give(step::BlockBytes block) { ranks_.at(block.rank)->give(std::move(block)); }
  [[nodiscard]] ShardExecutor& rank(std::size_t rank) { return *ranks_.at(rank); }

 private:
  template <class Do>
  void on_all(Do what) {
    std::vector<std::thread> threads;
    for (std::size_t at = 0; at < ranks_.size(); ++at) threads.emplace_back([&, at] { what(at, *ranks_[at]); });
    for (std::thread& thread : threads) thread.join();
  }

  std::vector<std::unique_ptr<ShardExecutor>> ranks_;
  Plans plans_;
};

inline constexpr TransferId kMoved{5};
inline constexpr std::uint32_t kMovedBlocks = 2;
inline constexpr std::uint32_t kMovedPrompt = 41;

// The prompt's last rows behind `cached` blocks, then two more tokens: what rank 0 samples.
inline std::vector<step::SampledToken> tokens_behind(TinyReplica& replica, const std::vector<BlockId>& cached, BlockId own) {
  std::vector<step::SampledToken> sampled;
  step::StepPlan plan = replica.next();
  plan.started.push_back(start_of(1, prompt(kMovedPrompt, 5)));
  plan.started[0].prefix_blocks = cached;
  plan.started[0].sampling.temperature = 0.8F;
  const auto position = static_cast<std::uint32_t>(cached.size()) * 16;
  std::vector<BlockId> blocks;
  for (std::uint32_t block = static_cast<std::uint32_t>(cached.size()); block < 3; ++block)
    blocks.push_back(BlockId{own.value + block});
  plan.slices.push_back(slice_of(1, position, kMovedPrompt - position, std::move(blocks), true));
  for (std::uint32_t index = 0; index < 3; ++index) {
    if (index > 0) {
      plan = replica.next();
      plan.slices.push_back(slice_of(1, kMovedPrompt + index - 1, 1, {}, true, index));
    }
    const step::StepResult result = replica.execute(plan)[0];
    EXPECT_TRUE(result.status.ok()) << result.status.message();
    sampled.insert(sampled.end(), result.sampled.begin(), result.sampled.end());
  }
  return sampled;
}

// Of the prompt's first blocks, computed by tokens_behind(from, {}, 1): handed out by a step of its own.
inline std::vector<step::BlockBytes> read_blocks(TinyReplica& from) {
  step::StepPlan plan = from.next();
  for (std::uint32_t i = 0; i < kMovedBlocks; ++i) plan.reads.push_back({kMoved, i, BlockId{1 + i}});
  for (const step::StepResult& result : from.execute(plan)) EXPECT_TRUE(result.status.ok()) << result.status.message();
  return from.take_blocks_read();
}

// Where the other replica puts them.
inline const std::vector<BlockId>& moved_to() {
  static const std::vector<BlockId> blocks{BlockId{12}, BlockId{4}};
  return blocks;
}

inline std::vector<step::StepResult> write_blocks(TinyReplica& to) {
  step::StepPlan plan = to.next();
  for (std::uint32_t i = 0; i < kMovedBlocks; ++i) plan.writes.push_back({kMoved, i, moved_to()[i]});
  return to.execute(plan);
}

// Tokens, log-probabilities and hashes of whole rows of logits are those of a replica that computed the prefix itself.
inline void expect_moved_blocks_serve(TinyReplica& from, TinyReplica& to) {
  const std::vector<step::SampledToken> computed = tokens_behind(from, {}, BlockId{1});
  ASSERT_EQ(computed.size(), 3U);
  for (step::BlockBytes& block : read_blocks(from)) to.give(std::move(block));
  for (const step::StepResult& result : write_blocks(to)) {
    EXPECT_TRUE(result.status.ok()) << result.status.message();
    EXPECT_TRUE(result.damaged.empty());
  }
  EXPECT_EQ(tokens_behind(to, moved_to(), BlockId{6}), computed);
}

}  // namespace herd::shard::testing
