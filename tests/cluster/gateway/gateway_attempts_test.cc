#include <gtest/gtest.h>

#include "tests/cluster/gateway/gateway_harness.h"

// What whoever traces is told: each attempt with its request and choice, and why those ended that were cut short.
namespace herd::gateway {
namespace {

using routing::LossCause;
using step::FinishReason;

struct GatewayAttempts : testing::Test, Gateway {
  [[nodiscard]] std::vector<AttemptCut> cuts() const { return all<AttemptCut>(); }
  // One request of one choice that runs on replica 0, with one token.
  void run_one() {
    view({replica(0)});
    ask(1);
    answer(0, token(0, 0));
    view({replica(0), replica(1)});
    ASSERT_EQ(runs().size(), 1U);
  }
  void expect_cut_once(AttemptCutBy by) const {
    ASSERT_EQ(cuts().size(), 1U);
    EXPECT_EQ(cuts()[0].request, RequestId(1));
    EXPECT_EQ(cuts()[0].choice, 0U);
    EXPECT_EQ(cuts()[0].by, by);
    EXPECT_FALSE(cuts()[0].why.ok());
  }
  // Of the second attempt, which is said behind the end of the first.
  void expect_goes_on() const {
    ASSERT_EQ(runs().size(), 2U);
    EXPECT_EQ(runs()[1].request, RequestId(1));
    EXPECT_EQ(runs()[1].choice, 0U);
    EXPECT_EQ(runs()[1].submission.tokens.size() - runs()[1].submission.prompt_tokens, 1U) << "what is replayed";
    const auto is_cut = [](const GatewayEffect& effect) { return std::holds_alternative<AttemptCut>(effect); };
    const auto is_second = [](const GatewayEffect& effect) {
      const auto* run = std::get_if<RunOn>(&effect);
      return run != nullptr && run->submission.tokens.size() == 4;
    };
    EXPECT_LT(std::ranges::find_if(effects, is_cut), std::ranges::find_if(effects, is_second));
  }
};

TEST_F(GatewayAttempts, EachSaysWhoseItIs) {
  view({replica(0), replica(1)});
  ask(7, 3);
  ASSERT_EQ(runs().size(), 3U);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(runs()[i].request, RequestId(7));
    EXPECT_EQ(runs()[i].choice, i);
  }
}

TEST_F(GatewayAttempts, AnAttemptThatFinishesIsNotCut) {
  run_one();
  answer(0, token(0, 1, FinishReason::kStop));
  EXPECT_EQ(ends().size(), 1U);
  EXPECT_TRUE(cuts().empty());
}

TEST_F(GatewayAttempts, ALossCutsIt) {
  run_one();
  lose(generation(0), LossCause::kKilled);
  expect_cut_once(AttemptCutBy::kLoss);
  EXPECT_EQ(cuts()[0].why.message(), "replica 0: rank 1 died");
  expect_goes_on();
}

TEST_F(GatewayAttempts, AStopOnPurposeIsNoLoss) {
  run_one();
  lose(generation(0), LossCause::kStopped);
  expect_cut_once(AttemptCutBy::kStop);
}

TEST_F(GatewayAttempts, AViewWithoutItsReplicaCutsIt) {
  run_one();
  view({replica(1)});
  expect_cut_once(AttemptCutBy::kLoss);
}

TEST_F(GatewayAttempts, ACutLinkCutsIt) {
  run_one();
  cut(generation(0));
  expect_cut_once(AttemptCutBy::kLink);
  pass_until(seconds(2));
  expect_goes_on();
}

TEST_F(GatewayAttempts, ADrainCutsItWhereAnotherReplicaHasRoom) {
  run_one();
  view({replica(0, 1, routing::ReplicaState::kDraining), replica(1)});
  expect_cut_once(AttemptCutBy::kDrain);
  expect_goes_on();
}

TEST_F(GatewayAttempts, ARefusalForWantOfRoomCutsIt) {
  view({replica(0), replica(1)});
  ask(1);
  answer(0, refusal(0, StatusCode::kOverloaded));
  expect_cut_once(AttemptCutBy::kRefusal);
}

TEST_F(GatewayAttempts, OneThatCannotBeSentIsCut) {
  view({replica(0), replica(1)});
  ask(1);
  unsent(0);
  expect_cut_once(AttemptCutBy::kUnsent);
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].submission.attempt, 0U) << "nobody has seen it: the same attempt again";
}

//   replica 0 is cut off, its stream moves to replica 1; then the word comes that the stream had killed replica 0
TEST_F(GatewayAttempts, ASuspicionThatComesLaterCutsTheNextOne) {
  run_one();
  const step::AttemptKey first = runs()[0].submission.key();
  cut(generation(0));
  pass_until(seconds(2));
  ASSERT_EQ(runs().size(), 2U);
  lose(generation(0), LossCause::kDiedOfItself, std::vector<routing::AttemptInStep>{{first, 2}});
  ASSERT_EQ(cuts().size(), 2U);
  EXPECT_EQ(cuts()[1].by, AttemptCutBy::kSuspicion);
}

TEST_F(GatewayAttempts, OneWhoseRequestEndsIsNotCutBesides) {
  run_one();
  gone(1);
  EXPECT_EQ(ends().size(), 1U);
  EXPECT_TRUE(cuts().empty());
}

}  // namespace
}  // namespace herd::gateway
