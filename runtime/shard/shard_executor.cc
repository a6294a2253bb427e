#include "runtime/shard/shard_executor.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <numeric>
#include <span>

namespace herd::shard {
namespace {

using scheduler::OutputSelector;

// Rows of an act view, as floats.
void append_rows(const TensorView& view, std::int64_t row_begin, std::int64_t rows, std::vector<float>& out) {
  for (std::int64_t row = row_begin; row < row_begin + rows; ++row) {
    for (std::int64_t col = 0; col < view.cols; ++col) {
      const std::int64_t index = row * view.row_stride + col;
      out.push_back(view.dtype == DType::kF32 ? static_cast<const float*>(view.data)[index]
                                              : to_float(static_cast<const BFloat16*>(view.data)[index]));
    }
  }
}

// FNV-1a over (sequence, token): equal on every rank of a replica.
std::uint64_t hash_tokens(const std::vector<scheduler::SampledToken>& sampled) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  auto add = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3ULL; };
  for (const scheduler::SampledToken& token : sampled) {
    add(token.sequence.value);
    add(static_cast<std::uint64_t>(static_cast<std::uint32_t>(token.token)) << 1 | (token.finite ? 1U : 0U));
  }
  return hash;
}

}  // namespace

ShardExecutor::ShardExecutor(const ShardConfig& config, std::int64_t positions_max, std::unique_ptr<Device> device,
                             std::shared_ptr<Collective> collective)
    : config_(config),
      device_(std::move(device)),
      collective_(std::move(collective)),
      sequences_({config.model.vocab_size, config.block_size, config.blocks, config.rows_max, positions_max}) {}

Expected<std::unique_ptr<ShardExecutor>> ShardExecutor::make(const ShardConfig& config,
                                                             std::shared_ptr<const model::LlamaWeights> weights,
                                                             std::shared_ptr<const model::RopeTable> rope,
                                                             std::unique_ptr<Device> device,
                                                             std::shared_ptr<Collective> collective) {
  std::unique_ptr<ShardExecutor> executor(
      new ShardExecutor(config, rope->positions, std::move(device), std::move(collective)));
  const KvLayout layout{config.encoding.activations(), config.block_size, config.plan.kv_heads.size(),
                        config.model.head_dim};
  auto kv = kv::KvStorage::make(*executor->device_, layout, config.model.layers, config.blocks);
  if (!kv) return fail(kv.error());
  executor->kv_ = std::move(*kv);
  auto llama = model::Llama::make(config.model, config.plan, std::move(weights), std::move(rope), config.encoding,
                                  *executor->device_, *executor->collective_, config.rows_max, config.logit_rows_max);
  if (!llama) return fail(llama.error());
  executor->llama_ = std::move(*llama);
  executor->sampler_ = std::make_unique<sampling::Sampler>(config.plan, config.model.vocab_size, *executor->device_,
                                                           *executor->collective_, config.hash_logits);
  return executor;
}

scheduler::StepResult ShardExecutor::execute(const scheduler::StepPlan& plan) {
  const auto begin = std::chrono::steady_clock::now();
  scheduler::StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  result.rank = static_cast<std::uint32_t>(config_.plan.rank);
  result.status = run(plan, result);
  result.token_hash = hash_tokens(result.sampled);
  if (!result.status.ok() || config_.plan.rank != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
  }
  result.stats.rows = static_cast<std::uint32_t>(batch_.token_ids.size());
  result.stats.sequences = static_cast<std::uint32_t>(plan.slices.size());
  for (const std::int32_t length : batch_.context_length)
    result.stats.context_tokens += static_cast<std::uint64_t>(length);
  result.stats.prefill_rows = batch_.prefill_rows;
  result.stats.compute_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

Status ShardExecutor::run(const scheduler::StepPlan& plan, scheduler::StepResult& result) {
  if (Status status = sequences_.apply(plan, batch_); !status.ok()) return status;
  if (batch_.token_ids.empty()) return {};

  model::StepRows rows;
  rows.rows = static_cast<std::int64_t>(batch_.token_ids.size());
  rows.token_ids = batch_.token_ids.data();
  rows.positions = batch_.positions.data();
  rows.slots = batch_.slots.data();
  rows.attention.sequences = static_cast<std::int32_t>(batch_.context_length.size());
  rows.attention.query_begin = batch_.query_begin.data();
  rows.attention.context_length = batch_.context_length.data();
  rows.attention.block_tables = batch_.block_tables.data();
  rows.attention.block_table_begin = batch_.block_table_begin.data();

  const bool all_layers = std::any_of(batch_.outputs.begin(), batch_.outputs.end(), [](const auto& output) {
    return output.selector == OutputSelector::kHiddenAllLayers;
  });
  std::function<void(int)> on_layer;
  if (all_layers) on_layer = [this](int state) { capture_layer(state); };
  llama_->forward(rows, *kv_, on_layer);
  collect_outputs(result);

  for (std::size_t begin = 0; begin < batch_.samples.size(); begin += static_cast<std::size_t>(config_.logit_rows_max)) {
    const std::size_t count = std::min(batch_.samples.size() - begin, static_cast<std::size_t>(config_.logit_rows_max));
    llama_->logits(batch_.sample_row.data() + begin, static_cast<std::int64_t>(count));
    if (Status status = device_->wait(); !status.ok()) return status;
    const auto first = batch_.samples.begin() + static_cast<std::ptrdiff_t>(begin);
    auto sampled = sampler_->sample(llama_->logits(), {first, first + static_cast<std::ptrdiff_t>(count)});
    std::move(sampled.begin(), sampled.end(), std::back_inserter(result.sampled));
  }
  if (Status status = device_->wait(); !status.ok()) return status;
  if (Status status = collective_->status(); !status.ok()) return status;
  sequences_.on_sampled(result.sampled);
  return {};
}

void ShardExecutor::capture_layer(int state) {
  if (state == 0) layer_states_.assign(static_cast<std::size_t>(config_.model.layers) + 1, {});
  (void)device_->wait();
  append_rows(llama_->hidden(), 0, llama_->hidden().rows, layer_states_[static_cast<std::size_t>(state)]);
}

// Rows that an OutputSelector asked for. Every rank walks the same list (gathering logits is collective).
void ShardExecutor::collect_outputs(scheduler::StepResult& result) {
  for (const StepBatch::Output& wanted : batch_.outputs) {
    if (wanted.selector == OutputSelector::kPromptLogprobs) {
      collect_prompt_logprobs(wanted, result);
    } else {
      collect_rows(wanted, result);
    }
  }
}

void ShardExecutor::collect_prompt_logprobs(const StepBatch::Output& wanted, scheduler::StepResult& result) {
  scheduler::PromptLogprobs run;
  run.sequence = wanted.sequence;
  run.position = wanted.position + 1;
  logits_in_pieces(wanted.row_begin, wanted.rows, [&](std::int64_t done, std::int64_t count) {
    const std::span targets(wanted.targets.data() + done, static_cast<std::size_t>(count));
    auto scored = sampler_->score(llama_->logits(), targets, wanted.top);
    std::move(scored.begin(), scored.end(), std::back_inserter(run.tokens));
  });
  result.prompt_logprobs.push_back(std::move(run));
}

void ShardExecutor::collect_rows(const StepBatch::Output& wanted, scheduler::StepResult& result) {
  const OutputSelector selector = wanted.selector;
  const bool last_only = selector == OutputSelector::kLogitsLast || selector == OutputSelector::kHiddenLast;
  scheduler::OutputRows out;
  out.sequence = wanted.sequence;
  out.rows = last_only ? 1U : static_cast<std::uint32_t>(wanted.rows);
  out.position = wanted.position + (last_only ? static_cast<std::uint32_t>(wanted.rows) - 1U : 0U);
  const std::int32_t row_begin = wanted.row_begin + (last_only ? wanted.rows - 1 : 0);
  const auto hidden = static_cast<std::size_t>(config_.model.hidden_size);
  out.width = static_cast<std::uint32_t>(hidden);
  if (selector == OutputSelector::kHiddenLast || selector == OutputSelector::kHiddenAll) {
    (void)device_->wait();
    append_rows(llama_->hidden(), row_begin, out.rows, out.values);
  } else if (selector == OutputSelector::kHiddenAllLayers) {
    out.layers = static_cast<std::uint32_t>(config_.model.layers) + 1;
    for (int layer = 0; layer < config_.model.layers; ++layer) {
      const auto& state = layer_states_[static_cast<std::size_t>(layer)];
      const auto first = state.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row_begin) * hidden);
      out.values.insert(out.values.end(), first, first + static_cast<std::ptrdiff_t>(out.rows * hidden));
    }
  }
  if (selector == OutputSelector::kLogitsLast || selector == OutputSelector::kLogitsAll) {
    out.width = static_cast<std::uint32_t>(config_.model.vocab_size);
    logits_in_pieces(row_begin, out.rows, [&](std::int64_t, std::int64_t) {
      const std::vector<float> values = sampler_->gather_rows(llama_->logits());
      out.values.insert(out.values.end(), values.begin(), values.end());
    });
  } else if (selector == OutputSelector::kHiddenAllNormalized || selector == OutputSelector::kHiddenAllLayers) {
    logits_in_pieces(row_begin, out.rows, [&](std::int64_t, std::int64_t count) {
      append_rows(llama_->normalized(), 0, count, out.values);
    });
  }
  result.outputs.push_back(std::move(out));
}

// Final norm and head over rows of the step, logit_rows_max at a time; take(rows done before, rows) reads the result.
template <class Take>
void ShardExecutor::logits_in_pieces(std::int32_t row_begin, std::int64_t rows, const Take& take) {
  std::vector<std::int32_t> piece;
  for (std::int64_t done = 0; done < rows; done += config_.logit_rows_max) {
    piece.resize(static_cast<std::size_t>(std::min<std::int64_t>(rows - done, config_.logit_rows_max)));
    std::iota(piece.begin(), piece.end(), row_begin + static_cast<std::int32_t>(done));
    llama_->logits(piece.data(), static_cast<std::int64_t>(piece.size()));
    (void)device_->wait();
    take(done, static_cast<std::int64_t>(piece.size()));
  }
}

}  // namespace herd::shard
