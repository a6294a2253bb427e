#include <gtest/gtest.h>

#include <set>

#include "tests/cluster/gateway/gateway_harness.h"

// What becomes of accepted streams when replicas are lost, full, drained or out of reach.
namespace herd::gateway {
namespace {

using routing::LossCause;
using routing::ReplicaState;
using step::FinishReason;
using End = RequestEnd::Kind;

struct GatewayRecovery : testing::Test, Gateway {
  [[nodiscard]] std::vector<std::pair<std::uint64_t, End>> ended() const {
    std::vector<std::pair<std::uint64_t, End>> found;
    for (const auto& end : ends()) found.emplace_back(end.request.value, end.end.kind);
    return found;
  }
  using Ended = std::vector<std::pair<std::uint64_t, End>>;
  // For what a leader died of, after its link was seen to be cut.
  void wait_for_word() { pass_until({now.ns + 60'000'000}); }
};

// Losses and moves.

TEST_F(GatewayRecovery, AStreamGoesOnElsewhereBehindItsLastToken) {
  view({replica(0), replica(1)});
  ask(1);
  answer(0, token(0, 0));
  lose(generation(0), LossCause::kKilled);
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(1));
  EXPECT_EQ(runs()[1].submission.attempt, 1U);
  EXPECT_EQ(runs()[1].submission.tokens, (std::vector<TokenId>{10, 11, 12, 100}));
  EXPECT_EQ(runs()[1].submission.alone_until, 0U);
  answer(0, token(0, 1));  // late
  answer(1, token(1, 1, FinishReason::kStop));
  EXPECT_EQ(delivered().size(), 2U);
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_EQ(core.ledger().losses, 1U);
}

TEST_F(GatewayRecovery, AStreamSurvivesAnyNumberOfLossesAndMoves) {
  view({replica(0)});
  ask(1);
  const LossCause causes[] = {LossCause::kKilled, LossCause::kStopped, LossCause::kOverdue, LossCause::kTokensDiffer};
  for (std::uint64_t epoch = 1; epoch <= 40; ++epoch) {
    answer(runs().size() - 1, token(runs().size() - 1, static_cast<std::uint32_t>(epoch - 1)));
    lose(generation(0, epoch), causes[epoch % 4]);
    view({replica(0, epoch + 1)});
    ASSERT_EQ(runs().size(), epoch + 1);
    EXPECT_EQ(runs().back().submission.alone_until, 0U);
  }
  EXPECT_TRUE(ends().empty());
  EXPECT_EQ(core.ledger().moves, 10U);
  EXPECT_EQ(core.ledger().losses, 30U);
  EXPECT_EQ(core.ledger().replayed, 40U);
  EXPECT_EQ(core.ledger().suspected_kills, 0U);
}

TEST_F(GatewayRecovery, WithoutAReplicaAStreamIsParkedUntilItsDeadline) {
  view({replica(0)});
  ask(1);
  lose(generation(0), LossCause::kKilled);
  EXPECT_EQ(runs().size(), 1U);
  EXPECT_EQ(core.admission().waiting, 1U);
  EXPECT_EQ(core.admission().waiting_tokens, 3U);
  EXPECT_EQ(core.admission().running, 0U);
  pass_until(seconds(599));
  EXPECT_TRUE(ends().empty());
  view({replica(0, 2)});
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(core.admission().waiting, 0U);
  EXPECT_EQ(core.admission().running_sequences, 1U);
  lose(generation(0, 2), LossCause::kKilled);
  pass_until(seconds(600));
  EXPECT_EQ(ended(), (Ended{{1, End::kTimedOut}}));
}

TEST_F(GatewayRecovery, ASilentCoordinatorChangesNothing) {
  view({replica(0)});
  pass_until(seconds(500));
  ask(1);
  EXPECT_EQ(runs().size(), 1U);
}

TEST_F(GatewayRecovery, ANewerViewBuriesWhatItDoesNotHave) {
  view({replica(0), replica(1)});
  ask(1, 2);
  view({replica(0, 2), replica(1)});
  ASSERT_EQ(runs().size(), 3U);
  EXPECT_EQ(runs()[2].submission.sequence, runs()[0].submission.sequence);
  EXPECT_EQ(runs()[2].submission.attempt, 1U);
  view({replica(0, 2)});
  ASSERT_EQ(runs().size(), 4U);
  EXPECT_EQ(runs()[3].submission.sequence, runs()[1].submission.sequence);
  view({replica(0, 2, ReplicaState::kLost)});
  EXPECT_EQ(core.admission().waiting, 1U);
  EXPECT_EQ(core.ledger().losses, 4U);
  EXPECT_EQ(core.ledger().suspected_kills, 0U);
}

TEST_F(GatewayRecovery, ACutLinkMovesWithoutBuryingTheReplica) {
  view({replica(0)});
  ask(1);
  answer(0, token(0, 0));
  cut(generation(0));
  EXPECT_EQ(runs().size(), 1U) << "it is not asked at once";
  EXPECT_EQ(core.ledger().moves, 1U);
  answer(0, token(0, 1));
  EXPECT_EQ(delivered().size(), 1U) << "a delta of the attempt that was given up";
  pass_until(seconds(2));
  ASSERT_EQ(runs().size(), 2U) << "after the retry time";
  EXPECT_EQ(runs()[1].submission.attempt, 1U);
  cut(generation(0));
  view({replica(0)});
  wait_for_word();
  EXPECT_EQ(runs().size(), 3U) << "a newer view says that it serves";
  EXPECT_TRUE(ends().empty());
}

TEST_F(GatewayRecovery, AttemptsAfterTheFirstKeepTheirNumerics) {
  auto other = replica(1);
  other.route.numerics = "sm90-1";
  view({replica(0), other});
  ask(1);
  lose(generation(0), LossCause::kKilled);
  EXPECT_EQ(runs().size(), 1U) << "parked: the other one makes other bits";
  view({replica(0, 2), other});
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(0, 2));
  auto resumed = request(2);
  resumed.numerics = "sm90-1";
  for (int i = 0; i < 3; ++i) {
    resumed.id = RequestId(10U + static_cast<unsigned>(i));
    ask(resumed);
    EXPECT_EQ(runs().back().to.generation, generation(1));
  }
}

// It would be parked, and hold a place that others can use.
TEST_F(GatewayRecovery, AStreamWhoseNumericsNobodyServesIsRefusedAsItsTurnComes) {
  auto config = gateway_config();
  config.admission.running_sequences_max = 1;
  Gateway small(config);
  auto other = replica(1, 1, ReplicaState::kLost);
  other.route.numerics = "sm90-1";
  auto resumed = request(1);
  resumed.numerics = "sm90-1";
  small.core.set_tenant(resumed.tenant, {.requests_per_minute = 2});
  small.view({replica(0), other});
  small.ask(resumed);
  ASSERT_EQ(small.ends().size(), 1U);
  ASSERT_TRUE(small.ends()[0].end.refusal.has_value());
  EXPECT_EQ(small.ends()[0].end.refusal->reason, admission::AdmissionRefusal::Reason::kNoReplica);
  EXPECT_FALSE(small.ends()[0].end.started);
  EXPECT_TRUE(small.starts().empty());
  small.ask(2);
  EXPECT_EQ(small.runs().size(), 1U) << "the place is free";
  EXPECT_FALSE(small.core.refuses_now(resumed.tenant, small.now)) << "what was refused counts for nothing";
  // It waits for its turn while they serve, and they do not any more when that comes.
  auto serves = replica(1, 2);
  serves.route.numerics = "sm90-1";
  small.view({replica(0), serves});
  resumed.id = RequestId(3);
  small.ask(resumed);
  EXPECT_EQ(small.ends().size(), 1U);
  small.lose(generation(1, 2), LossCause::kKilled);
  EXPECT_EQ(small.ends().size(), 1U);
  small.answer(0, small.token(0, 0, FinishReason::kStop));
  ASSERT_EQ(small.ends().size(), 3U);
  EXPECT_EQ(small.ends()[2].request, RequestId(3));
  EXPECT_EQ(small.ends()[2].end.kind, End::kRefused);
  EXPECT_EQ(small.core.admission().running_sequences, 0U);
}

// Refusals by replicas.

TEST_F(GatewayRecovery, AFullReplicaSendsTheSequenceElsewhere) {
  view({replica(0), replica(1)});
  ask(1);
  answer(0, refusal(0, StatusCode::kOverloaded));
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(1));
  EXPECT_EQ(runs()[1].submission.attempt, 1U);
  answer(1, refusal(1, StatusCode::kOverloaded));
  EXPECT_EQ(runs().size(), 2U) << "both are full";
  EXPECT_EQ(core.admission().waiting, 1U);
  EXPECT_TRUE(ends().empty());
  pass_until(seconds(3));
  ASSERT_EQ(runs().size(), 3U);
  answer(2, token(2, 0, FinishReason::kStop));
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_EQ(core.ledger().moves, 2U);
}

TEST_F(GatewayRecovery, AFullReplicaIsLeftAloneForAWhile) {
  view({replica(0)});
  ask(1);
  ask(2);
  answer(0, refusal(0, StatusCode::kOverloaded));
  ask(3);
  EXPECT_EQ(runs().size(), 2U) << "neither the refused one nor a new one";
  answer(1, token(1, 0));
  EXPECT_EQ(runs().size(), 2U);
  answer(1, token(1, 1, FinishReason::kStop));
  EXPECT_EQ(runs().size(), 4U) << "a place got free";
}

TEST_F(GatewayRecovery, ABadRequestIsTheClientsOwnFaultOnlyAtFirst) {
  view({replica(0), replica(1)});
  ask(1);
  answer(0, refusal(0, StatusCode::kBadInput));
  ask(2);
  answer(1, token(1, 0));
  lose(runs()[1].to.generation, LossCause::kKilled);
  answer(2, refusal(2, StatusCode::kBadInput));
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}, {2, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why, Status(StatusCode::kBadInput, "no"));
  EXPECT_TRUE(ends()[0].end.blames_caller);
  EXPECT_FALSE(ends()[1].end.blames_caller) << "a token had come";
  EXPECT_TRUE(stops().empty());
}

TEST_F(GatewayRecovery, ASequenceThatFitsNowhereDoesNotHoldUpTheOthers) {
  view({replica(0, 1, ReplicaState::kServing, 1)});
  ask(1);
  ask(2);
  ASSERT_EQ(runs().size(), 1U);
  std::size_t played = 0;
  for (int i = 0; i < 200 && ends().empty(); ++i) {
    for (; played < runs().size(); ++played) {
      if (runs()[played].submission.sequence == SequenceId(1)) {
        answer(played, refusal(played, StatusCode::kOverloaded));
      } else {
        answer(played, token(played, 0, FinishReason::kStop));
      }
    }
    pass_until({now.ns + 1'000'000});
  }
  EXPECT_EQ(ended(), (Ended{{2, End::kFinished}}));
}

// Suspects.

TEST_F(GatewayRecovery, OnlyARankThatDiedOfItselfMakesSuspects) {
  for (const LossCause cause : {LossCause::kKilled, LossCause::kOverdue, LossCause::kTokensDiffer, LossCause::kStopped,
                                LossCause::kDiedOfItself}) {
    Gateway gateway;
    gateway.view({replica(0), replica(1)});
    gateway.ask(1);
    gateway.answer(0, gateway.token(0, 0));
    gateway.lose(generation(0), cause);
    ASSERT_EQ(gateway.runs().size(), 2U);
    EXPECT_EQ(gateway.runs()[1].submission.alone_until, cause == LossCause::kDiedOfItself ? 2U : 0U);
    EXPECT_EQ(gateway.core.ledger().suspected_kills, cause == LossCause::kDiedOfItself ? 1U : 0U);
  }
}

TEST_F(GatewayRecovery, OnlyWhatWasInTheFatalStepIsSuspect) {
  view({replica(0)});
  ask(1, 3);
  lose(generation(0), LossCause::kDiedOfItself, std::vector{routing::AttemptInStep{runs()[1].submission.key()}});
  view({replica(0, 2)});
  ASSERT_EQ(runs().size(), 6U);
  for (std::size_t i = 3; i < 6; ++i)
    EXPECT_EQ(runs()[i].submission.alone_until > 0, runs()[i].submission.sequence == runs()[1].submission.sequence);
}

TEST_F(GatewayRecovery, ASecondDeathCondemnsASuspectByName) {
  view({replica(0), replica(1), replica(2)});
  ask(1);
  ask(2);
  ASSERT_EQ(runs()[0].to.generation, generation(0));
  lose(generation(0), LossCause::kDiedOfItself);
  const auto second = runs().back().to.generation;
  lose(second, LossCause::kDiedOfItself);
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  const Status why = ends()[0].end.why;
  EXPECT_EQ(why.code(), StatusCode::kInternal);
  EXPECT_NE(why.message().find("a second replica died"), std::string::npos) << why.message();
  EXPECT_NE(why.message().find("replica 0: rank 1 died"), std::string::npos) << why.message();
  EXPECT_NE(why.message().find("replica " + std::to_string(second.replica.value) + ": rank 1 died"), std::string::npos);
  EXPECT_EQ(core.ledger().condemned, 1U);
}

TEST_F(GatewayRecovery, APromptThatKilledTwiceIsNotTriedAgainForTenMinutes) {
  view({replica(0), replica(1), replica(2)});
  ask(1);
  lose(generation(0), LossCause::kDiedOfItself);
  lose(runs().back().to.generation, LossCause::kDiedOfItself);
  ASSERT_EQ(ends().size(), 1U);
  EXPECT_TRUE(ends()[0].end.poison);
  EXPECT_FALSE(ends()[0].end.blames_caller);
  const std::size_t sent = runs().size();
  ask(2);
  ASSERT_EQ(ends().size(), 2U);
  EXPECT_TRUE(ends()[1].end.poison);
  EXPECT_TRUE(ends()[1].end.blames_caller);
  EXPECT_EQ(runs().size(), sent) << "no replica sees it";
  now = seconds(601);
  auto later = request(3);
  later.deadline = seconds(700);
  ask(later);
  EXPECT_EQ(runs().size(), sent + 1);
}

// A list waits for a place for its second prompt, which kills two ranks as another's meanwhile.
TEST_F(GatewayRecovery, APromptThatIsCondemnedWhileItIsHeldBackDoesNotRun) {
  auto config = gateway_config();
  config.admission.running_sequences_max = 2;
  Gateway small(config);
  small.hand_over = false;
  small.view({replica(0), replica(1), replica(2)});
  const auto start = [&small](std::uint64_t id, std::vector<step::Submission> choices) {
    GatewayEffects made;
    small.core.on_started(RequestId(id), std::move(choices), small.now, made);
    std::ranges::move(made, std::back_inserter(small.effects));
    small.core.check_integrity();
  };
  step::Submission other = submission();
  other.tokens = {20, 21, 22};
  small.ask(1);  // the other prompt, which keeps its replica
  start(1, {other});
  auto killer = Gateway::request(2);
  killer.tenant = admission::TenantId(2);
  small.ask(killer);
  start(2, {submission()});
  ASSERT_EQ(small.runs().size(), 2U);
  small.answer(0, small.token(0, 0, FinishReason::kStop));
  small.ask(3, 2);
  start(3, {other, submission()});
  ASSERT_EQ(small.runs().size(), 3U) << "the second prompt has no place";
  const auto keeps = small.runs()[2].to.generation;
  ASSERT_NE(small.runs()[1].to.generation, keeps);
  small.lose(small.runs()[1].to.generation, LossCause::kDiedOfItself);
  ASSERT_EQ(small.runs().size(), 4U);
  ASSERT_NE(small.runs()[3].to.generation, keeps);
  small.lose(small.runs()[3].to.generation, LossCause::kDiedOfItself);
  const std::vector<EndRequest> ends = small.ends();
  ASSERT_EQ(ends.size(), 3U);
  EXPECT_EQ(ends[1].request, RequestId(2));
  EXPECT_EQ(ends[2].request, RequestId(3));
  EXPECT_TRUE(ends[2].end.poison);
  EXPECT_TRUE(ends[2].end.blames_caller);
  EXPECT_TRUE(ends[2].end.started);
  for (const RunOn& run : small.runs()) EXPECT_FALSE(run.request == RequestId(3) && run.choice == 1) << "no replica sees it";
}

TEST_F(GatewayRecovery, PastTheFatalStepTheSuspicionIsOver) {
  view({replica(0), replica(1), replica(2)});
  ask(1);
  answer(0, token(0, 0));
  lose(generation(0), LossCause::kDiedOfItself);
  ASSERT_EQ(runs()[1].submission.alone_until, 2U);
  answer(1, token(1, 1));
  lose(runs()[1].to.generation, LossCause::kKilled);
  ASSERT_EQ(runs()[2].submission.alone_until, 2U) << "killed from outside before it got past";
  answer(2, token(2, 2));
  view({replica(0, 2), replica(1, 2), replica(2)});
  lose(runs()[2].to.generation, LossCause::kDiedOfItself);
  ASSERT_EQ(runs().size(), 4U) << "the first death of another step";
  EXPECT_EQ(runs()[3].submission.alone_until, 4U);
  EXPECT_TRUE(ends().empty());
  EXPECT_EQ(core.ledger().suspected_kills, 2U);
}

TEST_F(GatewayRecovery, SuspectsGoToAReplicaOneByOne) {
  view({replica(0)});
  ask(1, 3);
  lose(generation(0), LossCause::kDiedOfItself);
  view({replica(1)});
  ASSERT_EQ(runs().size(), 4U);
  answer(3, token(3, 0));
  EXPECT_EQ(runs().size(), 4U);
  answer(3, token(3, 1));
  ASSERT_EQ(runs().size(), 5U) << "the first one is past its fatal step";
  answer(4, token(4, 0, FinishReason::kStop));
  EXPECT_EQ(runs().size(), 6U);
}

TEST_F(GatewayRecovery, ANoticeAfterTheCutLinkTakesTheSuspectFromItsNewNeighbours) {
  view({replica(0), replica(1)});
  ask(1);
  ask(2);
  cut(generation(0));
  wait_for_word();
  ASSERT_EQ(runs().size(), 3U) << "no word came";
  lose(generation(0), LossCause::kDiedOfItself);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[2].submission.key());
  EXPECT_EQ(stops()[0].on.generation, generation(1));
  ASSERT_EQ(runs().size(), 4U);
  EXPECT_EQ(runs()[3].submission.attempt, 2U);
  EXPECT_EQ(runs()[3].submission.alone_until, 1U);
  // It kills that one too, and the link is seen to be cut first: it waits for the notice, others do not.
  view({replica(0, 2), replica(1)});
  cut(generation(1));
  wait_for_word();
  ASSERT_EQ(runs().size(), 5U);
  EXPECT_EQ(runs()[4].submission.sequence, runs()[1].submission.sequence);
  lose(generation(1), LossCause::kDiedOfItself, std::vector{routing::AttemptInStep{runs()[3].submission.key()}});
  EXPECT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(stops().size(), 1U);
}

TEST_F(GatewayRecovery, WhatKilledALeaderIsKnownBeforeItRunsElsewhere) {
  view({replica(0), replica(1)});
  ask(1);
  ask(3);
  ask(2);
  ASSERT_EQ(runs()[2].to.generation, generation(0));
  cut(generation(0));
  ASSERT_EQ(runs().size(), 3U) << "what its leader died of is about to be told";
  lose(generation(0), LossCause::kDiedOfItself, std::vector{routing::AttemptInStep{runs()[0].submission.key()}});
  ASSERT_GT(runs().size(), 3U) << "the word has come";
  pass_until({now.ns + 1'000'000'000});  // of a crowd a replica takes some at a time
  ASSERT_EQ(runs().size(), 5U);
  for (std::size_t i = 3; i < 5; ++i)
    EXPECT_EQ(runs()[i].submission.alone_until > 0, runs()[i].submission.sequence == runs()[0].submission.sequence);
}

TEST_F(GatewayRecovery, WhatACutLinkParkedGoesOnAsSoonAsItIsOpenAgain) {
  view({replica(0)});
  ask(1);
  answer(0, token(0, 0));
  cut(generation(0));
  ASSERT_EQ(runs().size(), 1U) << "there is nowhere to go";
  open_link(generation(0));
  ASSERT_EQ(runs().size(), 2U) << "without a newer view and at once";
  EXPECT_EQ(runs()[1].submission.attempt, 1U);
  EXPECT_EQ(runs()[1].submission.tokens.size(), 4U) << "prompt and what was delivered";
  answer(0, token(0, 1));  // of the attempt that ran on the old connection
  answer(1, token(1, 1, FinishReason::kStop));
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_EQ(delivered().size(), 2U);
}

TEST_F(GatewayRecovery, WhatCannotBeSentGoesElsewhereAndNothingElseMoves) {
  view({replica(0), replica(1)});
  ask(1);
  ask(2);
  ask(3);
  ASSERT_EQ(runs()[2].to.generation, generation(0));
  unsent(2);
  ASSERT_EQ(runs().size(), 4U) << "the first one there runs on";
  EXPECT_EQ(runs()[3].to.generation, generation(1));
  EXPECT_EQ(runs()[3].submission.key(), runs()[2].submission.key()) << "nobody has seen that attempt";
  unsent(2);
  EXPECT_EQ(runs().size(), 4U) << "it has gone elsewhere since";
  answer(0, token(0, 0));
  EXPECT_EQ(delivered().size(), 1U);
  ask(4);
  EXPECT_EQ(runs().back().to.generation, generation(1)) << "the other one rests";
  EXPECT_EQ(core.ledger().moves, 0U);
  open_link(generation(0));
  ask(5);
  EXPECT_EQ(runs().back().to.generation, generation(0));
}

TEST_F(GatewayRecovery, WhatCouldNotBeSentIsNoSuspectOfADeath) {
  view({replica(0)});
  ask(1);
  unsent(0);
  EXPECT_EQ(runs().size(), 1U) << "there is nowhere to go";
  lose(generation(0), LossCause::kDiedOfItself);
  EXPECT_EQ(core.ledger().suspected_kills, 0U);
  view({replica(0, 2)});
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].submission.alone_until, 0U);
  unsent(1);
  pass_until(seconds(2));
  ASSERT_EQ(runs().size(), 3U) << "after the retry time";
  EXPECT_EQ(runs()[2].to.generation, generation(0, 2));
}

TEST_F(GatewayRecovery, AnOpenLinkOfALostGenerationChangesNothing) {
  view({replica(0)});
  ask(1);
  cut(generation(0));
  lose(generation(0), LossCause::kKilled);
  open_link(generation(0));
  EXPECT_EQ(runs().size(), 1U);
  view({replica(0, 2)});
  EXPECT_EQ(runs().size(), 2U);
}

TEST_F(GatewayRecovery, GoesWhereOtherGatewaysHaveLessWork) {
  view({replica(0), replica(1)});
  core.on_load(generation(0), {.running = 10});
  core.on_load(generation(1), {.running = 1});
  for (std::uint64_t id = 1; id <= 5; ++id) ask(id);
  for (const RunOn& run : runs()) EXPECT_EQ(run.to.generation, generation(1));
}

// Room.

TEST_F(GatewayRecovery, SequencesBeyondAReplicasRoomWaitOldestFirst) {
  view({replica(0, 1, ReplicaState::kServing, 2)});
  ask(1);
  ask(2);
  ask(3);
  ask(4);
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(core.admission().waiting, 2U);
  answer(1, token(1, 0, FinishReason::kStop));
  ASSERT_EQ(runs().size(), 3U);
  EXPECT_EQ(runs()[2].submission.sequence, SequenceId(3));
  gone(1);
  ASSERT_EQ(runs().size(), 4U);
  EXPECT_EQ(runs()[3].submission.sequence, SequenceId(4));
}

TEST_F(GatewayRecovery, ASurvivorIsNotFloodedWithOrphans) {
  view({replica(0, 1, ReplicaState::kServing, 32), replica(1, 1, ReplicaState::kDraining)});
  for (std::uint64_t id = 1; id <= 32; ++id) ask(id);
  ASSERT_EQ(runs().size(), 32U);
  view({replica(0, 1, ReplicaState::kServing, 32), replica(1, 2, ReplicaState::kServing, 32)});
  lose(generation(0), LossCause::kKilled);
  EXPECT_EQ(runs().size(), 48U) << "half of its places";
  EXPECT_EQ(runs()[32].submission.sequence, SequenceId(1)) << "oldest first";
  pass_until(seconds(5));
  EXPECT_EQ(runs().size(), 64U);
  std::set<SequenceId> again;
  for (std::size_t i = 32; i < 64; ++i) again.insert(runs()[i].submission.sequence);
  EXPECT_EQ(again.size(), 32U);
}

}  // namespace
}  // namespace herd::gateway
