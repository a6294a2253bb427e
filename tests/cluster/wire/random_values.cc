#include "tests/cluster/wire/random_values.h"

#include <algorithm>
#include <string>

namespace herd::wire {
namespace {

TokenId token_id(Random& random) { return static_cast<TokenId>(below(random, 128256)); }

std::vector<TokenId> token_ids(Random& random, std::size_t least, std::size_t most) {
  std::vector<TokenId> tokens(least + below(random, most - least + 1));
  for (auto& token : tokens) token = token_id(random);
  return tokens;
}

std::vector<BlockId> block_ids(Random& random, std::size_t most) {
  std::vector<BlockId> blocks(below(random, most + 1));
  for (auto& block : blocks) block = BlockId(static_cast<std::uint32_t>(random()));
  return blocks;
}

step::OutputSelector selector(Random& random) { return static_cast<step::OutputSelector>(below(random, 8)); }

step::SamplingParams sampling_params(Random& random) {
  step::SamplingParams params;
  if (maybe(random)) return params;
  params.temperature = between(random, 0.0F, 2.0F);
  params.top_k = static_cast<std::int32_t>(below(random, 100)) - 1;
  params.top_p = between(random, 0.0F, 1.0F);
  params.min_p = between(random, 0.0F, 1.0F);
  params.repetition_penalty = between(random, 0.5F, 2.0F);
  params.presence_penalty = between(random, -2.0F, 2.0F);
  params.frequency_penalty = between(random, -2.0F, 2.0F);
  params.seed = random();
  params.choice = static_cast<std::uint32_t>(below(random, 8));
  for (std::size_t left = below(random, 5); left > 0; --left)
    params.logit_bias.emplace_back(token_id(random), between(random, -100.0F, 100.0F));
  params.stop_token_ids = token_ids(random, 0, 4);
  params.ignore_eos = maybe(random);
  params.min_tokens = static_cast<std::uint32_t>(below(random, 100));
  params.logprobs = static_cast<std::int32_t>(below(random, 22)) - 1;
  return params;
}

step::SampledToken sampled(Random& random, SequenceId sequence) {
  step::SampledToken token;
  token.sequence = sequence;
  token.output_index = static_cast<std::uint32_t>(below(random, 4096));
  token.token = token_id(random);
  token.logprob = between(random, -20.0F, 0.0F);
  for (std::size_t left = below(random, 4); left > 0; --left)
    token.top.push_back({token_id(random), between(random, -20.0F, 0.0F)});
  token.logits_hash = random();
  token.finite = below(random, 8) != 0;
  return token;
}

step::OutputRows rows(Random& random, SequenceId sequence) {
  step::OutputRows rows;
  rows.sequence = sequence;
  rows.position = static_cast<std::uint32_t>(below(random, 1000));
  rows.rows = static_cast<std::uint32_t>(below(random, 4));
  rows.layers = 1 + static_cast<std::uint32_t>(below(random, 3));
  rows.width = static_cast<std::uint32_t>(below(random, 8));
  rows.values.resize(std::size_t{rows.rows} * rows.layers * rows.width);
  for (auto& value : rows.values) value = between(random, -4.0F, 4.0F);
  return rows;
}

step::PromptLogprobs prompt_logprobs(Random& random, SequenceId sequence) {
  step::PromptLogprobs run{sequence, 1 + static_cast<std::uint32_t>(below(random, 1000)), {}};
  for (std::size_t left = below(random, 5); left > 0; --left) {
    step::PromptLogprob& entry = run.tokens.emplace_back();
    entry = {token_id(random), between(random, -20.0F, 0.0F), {}};
    for (std::size_t others = below(random, 4); others > 0; --others)
      entry.top.push_back({token_id(random), between(random, -20.0F, 0.0F)});
  }
  return run;
}

// Rising; of those in steps, where that is told.
std::vector<step::AttemptKey> attempts_at_work(Random& random, const std::optional<std::vector<routing::AttemptInStep>>& in_step) {
  std::vector<step::AttemptKey> attempts;
  if (in_step) {
    for (const routing::AttemptInStep& one : *in_step) {
      if (maybe(random)) attempts.push_back(one.attempt);
    }
  } else {
    for (std::size_t left = below(random, 3); left > 0; --left) attempts.push_back(random_attempt(random));
  }
  std::ranges::sort(attempts);
  attempts.erase(std::ranges::unique(attempts).begin(), attempts.end());
  return attempts;
}

}  // namespace

step::Submission random_submission(Random& random) {
  step::Submission submission;
  submission.gateway = GatewayId(random());
  submission.sequence = SequenceId(random());
  submission.attempt = static_cast<std::uint32_t>(below(random, 4));
  submission.tokens = token_ids(random, 1, 40);
  submission.prompt_tokens = 1 + static_cast<std::uint32_t>(below(random, submission.tokens.size()));
  submission.max_tokens = static_cast<std::uint32_t>(below(random, 1000));
  submission.sampling = sampling_params(random);
  submission.eos_ids = token_ids(random, 0, 3);
  submission.priority = static_cast<std::int32_t>(random());
  submission.cache_salt = random();
  submission.output = selector(random);
  submission.alone_until = static_cast<std::uint32_t>(below(random, 100));
  if (maybe(random))
    submission.source = {ReplicaId(number(random)), Epoch(1 + random() / 2), letters(random, 1, kSourceAddressBytesMax, 'a'),
                         1 + static_cast<std::uint32_t>(below(random, kSequenceTokensMax))};
  return submission;
}

std::vector<step::TokenDelta> random_deltas(Random& random) {
  std::vector<step::TokenDelta> deltas(below(random, 6));
  for (auto& delta : deltas) {
    delta.gateway = GatewayId(random());
    delta.sequence = SequenceId(random());
    delta.attempt = static_cast<std::uint32_t>(below(random, 4));
    delta.finish = static_cast<step::FinishReason>(below(random, 6));
    const bool ran = delta.finish != step::FinishReason::kRefused;
    delta.has_token = ran && maybe(random);
    if (delta.has_token) delta.token = sampled(random, delta.sequence);
    for (std::size_t left = ran ? below(random, 3) : 0; left > 0; --left)
      delta.outputs.push_back(rows(random, delta.sequence));
    for (std::size_t left = ran ? below(random, 3) : 0; left > 0; --left)
      delta.prompt_logprobs.push_back(prompt_logprobs(random, delta.sequence));
    if (delta.finish != step::FinishReason::kNone) delta.error = status(random);
    delta.cached_tokens = static_cast<std::uint32_t>(below(random, 1000));
    delta.queued_s = between(random, 0.0F, 30.0F);
    delta.prefill_s = between(random, 0.0F, 3.0F);
    delta.preemptions = static_cast<std::uint32_t>(below(random, 5));
  }
  return deltas;
}

step::StepPlan random_plan(Random& random) {
  step::StepPlan plan;
  plan.epoch = Epoch(random());
  plan.step = StepId(1 + below(random, 1'000'000));
  std::uint64_t next_sequence = random() >> 8;  // rising, so that each comes once
  for (std::size_t left = below(random, 4); left > 0; --left) plan.released.push_back(SequenceId(random()));
  for (std::size_t left = below(random, 4); left > 0; --left) {
    step::SequenceStart start;
    start.sequence = SequenceId(next_sequence++);
    start.tokens = token_ids(random, 1, 40);
    start.prompt_tokens = static_cast<std::uint32_t>(below(random, start.tokens.size() + 1));
    start.sampling = sampling_params(random);
    start.stop_ids = token_ids(random, 0, 4);
    start.adapter_slot = static_cast<std::uint32_t>(below(random, 4));
    start.output = selector(random);
    start.prefix_blocks = block_ids(random, 5);
    plan.started.push_back(std::move(start));
  }
  for (std::size_t left = below(random, 6); left > 0; --left) {
    step::SequenceSlice slice;
    slice.sequence = SequenceId(next_sequence++);
    slice.position = static_cast<std::uint32_t>(below(random, 100'000));
    slice.rows = 1 + static_cast<std::uint32_t>(below(random, 512));
    slice.new_blocks = block_ids(random, 5);
    slice.sample = maybe(random);
    slice.output_index = static_cast<std::uint32_t>(below(random, 4096));
    plan.slices.push_back(std::move(slice));
  }
  for (auto* const copies : {&plan.reads, &plan.writes}) {
    const TransferId transfer(random());
    for (std::uint32_t left = static_cast<std::uint32_t>(below(random, 4)); left > 0; --left)
      copies->push_back({transfer, left * 100, BlockId(number(random))});
  }
  for (std::size_t left = below(random, 3); left > 0; --left) plan.forgotten.push_back(TransferId(random()));
  return plan;
}

step::StepResult random_result(Random& random) {
  step::StepResult result;
  result.epoch = Epoch(random());
  result.step = StepId(1 + below(random, 1'000'000));
  result.rank = static_cast<std::uint32_t>(below(random, 8));
  result.status = maybe(random) ? Status{} : status(random);
  std::uint64_t next_sequence = random() >> 8;
  if (result.status.ok()) {
    for (std::size_t left = below(random, 6); left > 0; --left)
      result.sampled.push_back(sampled(random, SequenceId(next_sequence++)));
    for (std::size_t left = below(random, 3); left > 0; --left)
      result.outputs.push_back(rows(random, SequenceId(next_sequence++)));
    for (std::size_t left = below(random, 3); left > 0; --left)
      result.prompt_logprobs.push_back(prompt_logprobs(random, SequenceId(next_sequence++)));
    for (std::size_t left = below(random, 3); left > 0; --left)
      result.failed.push_back({SequenceId(next_sequence++), {StatusCode::kInternal, std::string(below(random, 100), 'x')}});
    for (std::uint32_t left = static_cast<std::uint32_t>(below(random, 3)); left > 0; --left)
      result.damaged.push_back({TransferId(random()), left});
    result.blocks_written = static_cast<std::uint32_t>(result.damaged.size() + below(random, 9));
  }
  result.token_hash = random();
  result.stats = {static_cast<std::uint32_t>(below(random, 4096)), static_cast<std::uint32_t>(below(random, 64)),
                  static_cast<double>(below(random, 1'000'000)) * 1e-6, random(), 0};
  result.stats.prefill_rows = static_cast<std::uint32_t>(below(random, result.stats.rows + 1));
  return result;
}

step::BlockPart random_block_part(Random& random) {
  step::BlockPart part{TransferId(random()), static_cast<std::uint32_t>(below(random, 4096)),
                       static_cast<std::uint32_t>(below(random, 8)), number(random), 0, below(random, 5000), {}};
  for (std::size_t left = 1 + below(random, 50); left > 0; --left) part.bytes.push_back(static_cast<std::byte>(below(random, 256)));
  part.bytes_total = part.offset + part.bytes.size() + below(random, 5000);
  return part;
}

step::AttemptKey random_attempt(Random& random) {
  return {GatewayId(random()), SequenceId(random()), static_cast<std::uint32_t>(below(random, 4))};
}

handshake::Hello random_hello(Random& random) {
  const auto text = [&](std::size_t least, char letter) { return std::string(least + below(random, 257 - least), letter); };
  handshake::Hello hello;
  hello.cluster = text(1, 'c');
  hello.role = static_cast<handshake::Role>(below(random, 5));
  hello.node = text(1, 'n');
  hello.incarnation = 1 + random() / 2;
  hello.protocol_min = 1 + static_cast<std::uint32_t>(below(random, 9));
  hello.protocol_max = hello.protocol_min + static_cast<std::uint32_t>(below(random, 9));
  hello.build_id = text(0, 'b');
  if (hello.role == handshake::Role::kRank || maybe(random)) hello.model = text(1, 'm');
  hello.text_digest = text(0, 't');
  hello.config_digest = text(0, 'd');
  return hello;
}

handshake::Ping random_ping(Random&) { return {}; }

handshake::Goodbye random_goodbye(Random& random) {
  return {Status(static_cast<StatusCode>(1 + below(random, 6)), std::string(below(random, kGoodbyeBytesMax + 1), 'g'))};
}

routing::GatewayJoin random_join(Random& random) { return {GatewayId(random()), Epoch(random()), random()}; }

routing::ReplicaView random_replica(Random& random, ReplicaId id) {
  routing::ReplicaView replica;
  replica.route = {{id, Epoch(random())}, letters(random, 0, 256, 'a'), letters(random, 0, 256, 'n')};
  replica.state = static_cast<routing::ReplicaState>(below(random, 4));
  replica.returns = maybe(random);
  replica.sequences_max = 1 + static_cast<std::uint32_t>(below(random, 1000));
  replica.max_model_len = static_cast<std::int64_t>(below(random, (1U << 20) + 1));
  return replica;
}

routing::ClusterView random_view(Random& random) {
  routing::ClusterView view{Epoch(random()), random(), {}};
  std::uint32_t id = 0;
  for (std::size_t left = below(random, 6); left > 0; --left) {
    id += 1 + static_cast<std::uint32_t>(below(random, 1000));
    view.replicas.push_back(random_replica(random, ReplicaId(id)));
  }
  return view;
}

routing::ReplicaLoss random_loss(Random& random) {
  routing::ReplicaLoss loss;
  loss.replica = {ReplicaId(static_cast<std::uint32_t>(random())), Epoch(random())};
  loss.cause = static_cast<routing::LossCause>(below(random, 5));
  loss.why = {StatusCode::kAborted, std::string(below(random, 100), 'x')};
  if (maybe(random)) {
    loss.in_step.emplace();
    for (std::size_t left = below(random, 6); left > 0; --left) loss.in_step->push_back({random_attempt(random), static_cast<std::uint32_t>(random())});
  }
  for (std::uint32_t rank = 0; rank < 8; ++rank) {
    if (maybe(random)) loss.blamed.push_back(rank);
  }
  if (loss.cause == routing::LossCause::kDiedOfItself) loss.at_work = attempts_at_work(random, loss.in_step);
  return loss;
}

routing::QuotaDemand random_quota_demand(Random& random) {
  routing::QuotaDemand demand{1 + (random() >> 1), 0.001 + static_cast<double>(below(random, 3'599'000)) * 1e-3, 1 + number(random) / 2, {}};
  const auto bucket = [&] { return routing::BucketDemand{seconds(random), seconds(random) - seconds(random)}; };
  std::uint64_t tenant = random() >> 1;
  for (std::size_t left = below(random, 6); left > 0; --left)
    demand.tenants.push_back({.tenant = tenant += 1 + below(random, 1000),
                              .weight = 0.001 + seconds(random),
                              .requests = bucket(),
                              .prompt_tokens = bucket(),
                              .output_tokens = bucket(),
                              .in_flight = number(random),
                              .in_flight_refused = number(random),
                              .in_flight_max = number(random),
                              .sequences = number(random)});
  return demand;
}

routing::QuotaShares random_quota_shares(Random& random) {
  const auto share = [&] { return static_cast<double>(below(random, 1001)) / 1000; };
  routing::QuotaShares shares{maybe(random) ? 1 + (random() >> 1) : 0, 1 + number(random) / 2, share(), {}};
  const auto bucket = [&] { return routing::BucketShare{share(), shares.number == 0 ? 0 : seconds(random) - seconds(random)}; };
  std::uint64_t tenant = random() >> 1;
  for (std::size_t left = below(random, 6); left > 0; --left)
    shares.tenants.push_back({.tenant = tenant += 1 + below(random, 1000),
                              .requests = bucket(),
                              .prompt_tokens = bucket(),
                              .output_tokens = bucket(),
                              .in_flight = share(),
                              .weight = share()});
  return shares;
}

placement::RankSpec random_rank_spec(Random& random) {
  placement::RankSpec spec;
  spec.replica = ReplicaId(static_cast<std::uint32_t>(random()));
  spec.ranks = 1U << below(random, 4);
  spec.rank = static_cast<std::uint32_t>(below(random, spec.ranks));
  spec.model.path = std::string(1 + below(random, 4096), 'm');
  spec.model.weight_path = std::string(below(random, 100), 'w');
  spec.model.layers = static_cast<int>(below(random, 65537));
  spec.model.random_weights = maybe(random);
  spec.model.random_seed = random();
  spec.weights = kAllFormats[below(random, std::size(kAllFormats))];
  spec.device.on_gpu = maybe(random);
  if (spec.device.on_gpu) {
    spec.device.gpu = static_cast<std::int32_t>(below(random, 4096));
    spec.device.matmul = static_cast<GpuMatmul>(below(random, 2));
    spec.device.graphs = maybe(random);
  } else {
    spec.device.isa = static_cast<CpuIsa>(below(random, 5));
    spec.device.threads = 1 + static_cast<std::int32_t>(below(random, 4096));
    spec.device.nice = static_cast<std::int32_t>(below(random, 20));
  }
  spec.shape.block_size = 16 << below(random, 6);
  spec.shape.blocks = 1 + static_cast<std::int64_t>(random() % 0xffffffff);
  spec.shape.positions_max = 1 + static_cast<std::int64_t>(below(random, 1U << 20));
  spec.shape.rows_max = 1 + static_cast<std::int64_t>(below(random, 1U << 20));
  spec.shape.sequences_max = 1 + static_cast<std::int64_t>(below(random, 65536));
  spec.shape.step_timeout = std::chrono::milliseconds(1 + random() % 0xffffffff);
  spec.shape.hash_logits = maybe(random);
  return spec;
}

}  // namespace herd::wire
