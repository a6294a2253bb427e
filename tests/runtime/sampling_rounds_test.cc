// How often ranks must meet to sample the rows of a step, and that rows which meet together come out as alone.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/local_collective.h"
#include "runtime/sampling/sampler.h"
#include "tests/runtime/counting_collective.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::sampling {
namespace {

using Counts = herd::testing::CountingCollective::Counts;
using herd::testing::CountingCollective;
using Tokens = std::vector<step::SampledToken>;

constexpr std::int32_t kWide = 6000;  // more than the candidates that are looked at first

struct Row {
  step::SamplingParams params;
  std::uint32_t output_index = 0;
  unsigned logits = 0;  // seed
  float spread = 2.0F;
};

model::ShardPlan plan_for(int tp, int rank) {
  model::LlamaConfig config = shard::testing::tiny_config();
  config.vocab_size = kWide;
  config.kv_heads = 8;
  config.head_dim = 64;  // eight leaves of attention and MLP
  config.intermediate_size = 512;
  auto plan = model::plan_shard(config, tp, rank);
  EXPECT_TRUE(plan);
  return *plan;
}

std::vector<float> slice_of(const std::vector<Row>& rows, const model::ShardPlan& plan, std::size_t stride) {
  std::vector<float> slices(stride * rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::mt19937 random(rows[i].logits);
    std::normal_distribution<float> normal(0.0F, rows[i].spread);
    for (std::int32_t id = 0; id < kWide; ++id) {
      const float logit = normal(random);
      if (id >= plan.vocab.begin && id < plan.vocab.end)
        slices[i * stride + static_cast<std::size_t>(id - plan.vocab.begin)] = logit;
    }
  }
  return slices;
}

// All rows in one call on `tp` ranks, which must agree.
Tokens sample(const std::vector<Row>& rows, int tp, Counts& counts, std::size_t round_bytes = std::size_t{256} << 20) {
  auto group = make_local_group(tp);
  std::vector<Counts> counted(static_cast<std::size_t>(tp));
  std::vector<Tokens> tokens(static_cast<std::size_t>(tp));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < tp; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      set_kernel_float_mode();
      const auto device = shard::testing::cpu(CpuIsa::kAuto);
      const auto plan = plan_for(tp, rank);
      const auto stride = static_cast<std::size_t>(round_up(plan.vocab.size(), 16));
      auto slices = slice_of(rows, plan, stride);
      std::vector<SampleRow> requests;
      for (const Row& row : rows) requests.push_back({SequenceId{1}, row.output_index, &row.params, nullptr, nullptr});
      CountingCollective collective(std::move(group[at]), counted[at]);
      Sampler sampler(plan, kWide, *device, collective, true, round_bytes);
      tokens[at] = sampler.sample({slices.data(), DType::kF32, static_cast<std::int64_t>(rows.size()),
                                   plan.vocab.size(), static_cast<std::int64_t>(stride)},
                                  requests);
      EXPECT_TRUE(collective.status().ok()) << collective.status().message();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (const Tokens& others : tokens) EXPECT_EQ(others, tokens.front());
  for (const Counts& others : counted) EXPECT_EQ(others, counted.front());
  counts = counted.front();
  return tokens.front();
}

// Rows of every kind of filter, alone and together.
std::vector<Row> filtered_rows() {
  std::vector<Row> rows;
  for (const float temperature : {0.05F, 0.7F, 1.5F}) {
    for (const float min_p : {0.0F, 0.02F}) {
      for (const float top_p : {1.0F, 0.9F}) {
        for (const std::int32_t top_k : {0, 50, 1000, 5000}) {
          for (const std::int32_t logprobs : {-1, 5}) {
            Row row;
            row.logits = static_cast<unsigned>(rows.size());
            row.params.temperature = temperature;
            row.params.min_p = min_p;
            row.params.top_p = top_p;
            row.params.top_k = top_k;
            row.params.logprobs = logprobs;
            row.params.seed = rows.size();
            if (rows.size() % 3 == 0) row.params.logit_bias = {{17, 4.0F}, {5999, -3.0F}};
            rows.push_back(row);
          }
        }
      }
    }
  }
  return rows;
}

std::vector<Row> plain_rows(int count) {
  std::vector<Row> rows(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].logits = static_cast<unsigned>(i);
    rows[i].params.temperature = i % 2 == 0 ? 0.0F : 0.9F;
    rows[i].params.seed = i;
    rows[i].params.logprobs = i % 3 == 0 ? 3 : -1;
  }
  return rows;
}

TEST(SamplingRounds, GreedyAndPlainDrawsMeetOnce) {
  Counts counts;
  EXPECT_EQ(sample(plain_rows(32), 2, counts).size(), 32U);
  EXPECT_EQ(counts, (Counts{{CollectiveName::kSampling, 1}}));
}

TEST(SamplingRounds, AllRowsWithFiltersMeetThreeTimesMoreTogether) {
  auto rows = filtered_rows();
  const auto plain = plain_rows(8);
  rows.insert(rows.end(), plain.begin(), plain.end());
  Counts counts;
  EXPECT_EQ(sample(rows, 2, counts).size(), rows.size());
  EXPECT_EQ(counts, (Counts{{CollectiveName::kSampling, 1}, {CollectiveName::kCandidates, 3}}));
}

TEST(SamplingRounds, AFewCandidatesAreEnoughForTopKAndMinP) {
  std::vector<Row> rows(2);
  rows[0].params.temperature = rows[1].params.temperature = 0.8F;
  rows[0].params.top_k = 40;
  rows[1].params.min_p = 0.2F;
  rows[1].params.top_p = 0.9F;
  Counts counts;
  sample(rows, 2, counts);
  EXPECT_EQ(counts, (Counts{{CollectiveName::kSampling, 1}}));
}

TEST(SamplingRounds, RowsComeOutAsAloneOnOneRankHoweverTheyMeet) {
  const auto rows = filtered_rows();
  Tokens alone;
  Counts counts;
  for (const Row& row : rows) alone.push_back(sample({row}, 1, counts).front());
  EXPECT_TRUE(counts.empty()) << "a rank by itself meets nobody";
  for (const int tp : {1, 2, 8}) EXPECT_EQ(sample(rows, tp, counts), alone);
  EXPECT_EQ(sample(rows, 2, counts, 1), alone) << "a row a round";
  EXPECT_GT(counts[CollectiveName::kCandidates], 20);
}

TEST(SamplingRounds, AGreedyStepOf32RowsOnTwoRanksMeetsOnceBesideItsLayers) {
  constexpr std::uint32_t kRows = 32;
  step::StepPlan plan = shard::testing::Plans().next();
  for (std::uint32_t i = 0; i < kRows; ++i) {
    plan.started.push_back(shard::testing::start_of(i + 1, shard::testing::prompt(1, static_cast<TokenId>(i))));
    plan.slices.push_back(shard::testing::slice_of(i + 1, 0, 1, {BlockId{i}}, true));
  }
  auto group = make_local_group(2);
  std::array<Counts, 2> before, after;
  std::array<step::StepResult, 2> results;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto at = static_cast<std::size_t>(rank);
      shard::ShardConfig config = shard::testing::tiny_shard(2, rank);
      config.sequences_max = config.logit_rows_max = config.blocks = kRows;
      const auto executor = shard::testing::make_executor(
          config, shard::testing::cpu(), std::make_shared<CountingCollective>(std::move(group[at]), after[at]));
      EXPECT_TRUE(executor->prepare().ok());
      before[at] = after[at];
      results[at] = executor->execute(plan);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  EXPECT_TRUE(results[0].status.ok()) << results[0].status.message();
  EXPECT_EQ(results[0].sampled.size(), kRows);
  const int layers = shard::testing::tiny_config().layers;
  EXPECT_EQ(before[0], Counts{});
  EXPECT_EQ(after[0], (Counts{{CollectiveName::kAttention, layers}, {CollectiveName::kMlp, layers},
                              {CollectiveName::kSampling, 1}}));
  EXPECT_EQ(after[1], after[0]);
}

}  // namespace
}  // namespace herd::sampling
