// The forward pass of a model whose matrices are in blocks of several formats: the same logits on every instruction set, cut into
// any number of ranks and chunks.
#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/model/llama.h"
#include "tests/runtime/block_source.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::model {
namespace {

using testing::all_in;
using testing::block_config;
using testing::BlockSource;
using testing::mixed_format;
using testing::mixed_k_format;

constexpr std::int32_t kRows = 19;  // two KV blocks

// How a pass is made; none of it may show in the logits.
struct Way {
  CpuIsa isa = CpuIsa::kAuto;
  int threads = 1;
  int ranks = 1;
  std::int32_t chunk = kRows;
};

// Rows [begin, end) of one prompt in the KV blocks 3 and 1.
struct Chunk {
  std::vector<std::int32_t> ids, positions, query = {0, 0}, context = {0}, table_begin = {0, 2};
  std::vector<std::int64_t> slots;
  std::vector<std::uint32_t> table = {3, 1};
  StepRows rows;

  Chunk(std::int32_t begin, std::int32_t end) {
    for (std::int32_t at = begin; at < end; ++at) {
      ids.push_back((7 + at * 37) % block_config().vocab_size);
      positions.push_back(at);
      slots.push_back(std::int64_t{table[static_cast<std::size_t>(at / 16)]} * 16 + at % 16);
    }
    query[1] = end - begin;
    context[0] = end;
    rows.rows = end - begin;
    rows.token_ids = ids.data();
    rows.positions = positions.data();
    rows.slots = slots.data();
    rows.attention.sequences = 1;
    rows.attention.query_begin = query.data();
    rows.attention.context_length = context.data();
    rows.attention.block_tables = table.data();
    rows.attention.block_table_begin = table_begin.data();
  }
};

// One rank's slice of the logits of all rows.
std::vector<std::vector<float>> logits_of_rank(const LlamaConfig& config, const BlockSource& source, WeightFormat weights,
                                               const Way& way, int rank, Collective& group) {
  const auto device = std::move(*make_cpu_device({way.isa, way.threads}));
  const ShardPlan plan = *plan_shard(config, way.ranks, rank);
  LoadReport report;
  auto loaded = load_weights(config, source, {plan}, *device, {{weights, nullptr}, {}}, report);
  const Encoding encoding = encoding_of(config, source, weights);
  const KvLayout layout{encoding.activations(), 16, plan.kv_heads.size(), config.head_dim};
  const auto kv = std::move(*kv::KvStorage::make(*device, layout, config.layers, 4));
  const auto rope = std::make_shared<const RopeTable>(config.rope, config.head_dim, 64);
  const auto llama = std::move(*Llama::make({config, plan, encoding, loaded->front(), rope, kRows, kRows}, *device, group));
  std::vector<std::vector<float>> logits;
  for (std::int32_t begin = 0; begin < kRows; begin += way.chunk) {
    const Chunk chunk(begin, std::min(kRows, begin + way.chunk));
    llama->forward(chunk.rows, *kv, {});
    std::vector<std::int32_t> rows;
    for (std::int32_t row = 0; row < chunk.rows.rows; ++row) rows.push_back(row);
    llama->logits(rows.data(), chunk.rows.rows);
    const TensorView& view = llama->logits();
    for (std::int64_t row = 0; row < view.rows; ++row) {
      const float* first = static_cast<const float*>(view.data) + row * view.row_stride;
      logits.emplace_back(first, first + view.cols);
    }
  }
  return logits;
}

// Of all rows, whole.
std::vector<std::vector<float>> logits_of(const LlamaConfig& config, const BlockSource& source, WeightFormat weights, const Way& way) {
  auto group = make_local_group(way.ranks);
  std::vector<std::vector<std::vector<float>>> slices(static_cast<std::size_t>(way.ranks));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < way.ranks; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      slices[at] = logits_of_rank(config, source, weights, way, rank, *group[at]);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  std::vector<std::vector<float>> whole(kRows);
  for (const auto& slice : slices)
    for (std::size_t row = 0; row < whole.size(); ++row) whole[row].insert(whole[row].end(), slice[row].begin(), slice[row].end());
  return whole;
}

struct Model {
  std::string name;
  LlamaConfig config;
  BlockSource source;
  WeightFormat weights;
};

std::vector<Model> models() {
  LlamaConfig biased = block_config();
  biased.attention_bias = biased.attention_output_bias = biased.mlp_bias = biased.tie_word_embeddings = true;
  std::vector<Model> all{{"mixed", block_config(), BlockSource(block_config(), mixed_format), WeightFormat::kQ4_0},
                         {"mixed, tied, with biases", biased, BlockSource(biased, mixed_format), WeightFormat::kQ4_0},
                         {"mixed of k", block_config(), BlockSource(block_config(), mixed_k_format), WeightFormat::kQ4_K},
                         {"mixed of k, tied, with biases", biased, BlockSource(biased, mixed_k_format), WeightFormat::kQ4_K}};
  for (const WeightFormat format : kBlockFormats)
    all.push_back({format_name(format), block_config(), BlockSource(block_config(), all_in(format)), format});
  return all;
}

TEST(LlamaOfBlocks, EveryInstructionSetGivesTheReferencesLogits) {
  for (const Model& model : models()) {
    const auto expected = logits_of(model.config, model.source, model.weights, {.isa = CpuIsa::kReference});
    ASSERT_EQ(expected.front().size(), 160U);
    for (const auto& row : expected)
      for (const float logit : row) ASSERT_TRUE(std::isfinite(logit)) << model.name;
    EXPECT_NE(expected[3], expected[4]);
    for (const CpuIsa isa : {CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Vnni, CpuIsa::kAvx512Bf16}) {
      if (!make_cpu_device({isa, 1})) continue;
      for (const int threads : {1, 3})
        EXPECT_EQ(logits_of(model.config, model.source, model.weights, {.isa = isa, .threads = threads}), expected) << model.name;
    }
  }
}

TEST(LlamaOfBlocks, ChunksAndRanksGiveTheLogitsOfTheWhole) {
  for (const Model& model : models()) {
    const auto expected = logits_of(model.config, model.source, model.weights, {});
    for (const std::int32_t chunk : {1, 7})
      EXPECT_EQ(logits_of(model.config, model.source, model.weights, {.chunk = chunk}), expected) << model.name << " in " << chunk;
    for (const int ranks : {2, 4, 8}) {
      for (const std::int32_t chunk : {1, 7, kRows}) {
        const auto cut = logits_of(model.config, model.source, model.weights, {.ranks = ranks, .chunk = chunk});
        EXPECT_EQ(cut, expected) << model.name << ", " << ranks << " ranks, chunks of " << chunk;
      }
    }
  }
}

// Blocks are multiplied as such: not what their numbers widened to bf16 or float32 give.
TEST(LlamaOfBlocks, AProductOfInt8IsNotThatOfTheWidenedNumbers) {
  const Model mixed = models().front();
  const auto blocks = logits_of(mixed.config, mixed.source, WeightFormat::kQ4_0, {});
  const auto widened = logits_of(mixed.config, mixed.source, WeightFormat::kBF16, {});
  const auto exact = logits_of(mixed.config, mixed.source, WeightFormat::kF32, {});
  EXPECT_NE(blocks, widened);
  // All three are the same model: int8 activations cost about a percent of a logit's size.
  double size = 0.0, of_blocks = 0.0, of_widened = 0.0;
  for (std::size_t row = 0; row < exact.size(); ++row) {
    for (std::size_t i = 0; i < exact[row].size(); ++i) {
      const auto square = [](double value) { return value * value; };
      size += square(exact[row][i]);
      of_blocks += square(blocks[row][i] - exact[row][i]);
      of_widened += square(widened[row][i] - exact[row][i]);
    }
  }
  EXPECT_LT(std::sqrt(of_blocks / size), 0.1);
  EXPECT_LT(std::sqrt(of_widened / size), 0.1);
  EXPECT_GT(of_blocks, 0.0);
}

}  // namespace
}  // namespace herd::model
