// Frames of older encoders still decode to the values they were made of, with fields added since at their defaults.
// Each file in tests/cluster/wire/golden/ was written once and never changes; an encoder that adds fields, and every
// new protocol version, gets a file of its own:
//   v1.hex           protocol 1, its first encoder
//   v1_1.hex         a loss names the ranks that are to blame, a step's result the sequences that failed alone

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/envelope.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/step_codec.h"

namespace herd::wire {
namespace {

using step::StepPlan;
using step::StepResult;
using step::Submission;
using step::TokenDelta;

constexpr routing::ReplicaGeneration kGoldenReplica{ReplicaId(2), Epoch(7)};
constexpr const char* kGoldenFolder = "tests/cluster/wire/golden/";

step::SamplingParams golden_sampling() {
  step::SamplingParams params;
  params.temperature = 0.5F;
  params.top_k = 40;
  params.top_p = 0.75F;
  params.min_p = 0.25F;
  params.repetition_penalty = 1.5F;
  params.presence_penalty = -1.0F;
  params.frequency_penalty = 2.0F;
  params.seed = 0x0123456789ABCDEF;
  params.choice = 3;
  params.logit_bias = {{11, -100.0F}, {12, 1.5F}};
  params.stop_token_ids = {128009};
  params.ignore_eos = true;
  params.min_tokens = 2;
  params.logprobs = 5;
  return params;
}

Submission golden_submission() {
  Submission submission;
  submission.gateway = GatewayId(0x1122334455667788);
  submission.sequence = SequenceId(42);
  submission.attempt = 1;
  submission.tokens = {128000, 40, 4510, 279};
  submission.prompt_tokens = 3;
  submission.max_tokens = 16;
  submission.sampling = golden_sampling();
  submission.eos_ids = {128001, 128008};
  submission.priority = -2;
  submission.cache_salt = 0xFEDCBA9876543210;
  submission.output = step::OutputSelector::kLogitsAll;
  submission.alone_until = 6;
  return submission;
}

step::SampledToken golden_token() {
  return {.sequence = SequenceId(42),
          .output_index = 1,
          .token = 7438,
          .logprob = -0.5F,
          .top = {{7438, -0.5F}, {2324, -1.25F}},
          .logits_hash = 0xA5A5A5A55A5A5A5A,
          .finite = true};
}

step::OutputRows golden_rows() {
  return {.sequence = SequenceId(42), .position = 2, .rows = 1, .layers = 2, .width = 2, .values = {1, -2, 0.5F, 4}};
}

step::PromptLogprobs golden_prompt_logprobs() {
  return {SequenceId(42), 1, {{40, -1.5F, {{40, -1.5F}, {41, -2.0F}}}, {4510, -8.0F, {}}}};
}

std::vector<TokenDelta> golden_deltas() {
  TokenDelta token;
  token.gateway = GatewayId(0x1122334455667788);
  token.sequence = SequenceId(42);
  token.attempt = 1;
  token.has_token = true;
  token.token = golden_token();
  token.outputs = {golden_rows()};
  TokenDelta terminal;
  terminal.gateway = GatewayId(0x99AABBCCDDEEFF00);
  terminal.sequence = SequenceId(43);
  terminal.finish = step::FinishReason::kFailed;
  terminal.error = {StatusCode::kAborted, "rank 1 is gone"};
  terminal.cached_tokens = 16;
  token.cached_tokens = 32;
  token.queued_s = 0.25F;
  token.prefill_s = 1.5F;
  token.prompt_logprobs = {golden_prompt_logprobs()};
  terminal.queued_s = 8.0F;
  terminal.preemptions = 3;
  return {token, terminal};
}

StepPlan golden_plan() {
  StepPlan plan;
  plan.epoch = Epoch(7);
  plan.step = StepId(9);
  plan.released = {SequenceId(41)};
  plan.started = {{.sequence = SequenceId(42),
                   .tokens = {128000, 40, 4510},
                   .prompt_tokens = 3,
                   .sampling = golden_sampling(),
                   .stop_ids = {128001, 128009},
                   .adapter_slot = 1,
                   .output = step::OutputSelector::kPromptLogprobs,
                   .prefix_blocks = {BlockId(5), BlockId(6)}}};
  plan.slices = {{.sequence = SequenceId(42),
                  .position = 32,
                  .rows = 4,
                  .new_blocks = {BlockId(8)},
                  .sample = true,
                  .output_index = 2}};
  return plan;
}

StepResult golden_result() {
  StepResult result;
  result.epoch = Epoch(7);
  result.step = StepId(9);
  result.rank = 1;
  result.sampled = {golden_token()};
  result.outputs = {golden_rows()};
  result.token_hash = 99;
  result.stats = {4, 1, 0.125, 1000, 3};
  result.prompt_logprobs = {golden_prompt_logprobs()};
  result.failed = {{SequenceId(43), {StatusCode::kInternal, "sequence 43: block 8 outside the pool"}}};
  return result;
}

step::StepOutputs golden_outputs() { return {Epoch(7), StepId(9), 0, {golden_rows()}, {golden_prompt_logprobs()}}; }

constexpr step::AttemptKey kGoldenAttempt{GatewayId(0x1122334455667788), SequenceId(42), 1};

handshake::Hello golden_hello() {
  return {.cluster = "lab",
          .role = handshake::Role::kRank,
          .node = "node-1",
          .incarnation = 0x0123456789ABCDEF,
          .protocol_min = 1,
          .protocol_max = 2,
          .build_id = "herd 0.1",
          .model = "llama",
          .numerics_id = "cpu-1/bfloat16/bfloat16/00112233445566778899aabbccddeeff",
          .kv_layout_id = "cpu-1/bfloat16/30x16x3x64",
          .text_digest = "0123456789abcdef0123456789abcdef",
          .config_digest = "fedcba98"};
}

routing::GatewayJoin golden_join() { return {GatewayId(0x1122334455667788), Epoch(5), 17}; }

routing::ClusterView golden_view() {
  return {Epoch(5),
          18,
          {{{{ReplicaId(2), Epoch(7)}, "10.0.0.1:7000", "cpu-1/one"}, routing::ReplicaState::kServing, true, 32},
           {{{ReplicaId(3), Epoch(8)}, "10.0.0.2:7000", "sm90-1/two"}, routing::ReplicaState::kLost, false, 64}}};
}

routing::ReplicaLoss golden_loss() {
  return {{ReplicaId(3), Epoch(8)},
          routing::LossCause::kDiedOfItself,
          {StatusCode::kAborted, "rank 1 of replica 3 died: signal 11"},
          std::vector<routing::AttemptInStep>{{kGoldenAttempt, 12}},
          {1}};
}

std::vector<Frame> golden_frames() {
  return {encode(golden_hello()),    encode(golden_submission()), encode(kGoldenAttempt), encode(golden_deltas()),
          encode(golden_plan()),     encode(golden_result()),     encode(golden_outputs()), encode(golden_join()),
          encode(golden_view()),     encode(golden_loss())};
}

std::vector<std::vector<std::byte>> read_golden(const std::string& name) {
  std::vector<std::vector<std::byte>> frames;
  std::ifstream file(kGoldenFolder + name);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::byte> bytes;
    for (std::size_t at = 0; at + 1 < line.size(); at += 2)
      bytes.push_back(static_cast<std::byte>(std::stoi(line.substr(at, 2), nullptr, 16)));
    frames.push_back(std::move(bytes));
  }
  return frames;
}

TEST(GoldenFrames, OfTheFirstEncoderStillDecode) {
  const auto golden = read_golden("v1.hex");
  ASSERT_EQ(golden.size(), 10U) << "run from the repository root";
  std::vector<Frame> frames;
  for (const auto& bytes : golden) {
    auto opened = open(bytes);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ(opened->header.cluster_epoch, Epoch(5));
    EXPECT_EQ(opened->header.replica, kGoldenReplica);
    frames.push_back(std::move(opened->frame));
  }
  EXPECT_EQ(*decode_hello(frames[0].words), golden_hello());
  EXPECT_EQ(*decode_submission(frames[1].words), golden_submission());
  EXPECT_EQ(*decode_abort(frames[2].words), kGoldenAttempt);
  EXPECT_EQ(*decode_token_deltas(frames[3].words), golden_deltas());
  EXPECT_EQ(*decode_step_plan(frames[4].words), golden_plan());
  StepResult result = golden_result();
  result.failed.clear();
  EXPECT_EQ(*decode_step_result(frames[5].words), result);
  EXPECT_EQ(*decode_step_outputs(frames[6].words), golden_outputs());
  EXPECT_EQ(*decode_gateway_join(frames[7].words), golden_join());
  EXPECT_EQ(*decode_cluster_view(frames[8].words), golden_view());
  routing::ReplicaLoss loss = golden_loss();
  loss.blamed.clear();
  EXPECT_EQ(*decode_replica_loss(frames[9].words), loss);
}

// Not a promise to peers (a newer encoder may add fields), but a change here wants to be meant.
TEST(GoldenFrames, OfTheNewestFileAreWhatThisBuildWrites) {
  const auto golden = read_golden("v1_1.hex");
  const auto frames = golden_frames();
  EXPECT_EQ(golden.size(), frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto bytes = seal(frames[i], Epoch(5), kGoldenReplica).value();
    std::ostringstream hex;
    for (const std::byte byte : bytes) {
      static constexpr char kDigits[] = "0123456789abcdef";
      hex << kDigits[std::to_integer<int>(byte) >> 4] << kDigits[std::to_integer<int>(byte) & 15];
    }
    EXPECT_TRUE(i < golden.size() && bytes == golden[i]) << "frame " << i << " is now\n" << hex.str();
  }
}

}  // namespace
}  // namespace herd::wire
