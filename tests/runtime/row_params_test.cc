#include "runtime/sampling/row_params.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace herd::sampling {
namespace {

constexpr std::int32_t kVocab = 100;

const LogitEdit& edit_of(const std::vector<LogitEdit>& edits, TokenId token) {
  const auto found = std::find_if(edits.begin(), edits.end(), [&](const LogitEdit& e) { return e.token == token; });
  EXPECT_NE(found, edits.end()) << token;
  return *found;
}

TEST(RowParams, AGreedyRowHasNoFiltersAndNoEdits) {
  step::SamplingParams params;
  params.top_p = 0.5F;
  params.min_p = 0.5F;
  params.seed = 7;
  params.logprobs = 3;
  std::vector<LogitEdit> edits;
  const SampleRowParams row = row_params({{}, 5, &params, nullptr, nullptr}, kVocab, edits);
  EXPECT_EQ(row.active, 1U);
  EXPECT_EQ(row.temperature, 0.0F);
  EXPECT_EQ(row.top_p, 1.0F);
  EXPECT_EQ(row.min_p, 0.0F);
  EXPECT_EQ(row.seed, 7U);
  EXPECT_EQ(row.output_index, 5U);
  EXPECT_EQ(row.logprobs, 3);
  EXPECT_EQ(row.edit_begin, row.edit_end);
  EXPECT_TRUE(edits.empty());
}

TEST(RowParams, TopKOutsideTheVocabularyIsOff) {
  step::SamplingParams params;
  params.temperature = 1.0F;
  std::vector<LogitEdit> edits;
  for (const auto& [asked, given] : {std::pair{0, 0}, {-1, 0}, {2, 2}, {99, 99}, {100, 0}, {1000, 0}}) {
    params.top_k = asked;
    EXPECT_EQ(row_params({{}, 0, &params, nullptr, nullptr}, kVocab, edits).top_k, given) << asked;
  }
}

TEST(RowParams, EveryStageOfOneTokenIsInOneEdit) {
  step::SamplingParams params;
  params.logit_bias = {{3, 1.5F}, {8, -2.0F}};
  params.repetition_penalty = 1.25F;
  params.frequency_penalty = 0.5F;
  params.presence_penalty = 0.25F;
  params.min_tokens = 4;
  TokenCounts counts;
  counts.add_prompt(3);
  counts.add_prompt(5);
  counts.add_emitted(9);
  counts.add_emitted(9);
  counts.add_emitted(3);
  const std::vector<TokenId> stops = {3, 50};
  std::vector<LogitEdit> edits(2);  // of rows before
  const SampleRowParams row = row_params({{}, 1, &params, &stops, &counts}, kVocab, edits);
  EXPECT_EQ(row.edit_begin, 2);
  EXPECT_EQ(row.edit_end, 7);
  ASSERT_EQ(edits.size(), 7U);  // 3, 8, 5, 9, 50
  edits.erase(edits.begin(), edits.begin() + 2);
  EXPECT_EQ(edit_of(edits, 3).flags, kEditBias | kEditRepetition | kEditCount | kEditMask);
  EXPECT_EQ(edit_of(edits, 3).bias, 1.5F);
  EXPECT_EQ(edit_of(edits, 3).count_penalty, 0.75F);
  EXPECT_EQ(edit_of(edits, 8).flags, kEditBias);
  EXPECT_EQ(edit_of(edits, 5).flags, kEditRepetition);
  EXPECT_EQ(edit_of(edits, 5).repetition_penalty, 1.25F);
  EXPECT_EQ(edit_of(edits, 9).flags, kEditRepetition | kEditCount);
  EXPECT_EQ(edit_of(edits, 9).count_penalty, 1.25F);
  EXPECT_EQ(edit_of(edits, 50).flags, kEditMask);
}

TEST(RowParams, StopTokensAreFreeOnceMinTokensAreOut) {
  step::SamplingParams params;
  params.min_tokens = 4;
  const std::vector<TokenId> stops = {3};
  std::vector<LogitEdit> edits;
  (void)row_params({{}, 3, &params, &stops, nullptr}, kVocab, edits);
  EXPECT_EQ(edits.size(), 1U);
  (void)row_params({{}, 4, &params, &stops, nullptr}, kVocab, edits);
  EXPECT_EQ(edits.size(), 1U);
}

}  // namespace
}  // namespace herd::sampling
