#include "cluster/gateway/request_ledger.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace herd::gateway {
namespace {

using step::FinishReason;
using step::Submission;
using step::TokenDelta;

constexpr routing::ReplicaGeneration generation(std::uint32_t replica, std::uint64_t epoch = 1) {
  return {ReplicaId(replica), Epoch(epoch)};
}
const Status kLost(StatusCode::kAborted, "rank 1 is gone");

Submission submission(std::uint64_t sequence) {
  Submission submission;
  submission.sequence = SequenceId(sequence);
  submission.tokens = {10, 11, 12};
  submission.prompt_tokens = 3;
  submission.max_tokens = 8;
  return submission;
}

TokenDelta token(std::uint64_t sequence, std::uint32_t index, TokenId id, std::uint32_t attempt = 0,
                 FinishReason finish = FinishReason::kNone) {
  TokenDelta delta;
  delta.sequence = SequenceId(sequence);
  delta.attempt = attempt;
  delta.has_token = true;
  delta.token = {.sequence = delta.sequence, .output_index = index, .token = id, .top = {}};
  delta.finish = finish;
  return delta;
}

TokenDelta from_replica(std::uint32_t replica, TokenDelta delta) {
  delta.replica = ReplicaId(replica);
  return delta;
}

// Sequence 1 on replica 0, attempt 0.
struct Running : testing::Test {
  Running() {
    EXPECT_TRUE(ledger.accept(submission(1)).ok());
    EXPECT_TRUE(ledger.on_routed(SequenceId(1), generation(0)).has_value());
  }
  ~Running() override { ledger.check_integrity(); }
  RequestLedger ledger{RequestLedgerConfig{.open_sequences_max = 4, .attempts_max = 3}};
};
using RequestLedgerRunning = Running;

TEST_F(RequestLedgerRunning, ADeltaNamesTheReplicaOfItsAttempt) {
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20))->replica, ReplicaId(0));
  ASSERT_EQ(ledger.on_replica_lost(generation(0), kLost).to_route.size(), 1U);
  ASSERT_TRUE(ledger.on_routed(SequenceId(1), generation(3)).has_value());
  EXPECT_EQ(ledger.on_delta(token(1, 1, 21, 1))->replica, ReplicaId(3));
  EXPECT_EQ(ledger.on_delta(token(1, 2, 22, 1, FinishReason::kStop))->replica, ReplicaId(3));
}

TEST(RequestLedger, RefusesWhenFull) {
  RequestLedger ledger({.open_sequences_max = 2});
  EXPECT_TRUE(ledger.accept(submission(1)).ok());
  EXPECT_TRUE(ledger.accept(submission(2)).ok());
  EXPECT_EQ(ledger.accept(submission(3)).code(), StatusCode::kOverloaded);
  EXPECT_EQ(ledger.stats().refused, 1U);
  ledger.check_integrity();
}

TEST(RequestLedger, RefusesAnIdThatIsOpen) {
  RequestLedger ledger({});
  EXPECT_TRUE(ledger.accept(submission(1)).ok());
  EXPECT_EQ(ledger.accept(submission(1)).code(), StatusCode::kBadInput);
}

TEST(RequestLedger, RoutesAnAcceptedSequenceOnce) {
  RequestLedger ledger({});
  EXPECT_TRUE(ledger.accept(submission(1)).ok());
  EXPECT_TRUE(ledger.needs_route(SequenceId(1)));
  EXPECT_EQ(ledger.on_routed(SequenceId(1), generation(0)), submission(1));
  EXPECT_FALSE(ledger.needs_route(SequenceId(1)));
  EXPECT_EQ(ledger.on_routed(SequenceId(1), generation(1)), std::nullopt);
}

TEST(RequestLedger, WithoutAnyReplicaFailsTheSequence) {
  RequestLedger ledger({});
  EXPECT_TRUE(ledger.accept(submission(1)).ok());
  const auto terminal = ledger.on_unroutable(SequenceId(1), kLost);
  ASSERT_TRUE(terminal.has_value());
  EXPECT_EQ(terminal->finish, FinishReason::kFailed);
  EXPECT_EQ(terminal->error, kLost);
  EXPECT_EQ(ledger.on_unroutable(SequenceId(1), kLost), std::nullopt);
}

TEST_F(RequestLedgerRunning, PassesTokensInOrderAndClosesWithTheLast) {
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20)), token(1, 0, 20));
  const TokenDelta last = token(1, 1, 21, 0, FinishReason::kStop);
  EXPECT_EQ(ledger.on_delta(last), last);
  EXPECT_TRUE(ledger.open_sequences().empty());
  EXPECT_EQ(ledger.on_delta(last), std::nullopt);
  EXPECT_EQ(ledger.stats().stale_deltas, 1U);
  EXPECT_EQ(ledger.stats().finished, 1U);
  EXPECT_EQ(ledger.stats().tokens_delivered, 2U);
}

TEST_F(RequestLedgerRunning, DropsATokenThatWasDelivered) {
  EXPECT_TRUE(ledger.on_delta(token(1, 0, 20)).has_value());
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20)), std::nullopt);
  EXPECT_EQ(ledger.stats().duplicate_deltas, 1U);
}

TEST_F(RequestLedgerRunning, EndsASequenceWithAGapInsteadOfHidingIt) {
  const auto terminal = ledger.on_delta(token(1, 1, 21));
  ASSERT_TRUE(terminal.has_value());
  EXPECT_EQ(terminal->finish, FinishReason::kFailed);
  EXPECT_FALSE(terminal->has_token);
}

TEST_F(RequestLedgerRunning, ReplaysPromptAndDeliveredTokensAfterALoss) {
  EXPECT_TRUE(ledger.on_delta(token(1, 0, 20)).has_value());
  EXPECT_TRUE(ledger.on_delta(token(1, 1, 21)).has_value());
  const auto orphans = ledger.on_replica_lost(generation(0), kLost);
  EXPECT_EQ(orphans.to_route, std::vector{SequenceId(1)});
  EXPECT_TRUE(orphans.terminal.empty());
  EXPECT_EQ(ledger.failed_generations(SequenceId(1)), std::vector{generation(0)});

  const auto retry = ledger.on_routed(SequenceId(1), generation(1));
  ASSERT_TRUE(retry.has_value());
  EXPECT_EQ(retry->attempt, 1U);
  EXPECT_EQ(retry->tokens, (std::vector<TokenId>{10, 11, 12, 20, 21}));
  EXPECT_EQ(retry->prompt_tokens, 3U);
  EXPECT_EQ(retry->max_tokens, 8U);
  EXPECT_TRUE(ledger.on_delta(token(1, 2, 22, 1)).has_value());
  EXPECT_EQ(ledger.stats().replayed, 1U);
}

TEST_F(RequestLedgerRunning, DropsALateDeltaOfAnOlderAttempt) {
  (void)ledger.on_replica_lost(generation(0), kLost);
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20)), std::nullopt);  // not routed again yet
  EXPECT_TRUE(ledger.on_routed(SequenceId(1), generation(1)).has_value());
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20)), std::nullopt);
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20, 0, FinishReason::kStop)), std::nullopt);
  EXPECT_EQ(ledger.stats().stale_deltas, 3U);
  EXPECT_TRUE(ledger.on_delta(token(1, 0, 20, 1)).has_value());
}

TEST_F(RequestLedgerRunning, FailsWhenItsAttemptsAreSpent) {
  EXPECT_EQ(ledger.on_replica_lost(generation(0), kLost).to_route.size(), 1U);
  EXPECT_TRUE(ledger.on_routed(SequenceId(1), generation(1)).has_value());
  EXPECT_EQ(ledger.on_replica_lost(generation(1), kLost).to_route.size(), 1U);
  EXPECT_TRUE(ledger.on_routed(SequenceId(1), generation(2)).has_value());
  const auto orphans = ledger.on_replica_lost(generation(2), kLost);
  EXPECT_TRUE(orphans.to_route.empty());
  ASSERT_EQ(orphans.terminal.size(), 1U);
  EXPECT_EQ(orphans.terminal[0].finish, FinishReason::kFailed);
  EXPECT_EQ(orphans.terminal[0].error, kLost);
}

TEST_F(RequestLedgerRunning, ARepeatedLossIsNoSecondLoss) {
  EXPECT_EQ(ledger.on_replica_lost(generation(0), kLost).to_route.size(), 1U);
  EXPECT_TRUE(ledger.on_replica_lost(generation(0), kLost).to_route.empty());
}

// The route was picked before its replica died, and arrives after the gateway heard of that.
TEST_F(RequestLedgerRunning, DoesNotTakeARouteToALostGeneration) {
  EXPECT_TRUE(ledger.accept(submission(2)).ok());
  (void)ledger.on_replica_lost(generation(0), kLost);
  EXPECT_EQ(ledger.on_routed(SequenceId(2), generation(0)), std::nullopt);
  EXPECT_TRUE(ledger.needs_route(SequenceId(2)));
  EXPECT_EQ(ledger.failed_generations(SequenceId(2)), std::vector{generation(0)});
  EXPECT_TRUE(ledger.on_routed(SequenceId(2), generation(0, 2)).has_value());
}

TEST_F(RequestLedgerRunning, AbortEndsTheSequenceAndNamesItsReplica) {
  const auto aborted = ledger.on_abort(SequenceId(1), {});
  ASSERT_TRUE(aborted.has_value());
  EXPECT_EQ(aborted->terminal.finish, FinishReason::kAborted);
  EXPECT_EQ(aborted->running_on, generation(0));
  EXPECT_EQ(ledger.on_abort(SequenceId(1), {}), std::nullopt);
  EXPECT_EQ(ledger.on_delta(token(1, 0, 20)), std::nullopt);
}

TEST_F(RequestLedgerRunning, ARetryThatIsRefusedHasFailed) {
  (void)ledger.on_replica_lost(generation(0), kLost);
  EXPECT_TRUE(ledger.on_routed(SequenceId(1), generation(1)).has_value());
  TokenDelta refused;
  refused.sequence = SequenceId(1);
  refused.attempt = 1;
  refused.finish = FinishReason::kRefused;
  EXPECT_EQ(ledger.on_delta(refused)->finish, FinishReason::kFailed);
}

// Rows of logits at positions 0..2 went out; the new replica computes 0..4 again in one chunk.
//   values [layers 2, rows, width 1]: row r of layer l is 10 l + r
TEST_F(RequestLedgerRunning, PassesRowsOfEachPositionOnce) {
  const auto rows = [](std::uint32_t position, std::uint32_t count, std::uint32_t attempt) {
    TokenDelta delta;
    delta.sequence = SequenceId(1);
    delta.attempt = attempt;
    step::OutputRows out{
        .sequence = SequenceId(1), .position = position, .rows = count, .layers = 2, .width = 1, .values = {}};
    for (std::uint32_t layer = 0; layer < 2; ++layer)
      for (std::uint32_t row = position; row < position + count; ++row)
        out.values.push_back(static_cast<float>(10 * layer + row));
    delta.outputs = {out};
    return delta;
  };
  EXPECT_EQ(ledger.on_delta(rows(0, 3, 0)), rows(0, 3, 0));
  (void)ledger.on_replica_lost(generation(0), kLost);
  EXPECT_TRUE(ledger.on_routed(SequenceId(1), generation(1)).has_value());
  EXPECT_EQ(ledger.on_delta(rows(0, 2, 1)), std::nullopt);
  EXPECT_EQ(ledger.on_delta(rows(2, 3, 1)), from_replica(1, rows(3, 2, 1)));
}

// Tokens 1..2 of the prompt went out; the new replica says 1..3 again. With a token delivered nothing is asked twice.
TEST_F(RequestLedgerRunning, PassesPromptLogprobsOfEachTokenOnce) {
  Submission scoring = submission(2);
  scoring.tokens = {10, 11, 12, 13};
  scoring.prompt_tokens = 4;
  scoring.output = step::OutputSelector::kPromptLogprobs;
  ASSERT_TRUE(ledger.accept(scoring).ok());
  EXPECT_TRUE(ledger.on_routed(SequenceId(2), generation(0)).has_value());
  const auto run = [](std::uint32_t position, std::uint32_t count, std::uint32_t attempt) {
    TokenDelta delta;
    delta.sequence = SequenceId(2);
    delta.attempt = attempt;
    step::PromptLogprobs tokens{SequenceId(2), position, {}};
    for (std::uint32_t i = position; i < position + count; ++i)
      tokens.tokens.push_back({static_cast<TokenId>(10 + i), -static_cast<float>(i), {{1, -0.5F}}});
    delta.prompt_logprobs = {tokens};
    return delta;
  };
  EXPECT_EQ(ledger.on_delta(run(1, 2, 0)), run(1, 2, 0));
  (void)ledger.on_replica_lost(generation(0), kLost);
  auto retry = ledger.on_routed(SequenceId(2), generation(1));
  ASSERT_TRUE(retry.has_value());
  EXPECT_EQ(retry->output, step::OutputSelector::kPromptLogprobs) << "token 3 is owed";
  EXPECT_EQ(ledger.on_delta(run(1, 2, 1)), std::nullopt);
  EXPECT_EQ(ledger.on_delta(run(1, 3, 1)), from_replica(1, run(3, 1, 1)));
  EXPECT_TRUE(ledger.on_delta(token(2, 0, 50, 1)).has_value());
  (void)ledger.on_replica_lost(generation(1), kLost);
  retry = ledger.on_routed(SequenceId(2), generation(2));
  ASSERT_TRUE(retry.has_value());
  EXPECT_EQ(retry->output, step::OutputSelector::kNone);
}

// Random events against what a client may see: indexes without gap, one terminal event, nothing after it.
TEST(RequestLedger, KeepsItsPromiseUnderRandomEvents) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    RequestLedger ledger({.open_sequences_max = 6, .attempts_max = 3});
    std::map<SequenceId, std::uint32_t> delivered;  // of every accepted sequence
    std::set<SequenceId> ended;
    const auto see = [&](const TokenDelta& delta) {
      ASSERT_FALSE(ended.contains(delta.sequence)) << "seed " << seed;
      if (delta.has_token) {
        ASSERT_EQ(delta.token.output_index, delivered[delta.sequence]++) << "seed " << seed;
      }
      if (delta.finish != FinishReason::kNone) ended.insert(delta.sequence);
    };
    for (int event = 0; event < 400; ++event) {
      const std::uint64_t sequence = 1 + random() % 12;
      const auto replica = generation(static_cast<std::uint32_t>(random() % 3), 1 + random() % 4);
      switch (random() % 8) {
        case 0:
          if (!ended.contains(SequenceId(sequence)) && ledger.accept(submission(sequence)).ok())
            delivered[SequenceId(sequence)] = 0;
          break;
        case 1:
        case 2:
          (void)ledger.on_routed(SequenceId(sequence), replica);
          break;
        case 3:
          if (random() % 4 == 0) {
            for (const auto& terminal : ledger.on_replica_lost(replica, kLost).terminal) see(terminal);
          }
          break;
        case 4:
          if (random() % 8 == 0) {
            if (const auto aborted = ledger.on_abort(SequenceId(sequence), {})) see(aborted->terminal);
          }
          break;
        default: {
          const auto next = delivered[SequenceId(sequence)];
          const auto index = random() % 10 == 0 ? static_cast<std::uint32_t>(random() % 5) : next;
          const auto finish = random() % 20 == 0 ? FinishReason::kStop : FinishReason::kNone;
          if (const auto delta =
                  ledger.on_delta(token(sequence, index, 1, static_cast<std::uint32_t>(random() % 3), finish)))
            see(*delta);
        }
      }
      ledger.check_integrity();
    }
    for (const SequenceId sequence : ledger.open_sequences()) see(ledger.on_abort(sequence, {})->terminal);
    const auto stats = ledger.stats();
    EXPECT_EQ(stats.open, 0U);
    EXPECT_EQ(ended.size(), stats.accepted) << "seed " << seed;
  }
}

}  // namespace
}  // namespace herd::gateway
