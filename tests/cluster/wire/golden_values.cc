// What gateways, replicas, ranks and the ends of a connection tell each other.

#include "tests/cluster/wire/golden_values.h"

namespace herd::wire {
namespace {

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

}  // namespace

step::Submission golden_submission() {
  step::Submission submission;
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
  submission.source = {ReplicaId(3), Epoch(8), "10.0.0.2:7000", 64};
  return submission;
}

std::vector<step::TokenDelta> golden_deltas() {
  step::TokenDelta token;
  token.gateway = GatewayId(0x1122334455667788);
  token.sequence = SequenceId(42);
  token.attempt = 1;
  token.has_token = true;
  token.token = golden_token();
  token.outputs = {golden_rows()};
  step::TokenDelta terminal;
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

step::StepPlan golden_plan() {
  step::StepPlan plan;
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
  plan.reads = {{TransferId(51), 3, BlockId(9)}, {TransferId(51), 4, BlockId(2)}};
  plan.writes = {{TransferId(52), 0, BlockId(11)}};
  plan.forgotten = {TransferId(50)};
  return plan;
}

step::StepResult golden_result() {
  step::StepResult result;
  result.epoch = Epoch(7);
  result.step = StepId(9);
  result.rank = 1;
  result.sampled = {golden_token()};
  result.outputs = {golden_rows()};
  result.token_hash = 99;
  result.stats = {4, 1, 0.125, 1000, 3};
  result.prompt_logprobs = {golden_prompt_logprobs()};
  result.failed = {{SequenceId(43), {StatusCode::kInternal, "sequence 43: block 8 outside the pool"}}};
  result.blocks_written = 1;
  result.damaged = {{TransferId(52), 0}};
  return result;
}

step::BlockPart golden_block_part() {
  return {TransferId(51), 3, 1, 0x12345678, 4096, 1024, {std::byte{1}, std::byte{2}, std::byte{0xFF}}};
}

handshake::Hello golden_hello() {
  return {.cluster = "lab",
          .role = handshake::Role::kRank,
          .node = "node-1",
          .incarnation = 0x0123456789ABCDEF,
          .protocol_min = 1,
          .protocol_max = 2,
          .build_id = "herd 0.1",
          .model = "llama",
          .text_digest = "0123456789abcdef0123456789abcdef",
          .config_digest = "fedcba98"};
}

routing::GatewayJoin golden_join() { return {GatewayId(0x1122334455667788), Epoch(5), 17}; }

routing::ClusterView golden_view() {
  return {Epoch(5),
          18,
          {{{{ReplicaId(2), Epoch(7)}, "10.0.0.1:7000", "cpu-1/one"}, routing::ReplicaState::kServing, true, 32, 4096},
           {{{ReplicaId(3), Epoch(8)}, "10.0.0.2:7000", "sm90-1/two"}, routing::ReplicaState::kLost, false, 64, 0}}};
}

routing::ReplicaLoss golden_loss() {
  return {{ReplicaId(3), Epoch(8)},
          routing::LossCause::kDiedOfItself,
          {StatusCode::kAborted, "rank 1 of replica 3 died: signal 11"},
          std::vector<routing::AttemptInStep>{{kGoldenAttempt, 12}},
          {1},
          {kGoldenAttempt}};
}

routing::QuotaDemand golden_quota_demand() {
  return {.number = 9,
          .seconds = 0.25,
          .running_max = 72,
          .tenants = {{.tenant = 21,
                       .weight = 2,
                       .requests = {1.5, 10},
                       .prompt_tokens = {100, -3},
                       .output_tokens = {32, 0.5},
                       .in_flight = 7,
                       .in_flight_refused = 2,
                       .in_flight_max = 8,
                       .sequences = 5},
                      {.tenant = 22, .weight = 0.5, .output_tokens = {8, 0}, .in_flight = 1, .sequences = 1}}};
}

routing::QuotaShares golden_quota_shares() {
  return {.number = 9,
          .gateways = 3,
          .running = 0.5,
          .tenants = {{.tenant = 21,
                       .requests = {0.75, -2},
                       .prompt_tokens = {0.5, 30},
                       .output_tokens = {0.25, 0},
                       .in_flight = 0.25,
                       .weight = 0.125}}};
}

placement::RankSpec golden_rank_spec() {
  placement::RankSpec spec;
  spec.replica = ReplicaId(2);
  spec.rank = 1;
  spec.ranks = 2;
  spec.model = {.path = "/models/llama", .weight_path = "/weights/llama", .layers = 3, .random_weights = true, .random_seed = 77};
  spec.weights = WeightFormat::kF16;
  spec.device.isa = CpuIsa::kAvx512;
  spec.device.threads = 6;
  spec.device.nice = 4;
  spec.shape = {.block_size = 32,
                .blocks = 1000,
                .positions_max = 4096,
                .rows_max = 512,
                .sequences_max = 64,
                .step_timeout = std::chrono::milliseconds(120'000),
                .hash_logits = true};
  return spec;
}

placement::RankSpec golden_gpu_rank_spec() {
  placement::RankSpec spec = golden_rank_spec();
  spec.device = {.on_gpu = true, .gpu = 5, .matmul = GpuMatmul::kCublasLt, .graphs = false};
  return spec;
}


handshake::Goodbye golden_goodbye() { return {{StatusCode::kAborted, "this process ends"}}; }

}  // namespace herd::wire
