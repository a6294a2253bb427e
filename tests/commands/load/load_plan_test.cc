// Plans: the same for the same seed, with the moments that were asked for.

#include "commands/load/load_plan.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "commands/load/load_random.h"

namespace herd::load {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

TEST(LoadRandom, StreamsAreFixedForEver) {
  LoadRandom random(7, RandomUse::kArrivals);
  const std::uint32_t first = random.word();
  // Philox4x32-10 of counter (0, 0, 0, 1), key (7, 0): every word in order.
  const PhiloxBlock block = philox4x32(PhiloxBlock{{0, 0, 0, 1}}, 7, 0);
  EXPECT_EQ(first, block.word[0]);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(random.word(), block.word[i]);
  EXPECT_EQ(random.word(), philox4x32(PhiloxBlock{{1, 0, 0, 1}}, 7, 0).word[0]);
}

TEST(LoadRandom, LogarithmAndExponentialAgreeWithTheLibrary) {
  for (const double x :
       {1e-300, 0.001, 0.3, 0.7071067811865475, 0.7071067811865477, 0.999999, 1.0, 1.000001, 2.0, 10.0, 1e300})
    EXPECT_NEAR(portable_log(x), std::log(x), 4e-16 * std::max(1.0, std::abs(std::log(x)))) << x;
  for (const double x : {-690.0, -20.0, -1.0, -1e-9, 0.0, 0.3, 1.0, 5.5, 690.0})
    EXPECT_NEAR(portable_exp(x) / std::exp(x), 1.0, 4e-16 * std::max(4.0, std::abs(x))) << x;
  EXPECT_EQ(portable_exp(-1e6), 0.0);
}

TEST(LoadRandom, DrawsBelowABoundAreEven) {
  constexpr int kDraws = 60000;
  constexpr int kFaces = 6;
  int counts[kFaces] = {};
  LoadRandom random(3, RandomUse::kLengths);
  for (int i = 0; i < kDraws; ++i) ++counts[random.below(kFaces)];
  const double sigma = std::sqrt(kDraws * (1.0 / kFaces) * (1.0 - 1.0 / kFaces));
  for (const int count : counts) EXPECT_NEAR(count, kDraws / kFaces, 5 * sigma);
}

// Gamma of shape k and scale 1: mean k, variance k; the sample variance's own variance is (6k + 2k²)/n + O(1/n²).
TEST(LoadRandom, GammaHasTheMomentsOfItsShape) {
  constexpr int kDraws = 200000;
  for (const double shape : {0.1, 0.5, 1.0, 2.0, 7.5}) {
    LoadRandom random(11, RandomUse::kArrivals);
    double sum = 0.0;
    double squares = 0.0;
    for (int i = 0; i < kDraws; ++i) {
      const double x = random.gamma(shape);
      ASSERT_GE(x, 0.0);
      sum += x;
      squares += (x - shape) * (x - shape);
    }
    EXPECT_NEAR(sum / kDraws, shape, 5 * std::sqrt(shape / kDraws)) << shape;
    EXPECT_NEAR(squares / kDraws, shape, 5 * std::sqrt((6 * shape + 2 * shape * shape) / kDraws)) << shape;
  }
}

TEST(LoadPlan, AnInfiniteRateSendsEverythingAtOnce) {
  const auto times = arrival_times(5, {});
  ASSERT_TRUE(times);
  EXPECT_EQ(*times, std::vector<double>(5, 0.0));
}

TEST(LoadPlan, TheLastArrivalIsAtTheOfferedRate) {
  for (const double burstiness : {0.2, 1.0, 4.0, kInfinite}) {
    const auto times = arrival_times(1000, {.request_rate = 8.0, .burstiness = burstiness, .seed = 5});
    ASSERT_TRUE(times);
    EXPECT_TRUE(std::is_sorted(times->begin(), times->end()));
    EXPECT_NEAR(times->back(), 125.0, 1e-9);
  }
}

// k = burstiness. Gaps are gamma of shape k over their own mean m; R = k · mean((x/m - 1)²) is 1 in expectation, and
// by the delta method with μ2 = 1/k, μ3 = 2/k², μ4 = 3/k² + 6/k³ its variance is (2 + 2/k)/n.
TEST(LoadPlan, BurstinessIsTheShapeOfTheGaps) {
  constexpr std::size_t kRequests = 100000;
  for (const double burstiness : {0.25, 1.0, 4.0}) {
    const auto times = arrival_times(kRequests, {.request_rate = 10.0, .burstiness = burstiness, .seed = 9});
    ASSERT_TRUE(times);
    double squares = 0.0;
    for (std::size_t i = 1; i < kRequests; ++i) {
      const double gap = (*times)[i] - (*times)[i - 1] - 0.1;
      squares += gap * gap;
    }
    const double relative = squares / (kRequests - 1) * 100.0 * burstiness;
    EXPECT_NEAR(relative, 1.0, 5 * std::sqrt((2 + 2 / burstiness) / kRequests)) << burstiness;
  }
}

TEST(LoadPlan, InfiniteBurstinessIsAnEvenRate) {
  const auto times = arrival_times(4, {.request_rate = 2.0, .burstiness = kInfinite});
  ASSERT_TRUE(times);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR((*times)[i], 0.5 * static_cast<double>(i + 1), 1e-12);
}

TEST(LoadPlan, TheSeedDecidesThePlan) {
  const ArrivalOptions arrivals{.request_rate = 3.0, .burstiness = 0.7, .seed = 1};
  ArrivalOptions others = arrivals;
  others.seed = 2;
  EXPECT_EQ(*arrival_times(50, arrivals), *arrival_times(50, arrivals));
  EXPECT_NE(*arrival_times(50, arrivals), *arrival_times(50, others));
  const RandomPrompts prompts{.input_len = 20, .output_len = 9, .range_ratio = 0.5, .seed = 1, .vocab_size = 1000};
  RandomPrompts other_prompts = prompts;
  other_prompts.seed = 2;
  EXPECT_EQ(*random_requests(50, prompts), *random_requests(50, prompts));
  EXPECT_NE(*random_requests(50, prompts), *random_requests(50, other_prompts));
}

TEST(LoadPlan, RampsGoFromTheFirstRateToTheLast) {
  for (const RampUp ramp : {RampUp::kLinear, RampUp::kExponential}) {
    const auto times = arrival_times(
        101, {.burstiness = kInfinite, .ramp_up = ramp, .ramp_up_start_rps = 1.0, .ramp_up_end_rps = 16.0});
    ASSERT_TRUE(times);
    EXPECT_NEAR((*times)[0], 1.0, 1e-12);
    EXPECT_NEAR((*times)[100] - (*times)[99], 1.0 / 16.0, 1e-12);
    const double middle = ramp == RampUp::kLinear ? 8.5 : 4.0;
    EXPECT_NEAR((*times)[50] - (*times)[49], 1.0 / middle, 1e-12);
  }
}

TEST(LoadPlan, ImpossibleTrafficIsAUsageError) {
  const std::vector<ArrivalOptions> bad = {
      {.request_rate = 0.0},
      {.request_rate = -1.0},
      {.request_rate = std::nan("")},
      {.burstiness = 0.0},
      {.burstiness = std::nan("")},
      {.request_rate = 2.0, .ramp_up = RampUp::kLinear, .ramp_up_start_rps = 1, .ramp_up_end_rps = 2},
      {.ramp_up = RampUp::kLinear, .ramp_up_start_rps = 0, .ramp_up_end_rps = 2},
      {.ramp_up = RampUp::kExponential, .ramp_up_start_rps = 3, .ramp_up_end_rps = 2},
      {.ramp_up = RampUp::kLinear, .ramp_up_start_rps = 3, .ramp_up_end_rps = kInfinite}};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto times = arrival_times(3, bad[i]);
    ASSERT_FALSE(times) << i;
    EXPECT_EQ(times.error().code(), StatusCode::kUsage) << i;
  }
}

TEST(LoadPlan, RandomLengthsFillTheirRange) {
  const auto plan =
      random_requests(2000, {.input_len = 10, .output_len = 4, .prefix_len = 3, .range_ratio = 0.25, .vocab_size = 50});
  ASSERT_TRUE(plan);
  std::set<std::uint32_t> inputs, outputs;
  for (const PlannedRequest& request : *plan) {
    inputs.insert(request.prompt_tokens);
    outputs.insert(request.output_tokens);
    ASSERT_EQ(request.token_ids.size(), request.prompt_tokens);
    ASSERT_TRUE(request.text.empty());
    for (const TokenId id : request.token_ids) ASSERT_TRUE(id >= 0 && id < 50);
    ASSERT_TRUE(std::equal(request.token_ids.begin(), request.token_ids.begin() + 3, plan->front().token_ids.begin()));
  }
  // floor(10 · 0.75) = 7 to ceil(10 · 1.25) = 13, and the prefix; floor(3) to ceil(5).
  EXPECT_EQ(inputs, (std::set<std::uint32_t>{10, 11, 12, 13, 14, 15, 16}));
  EXPECT_EQ(outputs, (std::set<std::uint32_t>{3, 4, 5}));
}

TEST(LoadPlan, PromptsComeFromTheAlphabetElseFromWords) {
  const auto ids = random_requests(20, {.input_len = 30, .alphabet = {5, 900, 77}, .vocab_size = 10});
  ASSERT_TRUE(ids);
  std::set<TokenId> seen;
  for (const PlannedRequest& request : *ids) seen.insert(request.token_ids.begin(), request.token_ids.end());
  EXPECT_EQ(seen, (std::set<TokenId>{5, 77, 900}));
  const auto words = random_requests(1, {.input_len = 30, .prefix_len = 2});
  ASSERT_TRUE(words);
  EXPECT_TRUE(words->front().token_ids.empty());
  EXPECT_EQ(std::count(words->front().text.begin(), words->front().text.end(), ' '), 31);
}

TEST(LoadPlan, ImpossiblePromptsAreAUsageError) {
  const std::vector<RandomPrompts> bad = {{.output_len = 0},
                                          {.range_ratio = 1.0},
                                          {.range_ratio = -0.1},
                                          {.input_len = 0},
                                          {.input_len = 1, .range_ratio = 0.5},
                                          {.input_len = 4'000'000'000U}};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto plan = random_requests(3, bad[i]);
    ASSERT_FALSE(plan) << i;
    EXPECT_EQ(plan.error().code(), StatusCode::kUsage) << i;
  }
  EXPECT_TRUE(random_requests(3, {.input_len = 0, .prefix_len = 1}));
}

TEST(LoadPlan, ASmallDataSetIsRepeatedAndALargeOneCut) {
  std::vector<PlannedRequest> samples(3);
  for (std::size_t i = 0; i < 3; ++i) samples[i].text = std::string(1, static_cast<char>('a' + i));
  const auto more = fill_up(samples, 10, true, 1);
  ASSERT_TRUE(more);
  ASSERT_EQ(more->size(), 10U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ((*more)[i], samples[i]);
  EXPECT_EQ(fill_up(samples, 10, false, 1)->size(), 3U);
  EXPECT_EQ(fill_up(samples, 2, true, 1)->size(), 2U);
  EXPECT_EQ(fill_up({}, 2, true, 1).error().code(), StatusCode::kBadInput);
}

TEST(LoadPlan, ShufflingKeepsEveryRequest) {
  std::vector<PlannedRequest> requests(40);
  for (std::uint32_t i = 0; i < 40; ++i) requests[i].prompt_tokens = i;
  std::vector<PlannedRequest> once = requests;
  shuffle(once, 4);
  std::vector<PlannedRequest> again = requests;
  shuffle(again, 4);
  EXPECT_EQ(once, again);
  EXPECT_NE(once, requests);
  std::sort(once.begin(), once.end(), [](const auto& a, const auto& b) { return a.prompt_tokens < b.prompt_tokens; });
  EXPECT_EQ(once, requests);
}

}  // namespace
}  // namespace herd::load
