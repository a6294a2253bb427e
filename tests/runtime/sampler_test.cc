// Logits → tokens: stages, filters, and the same answer from any number of ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "kernels/local_collective.h"
#include "runtime/sampling/sampler.h"

namespace herd::sampling {
namespace {

using step::SampledToken;

constexpr int kOddVocab = 331;

model::ShardPlan plan_for(int vocab, int tp, int rank) {
  model::LlamaConfig config;
  config.hidden_size = 512;
  config.layers = 1;
  config.heads = 8;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.intermediate_size = 512;
  config.vocab_size = vocab;
  auto plan = model::plan_shard(config, tp, rank);
  EXPECT_TRUE(plan);
  return *plan;
}

std::vector<float> random_row(unsigned seed, float spread) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> row(kOddVocab);
  for (float& value : row) value = normal(generator);
  return row;
}

// use(sampler, this rank's slice of the rows) on `tp` ranks; every rank must answer alike.
template <class Use>
auto on_ranks(const std::vector<std::vector<float>>& rows, int tp, const Use& use) {
  using Answer = decltype(use(std::declval<Sampler&>(), std::declval<TensorView&>()));
  auto group = make_local_group(tp);
  std::vector<Answer> answers(static_cast<std::size_t>(tp));
  auto run = [&](int rank) {
    set_kernel_float_mode();
    auto device = make_cpu_device({.isa = CpuIsa::kReference, .threads = 1});
    ASSERT_TRUE(device);
    const auto plan = plan_for(kOddVocab, tp, rank);
    const auto stride = static_cast<std::size_t>(round_up(plan.vocab.size(), 16));
    std::vector<float> slices(stride * rows.size(), 1e30F);  // poisoned padding
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy(rows[i].begin() + plan.vocab.begin, rows[i].begin() + plan.vocab.end,
                slices.begin() + static_cast<std::ptrdiff_t>(i * stride));
    TensorView view{slices.data(), DType::kF32, static_cast<std::int64_t>(rows.size()), plan.vocab.size(),
                    static_cast<std::int64_t>(stride)};
    Sampler sampler(plan, kOddVocab, **device, *group[static_cast<std::size_t>(rank)], true);
    answers[static_cast<std::size_t>(rank)] = use(sampler, view);
  };
  std::vector<std::thread> threads;
  for (int rank = 1; rank < tp; ++rank) threads.emplace_back(run, rank);
  run(0);
  for (std::thread& thread : threads) thread.join();
  for (const Answer& answer : answers) EXPECT_EQ(answer, answers.front());
  return answers.front();
}

step::SampledToken sample(const std::vector<float>& row, step::SamplingParams params, std::uint32_t index = 0, int tp = 1,
                    const std::vector<TokenId>& stop_ids = {}, const TokenCounts& counts = {}) {
  return on_ranks({row}, tp, [&](Sampler& sampler, TensorView& view) {
    return sampler.sample(view, {SampleRow{SequenceId{1}, index, &params, &stop_ids, &counts}}).front();
  });
}

std::vector<step::PromptLogprob> score(const std::vector<std::vector<float>>& rows,
                                            const std::vector<TokenId>& targets, std::int32_t top, int tp = 1) {
  return on_ranks(rows, tp, [&](Sampler& sampler, TensorView& view) { return sampler.score(view, targets, top); });
}

step::SamplingParams greedy() { return {}; }
step::SamplingParams warm(float temperature, std::uint64_t seed) {
  step::SamplingParams params;
  params.temperature = temperature;
  params.seed = seed;
  return params;
}

TEST(Sampler, GreedyTakesTheLargestAndTiesGoToTheLowestId) {
  auto row = random_row(1, 1.0F);
  row[200] = row[77] = 9.0F;
  EXPECT_EQ(sample(row, greedy()).token, 77);
}

TEST(Sampler, EveryTensorParallelDegreeAnswersAlike) {
  int distinct = 0;
  TokenId last = -1;
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto row = random_row(seed, 2.0F);
    for (step::SamplingParams params : {greedy(), warm(1.5F, seed), warm(0.7F, 99)}) {
      for (int filter = 0; filter < 5; ++filter) {
        params.top_k = filter == 1 || filter == 4 ? 20 : 0;
        params.top_p = filter == 2 || filter == 4 ? 0.8F : 1.0F;
        params.min_p = filter >= 3 ? 0.05F : 0.0F;
        params.logprobs = 3;
        const step::SampledToken one = sample(row, params, seed);
        for (const int tp : {2, 4}) EXPECT_EQ(sample(row, params, seed, tp), one) << "filter " << filter;
        if (one.token != last) ++distinct;
        last = one.token;
      }
    }
  }
  EXPECT_GT(distinct, 30);  // the comparison compared something
}

TEST(Sampler, SameSeedAndIndexDrawTheSameOtherIndexDrawsAnew) {
  const auto row = random_row(3, 0.1F);
  std::set<TokenId> seen;
  for (std::uint32_t index = 0; index < 50; ++index) {
    const TokenId token = sample(row, warm(1.0F, 5), index).token;
    EXPECT_EQ(sample(row, warm(1.0F, 5), index).token, token);
    seen.insert(token);
  }
  EXPECT_GT(seen.size(), 30U);
}

// 4 tokens of known probability; the seed is fixed, so the counts are too. Bound: 5 standard deviations.
TEST(Sampler, DrawsFollowTheSoftmax) {
  std::vector<float> row(kOddVocab, -1e30F);
  const std::map<TokenId, double> probability{{5, 0.5}, {100, 0.25}, {250, 0.15}, {330, 0.1}};
  for (const auto& [token, p] : probability) row[static_cast<std::size_t>(token)] = static_cast<float>(std::log(p));
  std::map<TokenId, int> counts;
  constexpr int kDraws = 4000;
  for (std::uint32_t index = 0; index < kDraws; ++index) ++counts[sample(row, warm(1.0F, 11), index).token];
  for (const auto& [token, p] : probability)
    EXPECT_NEAR(counts[token], kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p))) << token;
}

// The set of tokens drawn in 400 tries is inside what the filter allows, and is not a single token.
void expect_inside(const std::vector<float>& row, const step::SamplingParams& params, const std::set<TokenId>& allowed) {
  std::set<TokenId> seen;
  for (std::uint32_t index = 0; index < 400; ++index) seen.insert(sample(row, params, index).token);
  EXPECT_GT(seen.size(), 1U);
  EXPECT_TRUE(std::includes(allowed.begin(), allowed.end(), seen.begin(), seen.end()));
}

TEST(Sampler, FiltersKeepWhatTheirDefinitionsKeep) {
  const auto row = random_row(8, 1.5F);
  std::vector<TokenId> order(kOddVocab);
  for (int i = 0; i < kOddVocab; ++i) order[static_cast<std::size_t>(i)] = i;
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return row[a] > row[b]; });
  double total = 0;
  for (const float logit : row) total += std::exp(logit);

  step::SamplingParams top_k = warm(1.0F, 1);
  top_k.top_k = 7;
  expect_inside(row, top_k, {order.begin(), order.begin() + 7});

  std::set<TokenId> nucleus;
  double before = 0;
  for (const TokenId token : order) {
    if (before >= 0.6 * total) break;
    nucleus.insert(token);
    before += std::exp(row[token]);
  }
  step::SamplingParams top_p = warm(1.0F, 1);
  top_p.top_p = 0.6F;
  expect_inside(row, top_p, nucleus);

  std::set<TokenId> likely;
  for (const TokenId token : order)
    if (std::exp(row[token]) >= 0.3 * std::exp(row[order[0]])) likely.insert(token);
  step::SamplingParams min_p = warm(1.0F, 1);
  min_p.min_p = 0.3F;
  expect_inside(row, min_p, likely);
}

TEST(Sampler, ATopPOfNothingKeepsTheLikeliestToken) {
  auto row = random_row(8, 0.1F);
  row[200] = row[77] = 1.0F;  // of equals, the lowest id
  for (const float top_p : {0.0F, std::numeric_limits<float>::denorm_min(), 1e-31F, 1e-30F}) {
    for (std::uint32_t index = 0; index < 20; ++index) {
      step::SamplingParams params = warm(1.5F, 3);
      params.top_p = top_p;
      params.min_p = index % 2 == 0 ? 0.0F : 0.01F;
      EXPECT_EQ(sample(row, params, index).token, 77) << top_p;
    }
  }
}

TEST(Sampler, BiasPenaltiesAndMinTokensChangeTheRowBeforeTheDraw) {
  auto row = random_row(4, 0.1F);
  row[10] = 5.0F;
  row[20] = 4.0F;
  row[30] = 3.5F;
  step::SamplingParams params;
  params.logit_bias = {{10, -2.0F}};
  EXPECT_EQ(sample(row, params).token, 20);

  step::SamplingParams repetition;
  repetition.repetition_penalty = 2.0F;
  TokenCounts counts;
  counts.add_prompt(10);
  EXPECT_EQ(sample(row, repetition, 0, 1, {}, counts).token, 20);

  step::SamplingParams frequency;
  frequency.frequency_penalty = 1.0F;
  EXPECT_EQ(sample(row, frequency, 0, 1, {}, counts).token, 10);  // prompt tokens do not count
  counts.add_emitted(10);
  counts.add_emitted(10);
  EXPECT_EQ(sample(row, frequency, 2, 1, {}, counts).token, 20);
  step::SamplingParams presence;
  presence.presence_penalty = 2.0F;
  EXPECT_EQ(sample(row, presence, 2, 1, {}, counts).token, 20);

  step::SamplingParams minimum;
  minimum.min_tokens = 2;
  EXPECT_EQ(sample(row, minimum, 1, 1, {10}).token, 20);
  EXPECT_EQ(sample(row, minimum, 2, 1, {10}).token, 10);
}

TEST(Sampler, LogprobsComeFromTheRawRow) {
  auto row = random_row(6, 2.0F);
  double total = 0;
  for (const float logit : row) total += std::exp(static_cast<double>(logit));
  step::SamplingParams params = warm(1.3F, 4);
  params.logprobs = 5;
  params.logit_bias = {{12, 3.0F}};
  const step::SampledToken token = sample(row, params, 0, 2);
  EXPECT_NEAR(token.logprob, row[static_cast<std::size_t>(token.token)] - std::log(total), 1e-5);
  ASSERT_EQ(token.top.size(), 5U);
  const float best = *std::max_element(row.begin(), row.end());
  EXPECT_NEAR(token.top.front().logprob, best - std::log(total), 1e-5);
  for (std::size_t i = 1; i < 5; ++i) EXPECT_GE(token.top[i - 1].logprob, token.top[i].logprob);
}

// A draw forced to a token by a bias reports that token's raw log-probability: score() must say the same bits.
TEST(Sampler, ScoreOfATokenIsTheLogprobThatADrawOfItReports) {
  std::vector<std::vector<float>> rows;
  std::vector<TokenId> targets;
  for (unsigned seed = 0; seed < 12; ++seed) {
    rows.push_back(random_row(seed, 3.0F));
    targets.push_back(static_cast<TokenId>(seed * 30));
  }
  const auto scored = score(rows, targets, 20);
  ASSERT_EQ(scored.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    step::SamplingParams forced;
    forced.logprobs = 20;
    forced.logit_bias = {{targets[i], 100.0F}};
    const step::SampledToken drawn = sample(rows[i], forced);
    EXPECT_EQ(drawn.token, targets[i]);
    EXPECT_EQ(scored[i], (step::PromptLogprob{targets[i], drawn.logprob, drawn.top}));
  }
  for (const int tp : {2, 4, 8}) EXPECT_EQ(score(rows, targets, 20, tp), scored);
  for (const auto& entry : score(rows, targets, -1, 2)) EXPECT_TRUE(entry.top.empty());
}

TEST(Sampler, ScoreOfARowWithNaNIsNaNAndSparesTheOthers) {
  std::vector<std::vector<float>> rows{random_row(1, 1.0F), random_row(2, 1.0F), random_row(3, 1.0F)};
  rows[1][170] = std::nanf("");
  const auto scored = score({rows[0], rows[2]}, {5, 300}, 2);
  const auto finite = [](const step::PromptLogprob& entry) { return !std::isnan(entry.logprob); };
  for (const int tp : {1, 2}) {  // NaN is not equal to itself: the row with it is looked at on its own
    on_ranks(rows, tp, [&](Sampler& sampler, TensorView& view) {
      const auto all = sampler.score(view, std::vector<TokenId>{5, 6, 300}, 2);
      EXPECT_FALSE(finite(all[1]));
      EXPECT_TRUE(all[1].top.empty());
      EXPECT_EQ(all[0], scored[0]);
      EXPECT_EQ(all[2], scored[1]);
      return 0;
    });
  }
}

TEST(Sampler, RowWithNaNIsNotSampled) {
  auto row = random_row(2, 1.0F);
  row[170] = std::nanf("");
  EXPECT_FALSE(sample(row, greedy()).finite);
  EXPECT_FALSE(sample(row, warm(1.0F, 1), 0, 2).finite);
}

TEST(Sampler, HashSeesEveryElement) {
  const auto row = random_row(2, 1.0F);
  const std::uint64_t hash = sample(row, greedy()).logits_hash;
  EXPECT_EQ(sample(row, greedy(), 0, 4).logits_hash, hash);
  for (const std::size_t id : {std::size_t{0}, std::size_t{163}, std::size_t{330}}) {
    auto changed = row;
    changed[id] = std::nextafter(changed[id], 100.0F);
    EXPECT_NE(sample(changed, greedy()).logits_hash, hash);
  }
}

TEST(SamplingParams, ValidateNamesTheField) {
  auto error = [](const std::function<void(step::SamplingParams&)>& change) {
    step::SamplingParams params;
    change(params);
    return params.validate(100);
  };
  auto field = [&](const std::function<void(step::SamplingParams&)>& change) { return error(change)->field; };
  EXPECT_EQ(error([](step::SamplingParams&) {}), std::nullopt);
  EXPECT_EQ(error([](step::SamplingParams& p) { p.top_p = 0.0F; }), std::nullopt);
  EXPECT_EQ(field([](step::SamplingParams& p) { p.temperature = std::nanf(""); }), "temperature");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.top_p = -0.1F; }), "top_p");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.top_p = 1.1F; }), "top_p");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.min_p = 2.0F; }), "min_p");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.stop_token_ids = {-1}; }), "stop_token_ids");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.stop_token_ids.resize(129); }), "stop_token_ids");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.logprobs = 21; }), "logprobs");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.repetition_penalty = 0; }), "repetition_penalty");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.presence_penalty = 2.5F; }), "presence_penalty");
  EXPECT_EQ(field([](step::SamplingParams& p) { p.frequency_penalty = -2.5F; }), "frequency_penalty");
  EXPECT_EQ(error([](step::SamplingParams& p) { p.top_k = -3; }),
            (step::FieldError{"top_k", "top_k must be -1, 0 (all) or at least 1, not -3"}));
  EXPECT_EQ(error([](step::SamplingParams& p) { p.temperature = 100.5F; }),
            (step::FieldError{"temperature", "temperature must be in [0, 100], not 100.5"}));
  EXPECT_EQ(error([](step::SamplingParams& p) { p.logit_bias = {{100, 1.0F}}; }),
            (step::FieldError{"logit_bias", "logit_bias: token id must be inside the vocabulary, not 100"}));
  EXPECT_EQ(error([](step::SamplingParams& p) { p.logit_bias = {{7, 101.0F}}; }),
            (step::FieldError{"logit_bias", "logit_bias must be in [-100, 100], not 101"}));
  EXPECT_EQ(error([](step::SamplingParams& p) { p.logit_bias = {{7, 1.0F}, {8, 1.0F}, {7, 2.0F}}; }),
            (step::FieldError{"logit_bias", "logit_bias names token id 7 twice"}));
}

}  // namespace
}  // namespace herd::sampling
