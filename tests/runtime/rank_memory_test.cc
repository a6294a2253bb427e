// What a rank is said to take is what it then takes: weights and step buffers of real ranks, of every degree.

#include "runtime/model/rank_memory.h"

#include <gtest/gtest.h>

#include "tests/runtime/block_source.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::model {
namespace {

using shard::testing::cpu;
using shard::testing::tiny_config;

constexpr StepLimits kLimits{.rows_max = 48, .logit_rows_max = 6, .positions_max = 64};

// Loads all ranks of a replica and makes each of them.
void expect_equal(const LlamaConfig& config, const WeightSource& source, WeightFormat format, int ranks) {
  const auto device = cpu();
  const Encoding encoding = encoding_of(config, source, format);
  const auto rope = std::make_shared<const RopeTable>(config.rope, config.head_dim, 64);
  std::vector<ShardPlan> plans;
  for (int rank = 0; rank < ranks; ++rank) plans.push_back(plan_shard(config, ranks, rank).value());
  LoadReport report;
  const auto weights = load_weights(config, source, plans, *device, {{format}, {}}, report);
  ASSERT_TRUE(weights.has_value()) << weights.error().message();
  const auto group = make_local_group(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    const auto at = static_cast<std::size_t>(rank);
    const auto llama = Llama::make({config, plans[at], encoding, (*weights)[at], rope, kLimits.rows_max, kLimits.logit_rows_max},
                                   *device, *group[at]);
    ASSERT_TRUE(llama.has_value());
    const RankMemory told = rank_memory(config, plans[at], encoding, kLimits);
    EXPECT_EQ(told.weights, static_cast<std::int64_t>((*weights)[at]->bytes())) << ranks << " ranks, rank " << rank;
    EXPECT_EQ(told.step_buffers, static_cast<std::int64_t>((*llama)->activation_bytes())) << ranks << " ranks, rank " << rank;
    EXPECT_EQ(told.rope_table, 64 * config.head_dim * 4) << "positions, head_dim, bytes of a float";
    EXPECT_EQ(told.total(), told.weights + told.step_buffers + told.rope_table);
  }
}

TEST(RankMemory, IsWhatARankTakesAtEveryDegree) {
  LlamaConfig config = tiny_config();
  config.heads = 16;  // enough for eight ranks
  for (const int ranks : {1, 2, 4, 8})
    for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16})
      expect_equal(config, *random_source(config, 11), format, ranks);
}

TEST(RankMemory, CountsTiedHeadsBiasesAndUnevenSlices) {
  LlamaConfig config = tiny_config();
  config.tie_word_embeddings = true;
  config.attention_bias = config.attention_output_bias = config.mlp_bias = true;
  config.heads = 6;
  config.kv_heads = 3;
  config.intermediate_size = 200;
  config.vocab_size = 150;
  for (const int ranks : {1, 2}) expect_equal(config, *random_source(config, 11), WeightFormat::kBF16, ranks);
}

TEST(RankMemory, CountsBlocksOfEveryFormatAndSlicesThatBeginInsideThem) {
  LlamaConfig config = testing::block_config();
  for (const bool more : {false, true}) {
    config.tie_word_embeddings = config.attention_bias = config.attention_output_bias = config.mlp_bias = more;
    const testing::BlockSource mixed(config, testing::mixed_format);
    const testing::BlockSource mixed_k(config, testing::mixed_k_format);
    for (const int ranks : {1, 2, 4, 8}) {
      expect_equal(config, mixed, WeightFormat::kQ4_0, ranks);
      expect_equal(config, mixed_k, WeightFormat::kQ4_K, ranks);
    }
    for (const WeightFormat plain : {WeightFormat::kBF16, WeightFormat::kF32}) expect_equal(config, mixed, plain, 8);
  }
  for (const WeightFormat format : kBlockFormats)
    expect_equal(config, testing::BlockSource(config, testing::all_in(format)), format, 8);
}

}  // namespace
}  // namespace herd::model
