// The forward pass by itself: what it tells of its layers, its buffers, and its logits on one rank and on two.
#include "runtime/model/llama.h"

#include <thread>

#include <gtest/gtest.h>

#include "tests/runtime/shard_fixture.h"

namespace herd::model {
namespace {

using shard::ShardConfig;
using shard::testing::cpu;
using shard::testing::kVocab;
using shard::testing::prompt;
using shard::testing::tiny_rope;
using shard::testing::tiny_shard;
using shard::testing::tiny_weights;
using shard::testing::TinyRank;

constexpr std::int32_t kPromptRows = 9;

// One prompt in the blocks 2 and 3.
struct Prompt {
  std::vector<TokenId> ids = prompt(kPromptRows, 3);
  std::vector<std::int32_t> positions, begin = {0, kPromptRows}, context = {kPromptRows}, table_begin = {0, 1};
  std::vector<std::int64_t> slots;
  std::vector<std::uint32_t> table = {2};
  StepRows rows;

  Prompt() {
    for (std::int32_t i = 0; i < kPromptRows; ++i) {
      positions.push_back(i);
      slots.push_back(2 * 16 + i);
    }
    rows.rows = kPromptRows;
    rows.token_ids = ids.data();
    rows.positions = positions.data();
    rows.slots = slots.data();
    rows.attention.sequences = 1;
    rows.attention.query_begin = begin.data();
    rows.attention.context_length = context.data();
    rows.attention.block_tables = table.data();
    rows.attention.block_table_begin = table_begin.data();
  }
};

std::vector<float> logits_of(Llama& llama, kv::KvStorage& kv, std::vector<std::int32_t> rows) {
  const Prompt prompt;
  llama.forward(prompt.rows, kv, {});
  llama.logits(rows.data(), static_cast<std::int64_t>(rows.size()));
  const TensorView& view = llama.logits();
  std::vector<float> values;
  for (std::int64_t row = 0; row < view.rows; ++row) {
    const float* first = static_cast<const float*>(view.data) + row * view.row_stride;
    values.insert(values.end(), first, first + view.cols);
  }
  return values;
}

TEST(Llama, TellsOfTheEmbeddingAndOfEveryLayer) {
  TinyRank rank(tiny_shard(), cpu());
  const Prompt prompt;
  std::vector<int> told;
  rank.llama->forward(prompt.rows, *rank.kv, [&](int state) {
    told.push_back(state);
    EXPECT_EQ(rank.llama->hidden().rows, kPromptRows);
    EXPECT_EQ(rank.llama->hidden().cols, 64);
  });
  EXPECT_EQ(told, (std::vector<int>{0, 1, 2}));
}

TEST(Llama, LogitsAreOfTheRowsAskedFor) {
  TinyRank rank(tiny_shard(), cpu());
  const std::vector<float> both = logits_of(*rank.llama, *rank.kv, {8, 2});
  ASSERT_EQ(both.size(), 2U * kVocab);
  std::vector<float> joined = logits_of(*rank.llama, *rank.kv, {8});
  const std::vector<float> second = logits_of(*rank.llama, *rank.kv, {2});
  EXPECT_NE(joined, second);
  joined.insert(joined.end(), second.begin(), second.end());
  EXPECT_EQ(both, joined);
  EXPECT_EQ(&rank.llama->whole_logits(), &rank.llama->logits()) << "alone, a rank's slice is the whole row";
}

TEST(Llama, TheSlicesOfTwoRanksAreTheLogitsOfOne) {
  TinyRank alone(tiny_shard(), cpu());
  const std::vector<float> whole = logits_of(*alone.llama, *alone.kv, {8});
  auto group = make_local_group(2);
  std::vector<float> slices[2];
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const ShardConfig config = tiny_shard(2, rank);
      const auto device = cpu();
      const KvLayout layout{DType::kF32, config.block_size, config.plan.kv_heads.size(), config.model.head_dim};
      const auto kv = std::move(*kv::KvStorage::make(*device, layout, config.model.layers, config.blocks));
      const auto llama = std::move(*Llama::make(
          {config.model, config.plan, config.encoding, tiny_weights(config, *device), tiny_rope(), 16, 4}, *device,
          *group[static_cast<std::size_t>(rank)]));
      slices[rank] = logits_of(*llama, *kv, {8});
    });
  }
  for (std::thread& rank : ranks) rank.join();
  slices[0].insert(slices[0].end(), slices[1].begin(), slices[1].end());
  EXPECT_EQ(slices[0], whole);
}

TEST(Llama, BuffersGrowWithTheRowsOfAStepAlone) {
  ShardConfig config = tiny_shard();
  TinyRank small(config, cpu());
  config.blocks = 64;
  EXPECT_EQ(TinyRank(config, cpu()).llama->activation_bytes(), small.llama->activation_bytes());
  config.rows_max *= 2;
  EXPECT_GT(TinyRank(config, cpu()).llama->activation_bytes(), small.llama->activation_bytes());
}

TEST(Llama, NoMemoryForItsBuffersIsMissing) {
  const ShardConfig config = tiny_shard();
  const auto device = cpu();
  const auto group = std::move(make_local_group(1).front());
  const auto llama = Llama::make({config.model, config.plan, config.encoding, tiny_weights(config, *device),
                                  tiny_rope(), std::int64_t{1} << 44, 4},
                                 *device, *group);
  ASSERT_FALSE(llama);
  EXPECT_EQ(llama.error().code(), StatusCode::kMissing);
  EXPECT_EQ(llama.error().message().rfind("step buffers: needs ", 0), 0U) << llama.error().message();
}

}  // namespace
}  // namespace herd::model
