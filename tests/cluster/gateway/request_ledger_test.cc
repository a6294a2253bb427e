#include "cluster/gateway/request_ledger.h"

#include <gtest/gtest.h>

#include "tests/cluster/gateway/gateway_harness.h"

namespace herd::gateway {
namespace {

using routing::LossCause;
using step::FinishReason;
using step::Submission;
using step::TokenDelta;
using Unreachable = RequestLedger::Unreachable;
using Kind = RequestLedger::Verdict::Kind;

const Status kCut(StatusCode::kAborted, "the link was cut");

routing::ReplicaLoss loss(std::uint32_t replica, LossCause cause = LossCause::kKilled, std::uint64_t epoch = 1) {
  return {.replica = generation(replica, epoch),
          .cause = cause,
          .why = {StatusCode::kAborted, "rank 1 is gone"},
          .in_step = std::nullopt};
}

TokenDelta delta(std::uint32_t attempt = 0, FinishReason finish = FinishReason::kNone) {
  TokenDelta delta;
  delta.gateway = kGateway;
  delta.sequence = SequenceId(1);
  delta.attempt = attempt;
  delta.finish = finish;
  return delta;
}

TokenDelta token(std::uint32_t index, TokenId id, std::uint32_t attempt = 0, FinishReason finish = FinishReason::kNone) {
  TokenDelta made = delta(attempt, finish);
  made.has_token = true;
  made.token = {.sequence = made.sequence, .output_index = index, .token = id, .top = {}};
  return made;
}

TokenDelta from_replica(std::uint32_t replica, TokenDelta delta) {
  delta.replica = ReplicaId(replica);
  return delta;
}

// Sequence 1 on replica 0, attempt 0.
struct RequestLedgerRunning : testing::Test {
  RequestLedgerRunning() {
    EXPECT_EQ(ledger.accept(RequestId(7), 2, submission(), {}), SequenceId(1));
    EXPECT_EQ(route(0).attempt, 0U);
  }
  ~RequestLedgerRunning() override { ledger.check_integrity(); }
  Submission route(std::uint32_t on, std::uint64_t epoch = 1) {
    return ledger.on_routed(SequenceId(1), replica(on, epoch).route);
  }
  RequestLedger::Verdict take(const TokenDelta& delta, std::uint32_t from = 0) {
    return ledger.on_delta(generation(from), delta);
  }
  // Lost and routed again.
  Submission lose(std::uint32_t from, std::uint32_t to, LossCause cause = LossCause::kKilled) {
    EXPECT_EQ(ledger.on_replica_lost(loss(from, cause)).moved.size(), 1U);
    return route(to);
  }
  RequestLedger ledger{kGateway, 4};
};

TEST(RequestLedger, RefusesWhenFull) {
  RequestLedger ledger(kGateway, 2);
  EXPECT_EQ(ledger.accept(RequestId(1), 0, submission(), {}), SequenceId(1));
  EXPECT_EQ(ledger.accept(RequestId(1), 1, submission(), {}), SequenceId(2));
  const auto refused = ledger.accept(RequestId(1), 2, submission(), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), StatusCode::kOverloaded);
  EXPECT_EQ(ledger.stats().refused, 1U);
  ledger.close(SequenceId(1), RequestLedger::End::kAborted);
  EXPECT_EQ(ledger.accept(RequestId(1), 2, submission(), {}), SequenceId(3)) << "a number is used once";
  ledger.check_integrity();
}

TEST_F(RequestLedgerRunning, ADeltaNamesItsRequestAndTheReplicaOfItsAttempt) {
  const auto verdict = take(token(0, 20));
  EXPECT_EQ(verdict.kind, Kind::kDeliver);
  EXPECT_EQ(verdict.request, RequestId(7));
  EXPECT_EQ(verdict.choice, 2U);
  EXPECT_EQ(verdict.delta, token(0, 20));
  lose(0, 3);
  EXPECT_EQ(take(token(1, 21, 1), 3).delta, from_replica(3, token(1, 21, 1)));
}

TEST_F(RequestLedgerRunning, PassesTokensInOrderAndClosesWithTheLast) {
  EXPECT_EQ(take(token(0, 20)).kind, Kind::kDeliver);
  const TokenDelta last = token(1, 21, 0, FinishReason::kStop);
  const auto verdict = take(last);
  EXPECT_EQ(verdict.kind, Kind::kFinished);
  EXPECT_EQ(verdict.delta, last);
  EXPECT_EQ(ledger.find(SequenceId(1)), nullptr);
  EXPECT_EQ(take(last).kind, Kind::kDropped);
  EXPECT_EQ(ledger.stats().stale_deltas, 1U);
  EXPECT_EQ(ledger.stats().finished, 1U);
  EXPECT_EQ(ledger.stats().tokens_delivered, 2U);
}

TEST_F(RequestLedgerRunning, DropsATokenThatWasDelivered) {
  EXPECT_EQ(take(token(0, 20)).kind, Kind::kDeliver);
  EXPECT_EQ(take(token(0, 20)).kind, Kind::kDropped);
  EXPECT_EQ(take(delta()).kind, Kind::kDropped) << "a delta that says nothing";
  EXPECT_EQ(ledger.stats().duplicate_deltas, 1U);
}

TEST_F(RequestLedgerRunning, AGapFailsTheSequenceInsteadOfHidingIt) {
  const auto verdict = take(token(1, 21));
  EXPECT_EQ(verdict.kind, Kind::kFailed);
  EXPECT_EQ(verdict.why.code(), StatusCode::kInternal);
  EXPECT_TRUE(verdict.runs_on) << "its replica is to be told";
  EXPECT_EQ(ledger.stats().tokens_delivered, 0U);
}

TEST_F(RequestLedgerRunning, ReplaysPromptAndDeliveredTokensAfterALoss) {
  (void)take(token(0, 20));
  (void)take(token(1, 21));
  const Submission retry = lose(0, 1);
  EXPECT_EQ(retry.attempt, 1U);
  EXPECT_EQ(retry.tokens, (std::vector<TokenId>{10, 11, 12, 20, 21}));
  EXPECT_EQ(retry.prompt_tokens, 3U);
  EXPECT_EQ(retry.max_tokens, 8U);
  EXPECT_EQ(take(token(2, 22, 1), 1).kind, Kind::kDeliver);
  EXPECT_EQ(ledger.stats().replayed, 1U);
}

TEST_F(RequestLedgerRunning, DropsALateDeltaOfAnOlderAttempt) {
  (void)ledger.on_replica_lost(loss(0));
  EXPECT_EQ(take(token(0, 20)).kind, Kind::kDropped) << "not routed again yet";
  (void)route(1);
  EXPECT_EQ(take(token(0, 20)).kind, Kind::kDropped);
  EXPECT_EQ(take(token(0, 20, 0, FinishReason::kStop), 1).kind, Kind::kDropped);
  EXPECT_EQ(take(token(0, 20, 1), 0).kind, Kind::kDropped) << "from another replica";
  EXPECT_EQ(ledger.stats().stale_deltas, 4U);
  EXPECT_EQ(take(token(0, 20, 1), 1).kind, Kind::kDeliver);
}

TEST_F(RequestLedgerRunning, ARepeatedLossIsNoSecondLoss) {
  EXPECT_EQ(ledger.on_replica_lost(loss(0)).moved.size(), 1U);
  EXPECT_TRUE(ledger.on_replica_lost(loss(0)).moved.empty());
  (void)route(0, 2);
  EXPECT_TRUE(ledger.on_replica_lost(loss(0)).moved.empty()) << "it runs on a later generation";
  EXPECT_EQ(ledger.stats().losses, 1U);
}

TEST_F(RequestLedgerRunning, ALaterGenerationTakesTheOlderOneAlong) {
  const auto orphans = ledger.on_replica_lost(loss(0, LossCause::kDiedOfItself, 2));
  ASSERT_EQ(orphans.moved.size(), 1U);
  EXPECT_EQ(orphans.moved[0].from, replica(0).route);
  EXPECT_EQ(ledger.stats().suspected_kills, 0U) << "it did not run in that generation";
}

TEST_F(RequestLedgerRunning, ACutLinkMovesOnlyWhatRanOverIt) {
  EXPECT_TRUE(ledger.on_unreachable(generation(0, 2), Unreachable::kLinkCut, kCut).moved.empty());
  EXPECT_TRUE(ledger.on_unreachable(generation(1), Unreachable::kLinkCut, kCut).moved.empty());
  EXPECT_EQ(ledger.on_unreachable(generation(0), Unreachable::kLinkCut, kCut).moved.size(), 1U);
  EXPECT_EQ(route(0).attempt, 1U) << "the same generation may take it";
  EXPECT_EQ(ledger.stats().moves, 1U);
}

// What a replica's last word means for the sequence.
TEST_F(RequestLedgerRunning, TerminalDeltasByKind) {
  struct Case {
    FinishReason finish;
    StatusCode code;
    bool after_a_token;
    Kind kind;
    StatusCode why;
    bool blames_caller = false;
  };
  for (const Case& c : {Case{FinishReason::kStop, StatusCode::kOk, false, Kind::kFinished, StatusCode::kOk},
                        Case{FinishReason::kLength, StatusCode::kOk, true, Kind::kFinished, StatusCode::kOk},
                        Case{FinishReason::kRefused, StatusCode::kOverloaded, false, Kind::kMoved, StatusCode::kOk},
                        Case{FinishReason::kRefused, StatusCode::kOverloaded, true, Kind::kMoved, StatusCode::kOk},
                        Case{FinishReason::kRefused, StatusCode::kAborted, false, Kind::kMoved, StatusCode::kOk},
                        Case{FinishReason::kRefused, StatusCode::kBadInput, false, Kind::kFailed, StatusCode::kBadInput, true},
                        Case{FinishReason::kRefused, StatusCode::kBadInput, true, Kind::kFailed, StatusCode::kBadInput},
                        Case{FinishReason::kFailed, StatusCode::kBadInput, false, Kind::kFailed, StatusCode::kBadInput},
                        Case{FinishReason::kFailed, StatusCode::kMissing, true, Kind::kFailed, StatusCode::kMissing},
                        Case{FinishReason::kAborted, StatusCode::kOk, true, Kind::kFailed, StatusCode::kAborted}}) {
    RequestLedger fresh(kGateway, 1);
    ASSERT_TRUE(fresh.accept(RequestId(1), 0, submission(), {}).has_value());
    (void)fresh.on_routed(SequenceId(1), replica(0).route);
    if (c.after_a_token) (void)fresh.on_delta(generation(0), token(0, 20));
    TokenDelta last = delta(0, c.finish);
    if (c.code != StatusCode::kOk) last.error = {c.code, "because"};
    const auto verdict = fresh.on_delta(generation(0), last);
    const auto name = std::string(step::finish_reason_name(c.finish)) + " " + std::to_string(static_cast<int>(c.code));
    EXPECT_EQ(verdict.kind, c.kind) << name;
    EXPECT_EQ(verdict.why.code(), c.why) << name;
    EXPECT_EQ(verdict.blames_caller, c.blames_caller) << name;
    EXPECT_FALSE(verdict.runs_on) << name;
    EXPECT_EQ(fresh.stats().moves, c.kind == Kind::kMoved ? 1U : 0U) << name;
    if (c.kind == Kind::kMoved) {
      EXPECT_EQ(fresh.on_routed(SequenceId(1), replica(0).route).attempt, 1U) << name;
    }
    fresh.check_integrity();
  }
}

TEST_F(RequestLedgerRunning, ASuspectRunsAlonePastTheFatalStepAndIsThenOneOfMany) {
  (void)take(token(0, 20));
  EXPECT_EQ(lose(0, 1, LossCause::kDiedOfItself).alone_until, 2U);
  EXPECT_EQ(lose(1, 2, LossCause::kKilled).alone_until, 2U);
  EXPECT_EQ(lose(2, 3, LossCause::kOverdue).alone_until, 2U);
  EXPECT_FALSE(take(token(1, 21, 3), 3).cleared);
  EXPECT_TRUE(take(token(2, 22, 3), 3).cleared);
  EXPECT_EQ(lose(3, 4).alone_until, 0U);
  EXPECT_EQ(ledger.stats().losses, 3U);
  EXPECT_EQ(ledger.stats().suspected_kills, 1U);
}

// Tokens that are still on their way, or went down with the replica, count: the suspect must get past all of them again.
TEST_F(RequestLedgerRunning, ASuspectRunsAlonePastTheLastStepAlsoWhenItsTokensNeverCame) {
  auto death = loss(0, LossCause::kDiedOfItself);
  death.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 0}, 5}};
  EXPECT_EQ(ledger.on_replica_lost(death).moved.size(), 1U);
  EXPECT_EQ(ledger.find(SequenceId(1))->submission.alone_until, 5U);
}

// Its replica had the tokens that ended the suspicion, the gateway had not: others were in that step too.
TEST_F(RequestLedgerRunning, ADeathPastTheStepsThatASuspectRanAloneIsAFirstOne) {
  auto death = loss(0, LossCause::kDiedOfItself);
  death.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 0}, 5}};
  (void)ledger.on_replica_lost(death);
  (void)route(1, 1);
  death.replica = generation(1);
  death.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 1}, 7}};
  const auto orphans = ledger.on_replica_lost(death);
  EXPECT_TRUE(orphans.condemned.empty());
  ASSERT_EQ(orphans.moved.size(), 1U);
  EXPECT_EQ(ledger.find(SequenceId(1))->submission.alone_until, 7U);
}

// Two deaths, told in the wrong order: in the one told last the sequence was no suspect yet, and ran among others.
TEST_F(RequestLedgerRunning, ANoticeThatComesAfterALaterOneCondemnsNobody) {
  (void)ledger.on_unreachable(generation(0), RequestLedger::Unreachable::kBuried, {StatusCode::kAborted, "gone"});
  (void)route(1, 1);
  auto later = loss(1, LossCause::kDiedOfItself);
  later.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 1}, 1}};
  EXPECT_EQ(ledger.on_replica_lost(later).moved.size(), 1U);
  auto earlier = loss(0, LossCause::kDiedOfItself);
  earlier.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 0}, 1}};
  const auto orphans = ledger.on_replica_lost(earlier);
  EXPECT_TRUE(orphans.condemned.empty());
  EXPECT_TRUE(ledger.find(SequenceId(1))->suspect());
}

TEST_F(RequestLedgerRunning, TheSecondDeathOfASuspectCondemnsIt) {
  (void)lose(0, 1, LossCause::kDiedOfItself);
  auto second = loss(1, LossCause::kDiedOfItself);
  second.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 0}}};
  const auto innocent = ledger.on_replica_lost(second);
  ASSERT_EQ(innocent.moved.size(), 1U) << "another attempt was in that step";
  EXPECT_TRUE(innocent.moved[0].was_suspect);
  (void)route(1, 2);
  second.replica = generation(1, 2);
  second.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(1), 2}}};
  second.why = {StatusCode::kAborted, "replica 1: rank 0 died"};
  const auto guilty = ledger.on_replica_lost(second);
  EXPECT_TRUE(guilty.moved.empty());
  ASSERT_EQ(guilty.condemned.size(), 1U);
  EXPECT_EQ(guilty.condemned[0].why.message(),
            "this request is given up: a second replica died while it computed it. First: rank 1 is gone. Now: replica 1: "
            "rank 0 died");
  EXPECT_EQ(ledger.stats().suspected_kills, 2U);
  EXPECT_EQ(ledger.stats().condemned, 1U);
  ledger.close(SequenceId(1), RequestLedger::End::kFailed);
}

// The socket of a dead replica closes before anybody says why it died.
TEST_F(RequestLedgerRunning, ANoticeAfterTheCutLinkMakesASuspectStill) {
  for (const bool routed_again : {false, true}) {
    RequestLedger fresh(kGateway, 1);
    ASSERT_TRUE(fresh.accept(RequestId(1), 0, submission(), {}).has_value());
    (void)fresh.on_routed(SequenceId(1), replica(0).route);
    (void)fresh.on_delta(generation(0), token(0, 20));
    (void)fresh.on_unreachable(generation(0), Unreachable::kLinkCut, kCut);
    if (routed_again) (void)fresh.on_routed(SequenceId(1), replica(1).route);
    const auto orphans = fresh.on_replica_lost(loss(0, LossCause::kDiedOfItself));
    ASSERT_EQ(orphans.moved.size(), routed_again ? 1U : 0U) << "it must not take its new neighbours along";
    if (routed_again) {
      EXPECT_TRUE(orphans.moved[0].runs_on);
      EXPECT_EQ(orphans.moved[0].from, replica(1).route);
      EXPECT_EQ(orphans.moved[0].attempt.attempt, 1U);
    }
    EXPECT_TRUE(fresh.on_replica_lost(loss(0, LossCause::kDiedOfItself)).moved.empty());
    EXPECT_EQ(fresh.on_routed(SequenceId(1), replica(1).route).alone_until, 2U);
    (void)fresh.on_unreachable(generation(1), Unreachable::kBuried, kCut);
    EXPECT_EQ(fresh.on_replica_lost(loss(1, LossCause::kDiedOfItself)).condemned.size(), 1U);
    EXPECT_EQ(fresh.stats().suspected_kills, 2U);
    fresh.check_integrity();
  }
}

TEST_F(RequestLedgerRunning, OneDeathIsNotHeldAgainstItTwice) {
  (void)ledger.on_unreachable(generation(0), Unreachable::kLinkCut, kCut);
  (void)route(0);
  EXPECT_EQ(ledger.on_replica_lost(loss(0, LossCause::kDiedOfItself)).moved.size(), 1U);
  EXPECT_TRUE(ledger.on_replica_lost(loss(0, LossCause::kDiedOfItself)).condemned.empty());
  EXPECT_EQ(ledger.stats().suspected_kills, 1U);
}

TEST_F(RequestLedgerRunning, ANoticeAfterTheCutLinkIsVoidPastTheStepOrForAnotherCause) {
  (void)ledger.on_unreachable(generation(0), Unreachable::kLinkCut, kCut);
  (void)route(1);
  EXPECT_TRUE(ledger.on_replica_lost(loss(0, LossCause::kKilled)).moved.empty());
  auto others = loss(0, LossCause::kDiedOfItself);
  others.in_step = std::vector<routing::AttemptInStep>{{{kGateway, SequenceId(2), 0}}};
  EXPECT_TRUE(ledger.on_replica_lost(others).moved.empty()) << "it was in no step";
  (void)take(token(0, 20, 1), 1);
  (void)take(token(1, 21, 1), 1);
  EXPECT_TRUE(ledger.on_replica_lost(loss(0, LossCause::kDiedOfItself)).moved.empty()) << "it got past that step";
  EXPECT_EQ(ledger.stats().suspected_kills, 0U);
}

// Rows of logits at positions 0..2 went out; the new replica computes 0..4 again in one chunk.
//   values [layers 2, rows, width 1]: row r of layer l is 10 l + r
TEST_F(RequestLedgerRunning, PassesRowsOfEachPositionOnce) {
  const auto rows = [](std::uint32_t position, std::uint32_t count, std::uint32_t attempt) {
    TokenDelta made = delta(attempt);
    step::OutputRows out{
        .sequence = SequenceId(1), .position = position, .rows = count, .layers = 2, .width = 1, .values = {}};
    for (std::uint32_t layer = 0; layer < 2; ++layer)
      for (std::uint32_t row = position; row < position + count; ++row)
        out.values.push_back(static_cast<float>(10 * layer + row));
    made.outputs = {out};
    return made;
  };
  EXPECT_EQ(take(rows(0, 3, 0)).delta, rows(0, 3, 0));
  lose(0, 1);
  EXPECT_EQ(take(rows(0, 2, 1), 1).kind, Kind::kDropped);
  EXPECT_EQ(take(rows(2, 3, 1), 1).delta, from_replica(1, rows(3, 2, 1)));
}

// Tokens 1..2 of the prompt went out; the new replica says 1..3 again. With a token delivered nothing is asked twice.
TEST_F(RequestLedgerRunning, PassesPromptLogprobsOfEachTokenOnce) {
  RequestLedger scorer(kGateway, 1);
  Submission scoring = submission();
  scoring.tokens = {10, 11, 12, 13};
  scoring.prompt_tokens = 4;
  scoring.output = step::OutputSelector::kPromptLogprobs;
  ASSERT_TRUE(scorer.accept(RequestId(1), 0, scoring, {}).has_value());
  (void)scorer.on_routed(SequenceId(1), replica(0).route);
  const auto run = [](std::uint32_t position, std::uint32_t count, std::uint32_t attempt) {
    TokenDelta made = delta(attempt);
    step::PromptLogprobs tokens{SequenceId(1), position, {}};
    for (std::uint32_t i = position; i < position + count; ++i)
      tokens.tokens.push_back({static_cast<TokenId>(10 + i), -static_cast<float>(i), {{1, -0.5F}}});
    made.prompt_logprobs = {tokens};
    return made;
  };
  EXPECT_EQ(scorer.on_delta(generation(0), run(1, 2, 0)).delta, run(1, 2, 0));
  (void)scorer.on_replica_lost(loss(0));
  EXPECT_EQ(scorer.on_routed(SequenceId(1), replica(1).route).output, step::OutputSelector::kPromptLogprobs)
      << "token 3 is owed";
  EXPECT_EQ(scorer.on_delta(generation(1), run(1, 2, 1)).kind, Kind::kDropped);
  EXPECT_EQ(scorer.on_delta(generation(1), run(1, 3, 1)).delta, from_replica(1, run(3, 1, 1)));
  EXPECT_EQ(scorer.on_delta(generation(1), token(0, 50, 1)).kind, Kind::kDeliver);
  (void)scorer.on_replica_lost(loss(1));
  EXPECT_EQ(scorer.on_routed(SequenceId(1), replica(2).route).output, step::OutputSelector::kNone);
}

// A rank that died of itself and left word what it was working on.
routing::ReplicaLoss named(std::uint32_t replica, std::uint32_t attempt, std::uint64_t sequence = 1) {
  auto told = loss(replica, LossCause::kDiedOfItself);
  told.at_work = {{kGateway, SequenceId(sequence), attempt}};
  told.blamed = {1};
  return told;
}

TEST_F(RequestLedgerRunning, OnlyTheOneThatARankNamesIsASuspect) {
  EXPECT_EQ(ledger.on_replica_lost(named(0, 0, 2)).moved.size(), 1U);
  EXPECT_FALSE(ledger.find(SequenceId(1))->suspect()) << "another was named";
  (void)route(1);
  EXPECT_EQ(ledger.on_replica_lost(named(1, 1)).moved.size(), 1U);
  EXPECT_TRUE(ledger.find(SequenceId(1))->suspect());
  EXPECT_EQ(ledger.stats().suspected_kills, 1U);
}

TEST_F(RequestLedgerRunning, NamedTwiceItIsCondemnedWhereverItRan) {
  (void)take(token(0, 100));
  // The link is seen to be cut first, so that it goes on among others; then it is named, and named again there.
  EXPECT_EQ(ledger.on_unreachable(generation(0), Unreachable::kLinkCut, kCut).moved.size(), 1U);
  (void)route(1);
  EXPECT_EQ(ledger.on_replica_lost(named(0, 0)).moved.size(), 1U);
  (void)route(2);
  for (std::uint32_t index = 1; index < 2; ++index) (void)take(token(index, 100, 2), 2);
  ASSERT_TRUE(ledger.find(SequenceId(1))->suspect());
  auto later = named(2, 2);
  later.in_step = {{{kGateway, SequenceId(1), 2}, 9}};  // far beyond the step that it was to run alone to
  EXPECT_EQ(ledger.on_replica_lost(later).condemned.size(), 1U);
}

TEST_F(RequestLedgerRunning, TwoRanksThatNameItWereTwoDeaths) {
  auto both = named(0, 0);
  both.blamed = {0, 1};
  const auto orphans = ledger.on_replica_lost(both);
  ASSERT_EQ(orphans.condemned.size(), 1U);
  EXPECT_NE(orphans.condemned[0].why.message().find("two ranks died"), std::string::npos) << orphans.condemned[0].why.message();
}

}  // namespace
}  // namespace herd::gateway
