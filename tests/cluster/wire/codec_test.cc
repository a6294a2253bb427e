// What each message refuses. Properties of all of them: every_message_test.cc.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/rank_codec.h"
#include "cluster/wire/step_codec.h"
#include "runtime/step/plan_size.h"
#include "tests/cluster/wire/random_values.h"

namespace herd::wire {
namespace {

using step::StepPlan;
using step::StepResult;
using step::Submission;
using step::TokenDelta;

TEST(SegmentTable, OfSeventeenSegmentsIsRefused) {
  Words words(32, 0);
  words[0] = 16;
  EXPECT_FALSE(decode_abort(words).has_value());
}

TEST(SegmentTable, ThatClaimsMoreThanThereIsIsRefused) {
  Words words = encode(step::AttemptKey{}).words;
  words[0] += std::uint64_t{1} << 32;
  EXPECT_FALSE(decode_abort(words).has_value());
}

// decode refuses what validate refuses, because encode does not look.
TEST(StepPlanCodec, RefusesWhatARankCouldNotDo) {
  const auto refused = [](auto spoil) {
    StepPlan plan;
    plan.step = StepId(1);
    plan.slices = {{.sequence = SequenceId(1), .position = 0, .rows = 1, .new_blocks = {}}};
    plan.started = {{.sequence = SequenceId(1), .tokens = {5}, .prompt_tokens = 1, .sampling = {}, .stop_ids = {}, .prefix_blocks = {}}};
    EXPECT_TRUE(decode_step_plan(encode(plan).words).has_value());
    spoil(plan);
    return !decode_step_plan(encode(plan).words).has_value();
  };
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.step = StepId(0); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.slices[0].rows = 0; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.slices[0].position = std::numeric_limits<std::uint32_t>::max(); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.slices.push_back(plan.slices[0]); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].tokens.clear(); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].tokens[0] = -1; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].prompt_tokens = 2; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].stop_ids.assign(kStopIdsMax + 1, 1); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].prefix_blocks.assign(kSequenceBlocksMax + 1, BlockId(1)); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].sampling.temperature = NAN; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].sampling.top_p = -0.1F; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.started[0].sampling.logit_bias.assign(1025, {1, 0.0F}); }));
}

TEST(StepPlanCodec, RefusesCopiesThatContradictEachOther) {
  const auto refused = [](auto spoil) {
    StepPlan plan;
    plan.step = StepId(1);
    plan.reads = {{TransferId(1), 0, BlockId(4)}, {TransferId(1), 1, BlockId(5)}};
    plan.writes = {{TransferId(1), 0, BlockId(6)}};
    EXPECT_TRUE(validate(plan).ok());
    spoil(plan);
    EXPECT_EQ(validate(plan).ok(), decode_step_plan(encode(plan).words).has_value());
    return !validate(plan).ok();
  };
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.reads[1].index = 0; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.writes.push_back({TransferId(1), 0, BlockId(7)}); }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.reads[0].index = kSequenceBlocksMax; }));
  EXPECT_TRUE(refused([](StepPlan& plan) { plan.forgotten.resize(kPlanCopiesMax + 1); }));
  EXPECT_TRUE(refused([](StepPlan& plan) {
    for (std::uint32_t i = 0; i <= kPlanCopiesMax; ++i) plan.writes.push_back({TransferId(2), i, BlockId(i)});
  }));
}

TEST(BlockPartCodec, RefusesWhatIsNoPartOfABlock) {
  const auto refused = [](auto spoil) {
    step::BlockPart part{TransferId(1), 2, 3, 4, 100, 90, std::vector<std::byte>(10)};
    EXPECT_TRUE(validate(part).ok());
    spoil(part);
    EXPECT_EQ(validate(part).ok(), decode_block_part(encode(part).words).has_value());
    return !validate(part).ok();
  };
  EXPECT_TRUE(refused([](auto& part) { part.bytes.resize(11); }));
  EXPECT_TRUE(refused([](auto& part) { part.bytes.clear(); }));
  EXPECT_TRUE(refused([](auto& part) { part.offset = 100; }));
  EXPECT_TRUE(refused([](auto& part) { part.offset = ~std::uint64_t{0}; }));
  EXPECT_TRUE(refused([](auto& part) { part.bytes_total = step::kBlockBytesMax + 1; }));
  EXPECT_TRUE(refused([](auto& part) { part.rank = kRanksMax; }));
  EXPECT_TRUE(refused([](auto& part) { part.index = kSequenceBlocksMax; }));
  EXPECT_TRUE(refused([](auto& part) {
    part.bytes_total = step::kBlockBytesMax;
    part.bytes.resize(step::kBlockPartBytesMax + 1);
  }));
}

TEST(BlockPartCodec, TheLongestPartFitsItsFrame) {
  const step::BlockPart part{TransferId(1), 2, 3, 4, step::kBlockPartBytesMax, 0, std::vector<std::byte>(step::kBlockPartBytesMax)};
  const auto decoded = decode_block_part(encode(part).words);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
  EXPECT_EQ(*decoded, part);
}

TEST(StepResultCodec, RefusesWhatAReplicaCouldNotBelieve) {
  const auto refused = [](auto spoil) {
    StepResult result;
    result.step = StepId(1);
    result.sampled.push_back({.sequence = SequenceId(1), .output_index = 0, .token = 3, .top = {}});
    result.outputs.push_back(
        {.sequence = SequenceId(1), .position = 0, .rows = 1, .layers = 1, .width = 2, .values = {1.0F, NAN}});
    EXPECT_TRUE(decode_step_result(encode(result).words).has_value());
    spoil(result);
    return !decode_step_result(encode(result).words).has_value();
  };
  EXPECT_TRUE(refused([](StepResult& result) { result.sampled[0].token = -5; }));
  EXPECT_TRUE(refused([](StepResult& result) { result.sampled[0].logprob = NAN; }));
  EXPECT_FALSE(refused([](StepResult& result) {
    result.sampled[0].logprob = NAN;
    result.sampled[0].finite = false;
  }));
  EXPECT_TRUE(refused([](StepResult& result) { result.sampled[0].top.resize(21); }));
  EXPECT_TRUE(refused([](StepResult& result) { result.outputs[0].width = 3; }));
  EXPECT_TRUE(refused([](StepResult& result) { result.prompt_logprobs = {{SequenceId(1), 0, {{5, -0.5F, {}}}}}; }));
  EXPECT_TRUE(refused([](StepResult& result) { result.prompt_logprobs.resize(2, {SequenceId(1), 1, {}}); }));
  EXPECT_FALSE(refused([](StepResult& result) { result.prompt_logprobs = {{SequenceId(1), 1, {{5, NAN, {}}}}}; }));
  EXPECT_TRUE(refused([](StepResult& result) { result.status = {StatusCode::kAborted, "but there are tokens"}; }));
  const step::SequenceFailure failure{SequenceId(2), {StatusCode::kInternal, "a block outside the pool"}};
  EXPECT_FALSE(refused([&](StepResult& result) { result.failed = {failure}; }));
  EXPECT_TRUE(refused([&](StepResult& result) { result.failed = {failure, failure}; }));
  EXPECT_TRUE(refused([&](StepResult& result) { result.failed = {{failure.sequence, {}}}; }));
  EXPECT_TRUE(refused([&](StepResult& result) { result.failed = {{SequenceId(1), failure.status}}; })) << "it has a token";
  EXPECT_TRUE(refused([&](StepResult& result) {
    result.sampled.clear();
    result.outputs.clear();
    result.status = failure.status;
    result.failed = {failure};
  }));
  EXPECT_TRUE(refused([](StepResult& result) { result.stats.compute_seconds = INFINITY; }));
  EXPECT_TRUE(refused([](StepResult& result) { result.stats.prefill_rows = result.stats.rows + 1; }));
  EXPECT_TRUE(refused([](StepResult& result) { result.rank = kRanksMax; }));
  const auto damaged = [](StepResult& result, std::uint32_t written, std::vector<step::DamagedBlock> blocks) {
    result.blocks_written = written;
    result.damaged = std::move(blocks);
  };
  EXPECT_FALSE(refused([&](StepResult& result) { damaged(result, 2, {{TransferId(1), 0}, {TransferId(2), 0}}); }));
  EXPECT_TRUE(refused([&](StepResult& result) { damaged(result, 2, {{TransferId(1), 0}, {TransferId(1), 0}}); }));
  EXPECT_TRUE(refused([&](StepResult& result) { damaged(result, 0, {{TransferId(1), 0}}); }));
  EXPECT_TRUE(refused([](StepResult& result) { result.blocks_written = kPlanCopiesMax + 1; }));
}

TEST(SubmissionCodec, RefusesWhatAGatewayMustNotAccept) {
  const auto refused = [](auto spoil) {
    Random random(9);
    Submission submission = random_submission(random);
    spoil(submission);
    EXPECT_EQ(validate(submission).ok(), decode_submission(encode(submission).words).has_value());
    return !validate(submission).ok();
  };
  EXPECT_FALSE(refused([](Submission&) {}));
  EXPECT_TRUE(refused([](Submission& submission) { submission.tokens.clear(); }));
  EXPECT_TRUE(refused([](Submission& submission) { submission.prompt_tokens = 0; }));
  EXPECT_TRUE(refused([](Submission& submission) { submission.tokens.assign(kSequenceTokensMax + 1, 1); }));
  EXPECT_TRUE(refused([](Submission& submission) { submission.eos_ids.assign(kEosIdsMax + 1, 1); }));
  EXPECT_TRUE(refused([](Submission& submission) { submission.sampling.logprobs = 21; }));
}

TEST(DeltasCodec, RefusesWhatAGatewayCouldNotBelieve) {
  const auto refused = [](auto spoil) {
    TokenDelta delta;
    delta.sequence = SequenceId(1);
    delta.has_token = true;
    delta.token.sequence = SequenceId(1);
    delta.queued_s = 0.5F;
    delta.prompt_logprobs = {{SequenceId(1), 1, {{5, -0.5F, {{6, -1.0F}}}}}};
    EXPECT_TRUE(decode_token_deltas(encode(std::span(&delta, 1)).words).has_value());
    spoil(delta);
    return !decode_token_deltas(encode(std::span(&delta, 1)).words).has_value();
  };
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.queued_s = -0.5F; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.queued_s = NAN; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prefill_s = INFINITY; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.cached_tokens = kSequenceTokensMax + 1; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.token.sequence = SequenceId(2); }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs[0].sequence = SequenceId(2); }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs[0].position = 0; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs[0].position = kSequenceTokensMax; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs[0].tokens[0].token = -1; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs[0].tokens[0].logprob = NAN; }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs[0].tokens[0].top.resize(21); }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.prompt_logprobs.resize(9, delta.prompt_logprobs[0]); }));
  EXPECT_TRUE(refused([](TokenDelta& delta) { delta.error = {StatusCode::kInternal, "not the end"}; }));
}

TEST(DeltasCodec, RefusesARefusalOfWhatHasRun) {
  TokenDelta delta;
  delta.sequence = SequenceId(1);
  delta.finish = step::FinishReason::kRefused;
  delta.error = {StatusCode::kOverloaded, "full"};
  EXPECT_TRUE(validate(std::span(&delta, 1)).ok());
  TokenDelta with_token = delta;
  with_token.has_token = true;
  with_token.token.sequence = delta.sequence;
  TokenDelta with_rows = delta;
  with_rows.outputs.push_back({delta.sequence, 0, 1, 1, 1, {0.5F}});
  TokenDelta with_logprobs = delta;
  with_logprobs.prompt_logprobs = {{delta.sequence, 1, {{5, -0.5F, {}}}}};
  for (const TokenDelta& spoiled : {with_token, with_rows, with_logprobs}) {
    EXPECT_FALSE(validate(std::span(&spoiled, 1)).ok());
    EXPECT_FALSE(decode_token_deltas(encode(std::span(&spoiled, 1)).words).has_value());
  }
}

// Plans of all sizes, and the longest lists that a start may have.
TEST(PlanCodec, AMessageIsNoLongerThanForetold) {
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    step::StepPlan plan = random_plan(random);
    if (i % 100 == 0 && !plan.started.empty()) {
      step::SequenceStart& start = plan.started.back();
      start.tokens.assign(1U << (i / 100), 7);
      start.sampling.logit_bias.assign(step::kLogitBiasMax, {7, 0.5F});
      start.sampling.stop_token_ids.assign(step::kStopTokensMax, 7);
      start.stop_ids.assign(kStopIdsMax, 7);
      start.prefix_blocks.assign(start.tokens.size() / 16, BlockId(7));
    }
    std::uint64_t words = step::plan_words(std::max(plan.slices.size(), plan.released.size()));
    for (const step::SequenceStart& start : plan.started)
      words += step::start_words(start.tokens.size(), start.prefix_blocks.size(), start.sampling, start.stop_ids.size());
    for (step::SequenceSlice& slice : plan.slices) slice.new_blocks.resize(std::min<std::size_t>(1, slice.new_blocks.size()));
    words += step::copies_words(plan.reads.size() + plan.writes.size() + plan.forgotten.size());
    EXPECT_LE(encode(plan).words.size(), words);
  }
}

TEST(DeltasCodec, CutsAnErrorMessageThatIsTooLong) {
  TokenDelta delta;
  delta.sequence = SequenceId(1);
  delta.finish = step::FinishReason::kFailed;
  delta.error = {StatusCode::kInternal, std::string(10'000, 'e')};
  const auto decoded = decode_token_deltas(encode(std::span(&delta, 1)).words);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ((*decoded)[0].error.message().size(), kErrorMessageBytesMax);
}

TEST(ViewCodec, RefusesWhatAGatewayCouldNotRouteBy) {
  const auto refused = [](auto spoil) {
    routing::ClusterView view{Epoch(1), 1, {}};
    for (std::uint32_t id : {3U, 5U})
      view.replicas.push_back({{{ReplicaId(id), Epoch(9)}, "10.0.0.1:7000", "cpu-1/x"}, routing::ReplicaState::kServing});
    EXPECT_TRUE(decode_cluster_view(encode(view).words).has_value());
    spoil(view);
    EXPECT_EQ(validate(view).ok(), decode_cluster_view(encode(view).words).has_value());
    return !validate(view).ok();
  };
  EXPECT_TRUE(refused([](auto& view) { view.replicas[0].route.generation.replica = ReplicaId(5); }));
  EXPECT_TRUE(refused([](auto& view) { view.replicas[1].route.generation.replica = ReplicaId(2); }));
  EXPECT_TRUE(refused([](auto& view) { view.replicas[1].sequences_max = 0; }));
  EXPECT_TRUE(refused([](auto& view) { view.replicas[1].route.address = std::string(257, 'a'); }));
  EXPECT_TRUE(refused([](auto& view) { view.replicas[1].route.address = "host\x1b[2J"; }));
  EXPECT_TRUE(refused([](auto& view) { view.replicas[1].route.numerics = std::string(257, 'a'); }));
  EXPECT_TRUE(refused([](auto& view) {
    view.replicas.resize(kReplicasMax + 1, view.replicas[0]);
    for (std::uint32_t id = 0; auto& replica : view.replicas) replica.route.generation.replica = ReplicaId(id++);
  }));
}

// What the limits of a kind allow fits into its longest frame.
TEST(ControlCodec, SealsTheLargestViewAndLoss) {
  routing::ClusterView view{Epoch(1), 1, {}};
  for (std::uint32_t id = 0; id < kReplicasMax; ++id)
    view.replicas.push_back({{{ReplicaId(id), Epoch(9)}, std::string(256, 'a'), std::string(256, 'n')}});
  ASSERT_TRUE(validate(view).ok());
  EXPECT_TRUE(seal(encode(view), Epoch(1)).has_value());
  EXPECT_TRUE(decode_cluster_view(encode(view).words).has_value());
  routing::ReplicaLoss loss{{ReplicaId(1), Epoch(2)}, routing::LossCause::kOverdue, {StatusCode::kAborted, "late"},
                            std::vector<routing::AttemptInStep>(kLostAttemptsMax)};
  for (std::uint32_t rank = 0; rank < kBlamedRanksMax; ++rank) loss.blamed.push_back(rank);
  loss.cause = routing::LossCause::kDiedOfItself;
  for (std::uint64_t i = 0; i < kBlamedRanksMax; ++i) {
    loss.at_work.push_back({GatewayId(1), SequenceId(i), 0});
    loss.in_step->at(i).attempt = loss.at_work.back();
  }
  loss.why = {StatusCode::kAborted, std::string(kErrorMessageBytesMax, 'x')};
  ASSERT_TRUE(validate(loss).ok());
  EXPECT_TRUE(seal(encode(loss), Epoch(1)).has_value());
  EXPECT_TRUE(decode_replica_loss(encode(loss).words).has_value());
  loss.in_step->emplace_back();
  EXPECT_FALSE(decode_replica_loss(encode(loss).words).has_value());
  loss.in_step.reset();
  loss.blamed.push_back(kBlamedRanksMax);
  EXPECT_FALSE(decode_replica_loss(encode(loss).words).has_value());
  loss.blamed = {2, 2};
  EXPECT_FALSE(decode_replica_loss(encode(loss).words).has_value());
  loss.blamed = {1, 2};
  EXPECT_TRUE(decode_replica_loss(encode(loss).words).has_value());
  loss.why = {};
  EXPECT_FALSE(decode_replica_loss(encode(loss).words).has_value());
}

TEST(LossCodec, RefusesWorkThatCouldNotHaveBeenFatal) {
  const auto attempt = [](std::uint64_t sequence) { return step::AttemptKey{GatewayId(1), SequenceId(sequence), 0}; };
  const auto refused = [&](auto spoil) {
    routing::ReplicaLoss loss{{ReplicaId(1), Epoch(2)}, routing::LossCause::kDiedOfItself, {StatusCode::kAborted, "signal 11"},
                              std::vector<routing::AttemptInStep>{{attempt(7), 1}, {attempt(4), 1}, {attempt(5), 1}}, {0, 1},
                              {attempt(4), attempt(7)}};
    EXPECT_TRUE(decode_replica_loss(encode(loss).words).has_value());
    spoil(loss);
    EXPECT_EQ(validate(loss).ok(), decode_replica_loss(encode(loss).words).has_value());
    return !validate(loss).ok();
  };
  EXPECT_FALSE(refused([](auto& loss) { loss.at_work.clear(); }));
  EXPECT_FALSE(refused([](auto& loss) { loss.in_step.reset(); })) << "its leader died, whose node says what it was working on";
  EXPECT_TRUE(refused([](auto& loss) { loss.in_step->clear(); }));
  EXPECT_TRUE(refused([](auto& loss) { loss.cause = routing::LossCause::kKilled; }));
  EXPECT_TRUE(refused([&](auto& loss) { loss.at_work = {attempt(7), attempt(4)}; }));
  EXPECT_TRUE(refused([&](auto& loss) { loss.at_work = {attempt(4), attempt(4)}; }));
  EXPECT_TRUE(refused([&](auto& loss) { loss.at_work = {attempt(6)}; })) << "in no step";
  EXPECT_TRUE(refused([&](auto& loss) {
    loss.in_step.reset();
    for (std::uint64_t sequence = 8; loss.at_work.size() <= kBlamedRanksMax; ++sequence) loss.at_work.push_back(attempt(sequence));
  }));
}

TEST(QuotaCodec, RefusesWhatCouldNotBeShared) {
  const auto demand = [](auto spoil) {
    routing::QuotaDemand value{1, 0.25, 8, {{.tenant = 3, .requests = {1, -1}}, {.tenant = 5}}};
    EXPECT_TRUE(decode_quota_demand(encode(value).words).has_value());
    spoil(value);
    EXPECT_EQ(validate(value).ok(), decode_quota_demand(encode(value).words).has_value());
    return !validate(value).ok();
  };
  EXPECT_FALSE(demand([](auto& value) { value.seconds = 3600; }));
  EXPECT_FALSE(demand([](auto& value) { value.tenants[0].sequences = 8; })) << "a request may be several";
  EXPECT_TRUE(demand([](auto& value) { value.number = 0; }));
  EXPECT_TRUE(demand([](auto& value) { value.running_max = 0; }));
  EXPECT_TRUE(demand([](auto& value) { value.seconds = 0; }));
  EXPECT_TRUE(demand([](auto& value) { value.seconds = 3601; }));
  EXPECT_TRUE(demand([](auto& value) { value.seconds = NAN; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[1].tenant = 3; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[0].requests.asked = -1; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[0].prompt_tokens.asked = NAN; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[0].output_tokens.asked = INFINITY; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[0].output_tokens.held = -INFINITY; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[0].weight = 0; }));
  EXPECT_TRUE(demand([](auto& value) { value.tenants[0].weight = INFINITY; }));
  const auto shares = [](auto spoil) {
    routing::QuotaShares value{1, 3, 0.5, {{.tenant = 3, .requests = {0.5, -2}, .in_flight = 0.5}, {.tenant = 5}}};
    EXPECT_TRUE(decode_quota_shares(encode(value).words).has_value());
    spoil(value);
    EXPECT_EQ(validate(value).ok(), decode_quota_shares(encode(value).words).has_value());
    return !validate(value).ok();
  };
  EXPECT_FALSE(shares([](auto& value) { value.running = value.tenants[0].requests.share = value.tenants[0].in_flight = 0; }));
  EXPECT_FALSE(shares([](auto& value) { value.running = value.tenants[0].requests.share = value.tenants[0].in_flight = 1; }));
  EXPECT_TRUE(shares([](auto& value) { value.gateways = 0; }));
  EXPECT_TRUE(shares([](auto& value) { value.running = 1.01; }));
  EXPECT_TRUE(shares([](auto& value) { value.running = NAN; }));
  EXPECT_TRUE(shares([](auto& value) { value.tenants[1].tenant = 2; }));
  EXPECT_TRUE(shares([](auto& value) { value.number = 0; })) << "something is moved";
  EXPECT_FALSE(shares([](auto& value) { value.number = value.tenants[0].requests.moved = 0; }));
  EXPECT_TRUE(shares([](auto& value) { value.tenants[0].prompt_tokens.moved = NAN; }));
  EXPECT_TRUE(shares([](auto& value) { value.tenants[0].output_tokens.share = -0.01; }));
  EXPECT_TRUE(shares([](auto& value) { value.tenants[0].weight = 1.01; }));
  EXPECT_TRUE(shares([](auto& value) { value.tenants[0].in_flight = 1.01; }));
}

TEST(QuotaCodec, SealsAllTenantsInUse) {
  routing::QuotaDemand demand{1, 0.25, 1, {}};
  routing::QuotaShares shares;
  for (std::uint64_t tenant = 0; tenant < routing::kTenantsInUseMax; ++tenant) {
    demand.tenants.push_back({.tenant = tenant});
    shares.tenants.push_back({.tenant = tenant});
  }
  EXPECT_TRUE(seal(encode(demand), Epoch(1)).has_value());
  EXPECT_EQ(decode_quota_demand(encode(demand).words).value(), demand);
  EXPECT_TRUE(seal(encode(shares), Epoch(1)).has_value());
  EXPECT_EQ(decode_quota_shares(encode(shares).words).value(), shares);
  demand.tenants.push_back({.tenant = routing::kTenantsInUseMax});
  shares.tenants.push_back({.tenant = routing::kTenantsInUseMax});
  EXPECT_FALSE(decode_quota_demand(encode(demand).words).has_value());
  EXPECT_FALSE(decode_quota_shares(encode(shares).words).has_value());
}

TEST(RankCodec, KnowsTheBoundsOfARank) {
  Random random(9);
  placement::RankSpec good = random_rank_spec(random);
  good.device = {};
  ASSERT_TRUE(validate(good).ok()) << validate(good).message();
  const auto refuses = [&](auto change) {
    placement::RankSpec bad = good;
    change(bad);
    return !validate(bad).ok() && !decode_rank_spec(encode(bad).words).has_value();
  };
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.ranks = 3; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.rank = s.ranks; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.model.path.clear(); }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.model.path = "a\nb"; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.model.weight_path = std::string(4097, 'w'); }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.model.layers = -1; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.device.threads = 0; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.device.nice = 20; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.device.on_gpu = true, s.device.gpu = 4096; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.shape.block_size = 24; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.shape.blocks = 0; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.shape.positions_max = (1 << 20) + 1; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.shape.rows_max = 0; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.shape.sequences_max = 65537; }));
  EXPECT_TRUE(refuses([](placement::RankSpec& s) { s.shape.step_timeout = std::chrono::milliseconds(0); }));
}

// 16-bit numbers of a frame.
std::vector<std::uint16_t> numbers_of(const Frame& frame) {
  std::vector<std::uint16_t> numbers(frame.words.size() * 4);
  std::memcpy(numbers.data(), frame.words.data(), numbers.size() * 2);
  return numbers;
}

// A number of the schema is of one encoding for ever: nodes of two versions load the same model.
TEST(RankCodec, CarriesEveryEncodingUnderItsOwnNumber) {
  Random random(10);
  placement::RankSpec spec = random_rank_spec(random);
  spec.weights = WeightFormat::kF32;
  const auto first = numbers_of(encode(spec));
  spec.weights = WeightFormat::kBF16;
  const auto second = numbers_of(encode(spec));
  ASSERT_EQ(first.size(), second.size());
  const auto place = std::mismatch(first.begin(), first.end(), second.begin()).first - first.begin();
  const std::pair<WeightFormat, std::uint16_t> encodings[] = {
      {WeightFormat::kF32, 1},  {WeightFormat::kBF16, 2}, {WeightFormat::kF16, 3},  {WeightFormat::kQ8_0, 4}, {WeightFormat::kQ4_0, 5},
      {WeightFormat::kQ4_1, 6}, {WeightFormat::kQ5_0, 7}, {WeightFormat::kQ5_1, 8}, {WeightFormat::kQ6_K, 9},
      {WeightFormat::kQ4_K, 10}, {WeightFormat::kQ5_K, 11}};
  ASSERT_EQ(std::size(encodings), std::size(kAllFormats));
  for (const auto& [format, number] : encodings) {
    spec.weights = format;
    auto expected = first;
    expected.at(static_cast<std::size_t>(place)) = number;
    EXPECT_EQ(numbers_of(encode(spec)), expected) << format_name(format);
    EXPECT_EQ(decode_rank_spec(encode(spec).words).value(), spec) << format_name(format);
  }
  spec.weights = static_cast<WeightFormat>(200);
  const auto unknown = decode_rank_spec(encode(spec).words);
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message().find("encoding: unknown"), std::string::npos) << unknown.error().message();
}

}  // namespace
}  // namespace herd::wire
