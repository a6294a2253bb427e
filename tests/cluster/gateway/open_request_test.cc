#include "cluster/gateway/open_request.h"

#include <gtest/gtest.h>

namespace herd::gateway {
namespace {

using step::FinishReason;
using step::TokenDelta;

TokenDelta token(std::uint32_t cached = 0, FinishReason finish = FinishReason::kNone) {
  TokenDelta delta;
  delta.has_token = true;
  delta.cached_tokens = cached;
  delta.finish = finish;
  return delta;
}

std::vector<step::Submission> four_choices() {
  std::vector<step::Submission> choices(4);
  for (std::uint32_t i = 0; i < 4; ++i) {
    choices[i].sampling.choice = i % 2;
    choices[i].max_tokens = i;
    choices[i].prompt_tokens = 100;
  }
  return choices;
}

// Two prompts of 100 tokens with two choices each.
OpenRequest two_prompts(std::size_t credit = 10) {
  GatewayRequest asked;
  asked.sequences = 4;
  asked.prompt_tokens = 200;
  asked.credit = credit;
  OpenRequest request(asked);
  request.start(four_choices());
  request.allow(4);
  while (const auto next = request.take_next()) request.run(next->choice, SequenceId(10 + next->choice));
  return request;
}

TEST(OpenRequest, EachPromptCostsWhatItsFirstChoiceHadToCompute) {
  OpenRequest request = two_prompts();
  EXPECT_EQ(request.computed_prompt_tokens(), 0U) << "nothing is known to be computed yet";
  TokenDelta rows;
  rows.outputs.resize(1);
  request.on_delivered(0, rows);
  request.on_delivered(0, token(60));
  EXPECT_EQ(request.computed_prompt_tokens(), 40U) << "of the second prompt nobody has told yet";
  request.on_delivered(1, token(96));
  EXPECT_EQ(request.computed_prompt_tokens(), 40U) << "the second choice found the first one's blocks";
  request.on_delivered(2, token(10));
  request.on_delivered(2, token(90));
  EXPECT_EQ(request.computed_prompt_tokens(), 130U) << "as found at first, not after a failover";
  EXPECT_EQ(request.output_tokens(), 4U);
}

TEST(OpenRequest, APromptIsComputedOnceOneOfItsChoicesHasATokenAndNotBefore) {
  OpenRequest request = two_prompts();
  request.on_delivered(3, token(96));
  EXPECT_EQ(request.computed_prompt_tokens(), 100U) << "the first choice has not said yet what it found";
  request.on_delivered(2, token(30));
  EXPECT_EQ(request.computed_prompt_tokens(), 70U);
}

TEST(OpenRequest, CreditIsOfDeltasThatEndNothing) {
  OpenRequest request = two_prompts(2);
  request.on_delivered(0, token(0, FinishReason::kStop));
  request.on_delivered(1, token());
  EXPECT_TRUE(request.has_credit());
  request.on_delivered(1, token());
  EXPECT_FALSE(request.has_credit());
  request.on_consumed(1);
  EXPECT_FALSE(request.has_credit()) << "that was the terminal one";
  request.on_consumed(1);
  EXPECT_TRUE(request.has_credit());
  request.on_consumed(99);
  request.on_delivered(1, token());
  EXPECT_TRUE(request.has_credit());
  request.on_delivered(1, token());
  EXPECT_FALSE(request.has_credit()) << "nobody gets credit for what was not delivered";
}

TEST(OpenRequest, ChoicesRunInOrderAsManyAsMay) {
  GatewayRequest asked;
  asked.sequences = 4;
  OpenRequest request(asked);
  request.allow(1);  // its turn came, and the submissions follow
  EXPECT_FALSE(request.take_next());
  request.start(four_choices());
  EXPECT_EQ(request.open_choices(), 4U);
  const auto first = request.take_next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->choice, 0U);
  request.run(0, SequenceId(10));
  EXPECT_FALSE(request.take_next()) << "the others have no place yet";
  EXPECT_TRUE(request.holds_back());
  EXPECT_TRUE(request.drop(1)) << "nobody wants it any more";
  EXPECT_FALSE(request.drop(1));
  EXPECT_FALSE(request.drop(0)) << "it runs";
  EXPECT_FALSE(request.drop(9));
  EXPECT_EQ(request.open_choices(), 3U);
  request.allow(2);
  EXPECT_EQ(request.take_next()->submission.max_tokens, 2U);
  EXPECT_EQ(request.take_next()->choice, 3U);
  EXPECT_FALSE(request.holds_back());
  EXPECT_FALSE(request.take_next());
  EXPECT_EQ(request.open_sequences(), std::vector{SequenceId(10)});
}

TEST(OpenRequest, AChoiceIsOpenUntilItIsClosed) {
  OpenRequest request = two_prompts();
  EXPECT_EQ(request.sequence_of(1), SequenceId(11));
  request.close_choice(1);
  EXPECT_EQ(request.sequence_of(1), SequenceId());
  EXPECT_EQ(request.sequence_of(4), SequenceId());
  EXPECT_EQ(request.open_choices(), 3U);
  EXPECT_EQ(request.open_sequences(), (std::vector{SequenceId(10), SequenceId(12), SequenceId(13)}));
}

}  // namespace
}  // namespace herd::gateway
