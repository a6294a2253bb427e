#include "cluster/gateway/gateway_core.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/cluster/gateway/gateway_harness.h"

namespace herd::gateway {
namespace {

using routing::LossCause;
using routing::ReplicaState;
using step::FinishReason;
using End = RequestEnd::Kind;
using Reason = admission::AdmissionRefusal::Reason;

struct GatewayCoreTest : testing::Test, Gateway {
  [[nodiscard]] std::vector<std::pair<std::uint64_t, End>> ended() const {
    std::vector<std::pair<std::uint64_t, End>> found;
    for (const auto& end : ends()) found.emplace_back(end.request.value, end.end.kind);
    return found;
  }
  using Ended = std::vector<std::pair<std::uint64_t, End>>;
};

TEST_F(GatewayCoreTest, ARequestRunsFromItsArrivalToItsLastToken) {
  view({replica(0)});
  ask(1);
  ASSERT_EQ(starts(), std::vector{RequestId(1)});
  ASSERT_EQ(runs().size(), 1U);
  EXPECT_EQ(runs()[0].to, replica(0).route);
  const step::Submission& sent = runs()[0].submission;
  EXPECT_EQ(sent.key(), (step::AttemptKey{kGateway, SequenceId(1), 0}));
  EXPECT_EQ(sent.tokens, submission().tokens);

  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kStop));
  ASSERT_EQ(delivered().size(), 2U);
  EXPECT_EQ(delivered()[0].delta.token.token, 100);
  EXPECT_EQ(delivered()[1].delta.finish, FinishReason::kStop);
  ASSERT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_TRUE(ends()[0].end.started);
  EXPECT_TRUE(ends()[0].end.why.ok());
  EXPECT_TRUE(stops().empty());
  EXPECT_EQ(core.open_requests(), 0U);
  EXPECT_EQ(core.ledger().finished, 1U);
}

TEST_F(GatewayCoreTest, SequencesAreNumberedFromOneOverAllRequests) {
  view({replica(0), replica(1)});
  ask(5, 2);
  ask(6);
  ASSERT_EQ(runs().size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(runs()[i].submission.sequence, SequenceId(i + 1));
  EXPECT_EQ(runs()[0].to.generation, generation(0));
  EXPECT_EQ(runs()[1].to.generation, generation(1));
}

TEST_F(GatewayCoreTest, NothingToComputeStartsAndFinishesAtOnce) {
  view({});
  ask(1, 0);
  EXPECT_EQ(starts(), std::vector{RequestId(1)});
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_TRUE(runs().empty());
}

TEST_F(GatewayCoreTest, DeltasOfOthersAreDroppedAndCounted) {
  view({replica(0), replica(1)});
  ask(1);
  auto stranger = token(0, 0);
  stranger.gateway = GatewayId(78);
  from(generation(0), stranger);
  auto older = token(0, 0);
  older.attempt = 9;
  from(generation(0), older);
  from(generation(1), token(0, 0));
  from(generation(0, 2), token(0, 0));
  auto unknown = token(0, 0);
  unknown.sequence = SequenceId(40);
  from(generation(0), unknown);
  EXPECT_TRUE(delivered().empty());
  EXPECT_EQ(core.ledger().stale_deltas, 5U);
  from(generation(0), token(0, 0));
  EXPECT_EQ(delivered().size(), 1U);
}

// Deadlines.

TEST_F(GatewayCoreTest, ALateArrivalIsNotAdmitted) {
  view({replica(0)});
  auto late = request(1);
  late.deadline = now;
  ask(late);
  EXPECT_EQ(ended(), (Ended{{1, End::kLate}}));
  EXPECT_EQ(core.admission().accepted, 0U);
}

TEST_F(GatewayCoreTest, DeadlinesEndWhatWaitsAndWhatRuns) {
  view({replica(0)});
  auto config = gateway_config();
  config.admission.running_sequences_max = 1;
  Gateway busy(config);
  busy.view({replica(0)});
  auto runs_long = request(1);
  runs_long.deadline = seconds(5);
  busy.ask(runs_long);
  auto waits = request(2);
  waits.deadline = seconds(3);
  busy.ask(waits);
  ASSERT_EQ(busy.wakes().back().at, seconds(3));
  busy.timer_at(seconds(3));
  ASSERT_EQ(busy.ends().size(), 1U);
  EXPECT_EQ(busy.ends()[0].request, RequestId(2));
  EXPECT_EQ(busy.ends()[0].end.kind, End::kLate);
  EXPECT_FALSE(busy.ends()[0].end.started);
  ASSERT_EQ(busy.wakes().back().at, seconds(5));
  busy.timer_at(seconds(5));
  ASSERT_EQ(busy.ends().size(), 2U);
  EXPECT_EQ(busy.ends()[1].end.kind, End::kTimedOut);
  ASSERT_EQ(busy.stops().size(), 1U);
  EXPECT_EQ(busy.stops()[0].attempt, busy.runs()[0].submission.key());
}

// Credits.

TEST_F(GatewayCoreTest, AReaderThatLeavesMoreThanItsCreditIsCutOff) {
  view({replica(0)});
  auto narrow = request(1, 2);
  narrow.credit = 2;
  ask(narrow);
  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kStop));  // a terminal one takes no credit
  answer(1, token(1, 0));
  core.on_consumed(RequestId(1), 1);
  answer(1, token(1, 1));
  EXPECT_TRUE(ends().empty());
  answer(1, token(1, 2));
  EXPECT_EQ(ended(), (Ended{{1, End::kSlow}}));
  EXPECT_EQ(delivered().size(), 4U);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[1].submission.key());
}

TEST_F(GatewayCoreTest, TheTerminalDeltaIsDeliveredWithoutCredit) {
  view({replica(0)});
  auto narrow = request(1);
  narrow.credit = 1;
  ask(narrow);
  answer(0, token(0, 0));
  answer(0, token(0, 1, FinishReason::kLength));
  EXPECT_EQ(delivered().size(), 2U);
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
}

// Choices.

TEST_F(GatewayCoreTest, AStoppedChoiceEndsWellAndTheOthersGoOn) {
  view({replica(0)});
  ask(1, 2);
  answer(0, token(0, 0));
  stop_choice(1, 0);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[0].submission.key());
  EXPECT_TRUE(ends().empty());
  stop_choice(1, 0);
  stop_choice(1, 7);
  EXPECT_EQ(stops().size(), 1U) << "a choice ends once";
  stop_choice(1, 1);
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
  EXPECT_EQ(core.ledger().finished, 2U);
}

TEST_F(GatewayCoreTest, AFailingChoiceEndsItsWholeRequestAndNoOther) {
  view({replica(0)});
  ask(1, 2);
  ask(2);
  auto failed = delta(0);
  failed.finish = FinishReason::kFailed;
  failed.error = {StatusCode::kInternal, "its logits are not finite"};
  answer(0, failed);
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why, failed.error);
  ASSERT_EQ(stops().size(), 1U);
  EXPECT_EQ(stops()[0].attempt, runs()[1].submission.key());
  answer(2, token(2, 0, FinishReason::kStop));
  EXPECT_EQ(ended().back(), (std::pair{2UL, End::kFinished}));
}

TEST_F(GatewayCoreTest, ATokenOutOfOrderEndsTheRequestInsteadOfHidingIt) {
  view({replica(0)});
  ask(1);
  answer(0, token(0, 1));
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why.code(), StatusCode::kInternal);
  EXPECT_EQ(stops().size(), 1U);
}

TEST_F(GatewayCoreTest, InvalidSubmissionsEndTheirRequest) {
  view({replica(0)});
  hand_over = false;
  for (const auto& choices : {std::vector<step::Submission>{}, std::vector{submission(), submission()},
                              std::vector{step::Submission{}}}) {
    const std::uint64_t id = 1 + ends().size();
    ask(id);
    GatewayEffects made;
    core.on_started(RequestId(id), choices, now, made);
    effects.insert(effects.end(), made.begin(), made.end());
    ASSERT_EQ(ended().back(), (std::pair{id, End::kFailed}));
    EXPECT_EQ(ends().back().end.why.code(), StatusCode::kBadInput);
    EXPECT_FALSE(ends().back().end.started);
  }
  core.check_integrity();
  EXPECT_TRUE(runs().empty());
}

TEST_F(GatewayCoreTest, ACallerThatLeavesStopsItsChoices) {
  view({replica(0)});
  ask(1, 2);
  gone(1);
  EXPECT_EQ(ended(), (Ended{{1, End::kGone}}));
  EXPECT_EQ(stops().size(), 2U);
  gone(1);
  answer(0, token(0, 0));
  EXPECT_EQ(ends().size(), 1U);
  EXPECT_TRUE(delivered().empty());
}

TEST_F(GatewayCoreTest, ShutdownEndsEverythingAndTakesNothing) {
  view({replica(0)});
  ask(1);
  ask(2);
  shut_down();
  ask(3);
  EXPECT_EQ(ended(), (Ended{{1, End::kShutdown}, {2, End::kShutdown}, {3, End::kShutdown}}));
  EXPECT_EQ(stops().size(), 2U);
}

// Losses and moves.

TEST_F(GatewayCoreTest, AStreamGoesOnElsewhereBehindItsLastToken) {
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

TEST_F(GatewayCoreTest, AStreamSurvivesAnyNumberOfLossesAndMoves) {
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

TEST_F(GatewayCoreTest, WithoutAReplicaAStreamIsParkedUntilItsDeadline) {
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

TEST_F(GatewayCoreTest, ASilentCoordinatorChangesNothing) {
  view({replica(0)});
  pass_until(seconds(500));
  ask(1);
  EXPECT_EQ(runs().size(), 1U);
}

TEST_F(GatewayCoreTest, ANewerViewBuriesWhatItDoesNotHave) {
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

TEST_F(GatewayCoreTest, ADrainingReplicaFinishesWhatItHas) {
  view({replica(0)});
  ask(1);
  view({replica(0, 1, ReplicaState::kDraining), replica(1)});
  EXPECT_EQ(runs().size(), 1U);
  ask(2);
  ASSERT_EQ(runs().size(), 2U);
  EXPECT_EQ(runs()[1].to.generation, generation(1));
  answer(0, token(0, 0, FinishReason::kStop));
  EXPECT_EQ(ended(), (Ended{{1, End::kFinished}}));
}

TEST_F(GatewayCoreTest, ACutLinkMovesWithoutBuryingTheReplica) {
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
  EXPECT_EQ(runs().size(), 3U) << "a newer view says that it serves";
  EXPECT_TRUE(ends().empty());
}

TEST_F(GatewayCoreTest, AttemptsAfterTheFirstKeepTheirNumerics) {
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

// Refusals by replicas.

TEST_F(GatewayCoreTest, AFullReplicaSendsTheSequenceElsewhere) {
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

TEST_F(GatewayCoreTest, ABadRequestIsTheClientsOwnFaultOnlyAtFirst) {
  view({replica(0), replica(1)});
  ask(1);
  answer(0, refusal(0, StatusCode::kBadInput));
  ask(2);
  answer(1, token(1, 0));
  lose(runs()[1].to.generation, LossCause::kKilled);
  answer(2, refusal(2, StatusCode::kBadInput));
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}, {2, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why, Status(StatusCode::kBadInput, "no"));
  EXPECT_EQ(ends()[1].end.why.code(), StatusCode::kInternal);
  EXPECT_TRUE(stops().empty());
}

TEST_F(GatewayCoreTest, ASequenceThatFitsNowhereDoesNotHoldUpTheOthers) {
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

TEST_F(GatewayCoreTest, OnlyARankThatDiedOfItselfMakesSuspects) {
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

TEST_F(GatewayCoreTest, OnlyWhatWasInTheFatalStepIsSuspect) {
  view({replica(0)});
  ask(1, 3);
  lose(generation(0), LossCause::kDiedOfItself, std::vector{routing::AttemptInStep{runs()[1].submission.key()}});
  view({replica(0, 2)});
  ASSERT_EQ(runs().size(), 6U);
  for (std::size_t i = 3; i < 6; ++i)
    EXPECT_EQ(runs()[i].submission.alone_until > 0, runs()[i].submission.sequence == runs()[1].submission.sequence);
}

TEST_F(GatewayCoreTest, ASecondDeathCondemnsASuspectByName) {
  view({replica(0), replica(1), replica(2)});
  ask(1);
  ask(2);
  ASSERT_EQ(runs()[0].to.generation, generation(0));
  lose(generation(0), LossCause::kDiedOfItself);
  const auto second = runs().back().to.generation;
  lose(second, LossCause::kDiedOfItself);
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  const Status& why = ends()[0].end.why;
  EXPECT_EQ(why.code(), StatusCode::kInternal);
  EXPECT_NE(why.message().find("a second replica died"), std::string::npos) << why.message();
  EXPECT_NE(why.message().find("replica 0: rank 1 died"), std::string::npos) << why.message();
  EXPECT_NE(why.message().find("replica " + std::to_string(second.replica.value) + ": rank 1 died"), std::string::npos);
  EXPECT_EQ(core.ledger().condemned, 1U);
}

TEST_F(GatewayCoreTest, PastTheFatalStepTheSuspicionIsOver) {
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

TEST_F(GatewayCoreTest, SuspectsGoToAReplicaOneByOne) {
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

TEST_F(GatewayCoreTest, ANoticeAfterTheCutLinkTakesTheSuspectFromItsNewNeighbours) {
  view({replica(0), replica(1)});
  ask(1);
  ask(2);
  cut(generation(0));
  ASSERT_EQ(runs().size(), 3U);
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
  ASSERT_EQ(runs().size(), 5U);
  EXPECT_EQ(runs()[4].submission.sequence, runs()[1].submission.sequence);
  lose(generation(1), LossCause::kDiedOfItself, std::vector{routing::AttemptInStep{runs()[3].submission.key()}});
  EXPECT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(stops().size(), 1U);
}

// Room.

TEST_F(GatewayCoreTest, SequencesBeyondAReplicasRoomWaitOldestFirst) {
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

TEST_F(GatewayCoreTest, ASurvivorIsNotFloodedWithOrphans) {
  view({replica(0, 1, ReplicaState::kServing, 32), replica(1, 1, ReplicaState::kDraining)});
  for (std::uint64_t id = 1; id <= 32; ++id) ask(id);
  ASSERT_EQ(runs().size(), 32U);
  view({replica(0, 1, ReplicaState::kServing, 32), replica(1, 1, ReplicaState::kServing, 32)});
  lose(generation(0), LossCause::kKilled);
  EXPECT_EQ(runs().size(), 48U) << "half of its places";
  EXPECT_EQ(runs()[32].submission.sequence, SequenceId(1)) << "oldest first";
  pass_until(seconds(5));
  EXPECT_EQ(runs().size(), 64U);
  std::set<SequenceId> again;
  for (std::size_t i = 32; i < 64; ++i) again.insert(runs()[i].submission.sequence);
  EXPECT_EQ(again.size(), 32U);
}

// Admission.

TEST_F(GatewayCoreTest, ParkedOnesCountAgainstTheWaitingBounds) {
  auto config = gateway_config();
  config.admission.queue_requests_max = 3;
  config.admission.running_sequences_max = 2;
  Gateway small(config);
  small.view({replica(0)});
  small.ask(1);
  small.ask(2);
  small.ask(3);
  EXPECT_EQ(small.core.admission().waiting, 1U);
  small.lose(generation(0), LossCause::kKilled);
  EXPECT_EQ(small.core.admission().waiting, 3U);
  small.ask(4);
  ASSERT_EQ(small.ends().size(), 1U);
  EXPECT_EQ(small.ends()[0].end.refusal->reason, Reason::kQueueRequests);
  EXPECT_FALSE(small.ends()[0].end.started);
  EXPECT_TRUE(small.core.refuses_now(admission::TenantId(1), small.now).has_value());
}

TEST_F(GatewayCoreTest, NewRequestsQueueWhileAReplicaCanComeBack) {
  for (const ReplicaState state : {ReplicaState::kMaking, ReplicaState::kLost}) {
    Gateway gateway;
    gateway.view({replica(0, 1, state)});
    gateway.ask(1);
    EXPECT_TRUE(gateway.starts().empty());
    EXPECT_TRUE(gateway.ends().empty());
    EXPECT_EQ(gateway.core.admission().waiting, 1U);
    gateway.view({replica(0, 2)});
    EXPECT_EQ(gateway.runs().size(), 1U);
  }
}

TEST_F(GatewayCoreTest, WithoutHopeRequestsAreRefusedAtOnce) {
  auto lost = replica(0, 1, ReplicaState::kLost);
  view({lost});
  ask(1);
  lost.returns = false;
  view({lost});
  ASSERT_EQ(ended(), (Ended{{1, End::kRefused}})) << "it waited for a replica that will not come";
  ask(2);
  ASSERT_EQ(ended().size(), 2U);
  for (const auto& end : ends()) {
    ASSERT_TRUE(end.end.refusal.has_value());
    EXPECT_EQ(end.end.refusal->reason, Reason::kNoReplica);
    EXPECT_FALSE(end.end.refusal->quota);
    EXPECT_GE(end.end.refusal->retry_after_s, 1);
  }
  EXPECT_EQ(core.refuses_now(admission::TenantId(1), now)->reason, Reason::kNoReplica);
  EXPECT_EQ(core.admission().refused_capacity, 2U);
  EXPECT_EQ(core.admission().waiting, 0U);
}

TEST_F(GatewayCoreTest, WithoutHopeAcceptedOnesEndWithTheReasonOfTheLastLoss) {
  view({replica(0)});
  ask(1, 2);
  auto lost = replica(0, 1, ReplicaState::kLost);
  lost.returns = false;
  lose(generation(0), LossCause::kKilled);
  EXPECT_TRUE(ends().empty());
  view({lost});
  ASSERT_EQ(ended(), (Ended{{1, End::kFailed}}));
  EXPECT_EQ(ends()[0].end.why.message(), "replica 0: rank 1 died; no replica is serving");
  EXPECT_TRUE(ends()[0].end.started);
}

TEST_F(GatewayCoreTest, OutputIsChargedToItsTenantAsItComes) {
  view({replica(0)});
  auto asked = request(1);
  core.set_tenant(asked.tenant, {.output_tokens_per_minute = 2});
  ask(asked);
  answer(0, token(0, 0));
  EXPECT_EQ(core.refuses_now(asked.tenant, now), std::nullopt);
  answer(0, token(0, 1));
  ASSERT_TRUE(core.refuses_now(asked.tenant, now).has_value());
  EXPECT_EQ(core.refuses_now(asked.tenant, now)->reason, Reason::kTokenRate);
}

TEST_F(GatewayCoreTest, AFullLedgerRefusesTheWholeRequest) {
  auto config = gateway_config();
  config.open_sequences_max = 3;
  Gateway small(config);
  small.view({replica(0)});
  small.ask(1, 2);
  small.ask(2, 2);
  ASSERT_EQ(small.ends().size(), 1U);
  EXPECT_EQ(small.ends()[0].request, RequestId(2));
  EXPECT_EQ(small.ends()[0].end.kind, End::kFailed);
  EXPECT_EQ(small.ends()[0].end.why.code(), StatusCode::kOverloaded);
  EXPECT_EQ(small.runs().size(), 2U);
}

}  // namespace
}  // namespace herd::gateway
