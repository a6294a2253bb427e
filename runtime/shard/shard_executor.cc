#include "runtime/shard/shard_executor.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <numeric>
#include <span>
#include <thread>

#include "kernels/check.h"
#include "kernels/local_collective.h"
#include "runtime/model/shard_plan.h"

namespace herd::shard {
namespace {

using step::OutputSelector;

// Rows of an act view, as floats. Waits for the device.
void append_rows(Device& device, const TensorView& view, std::int64_t row_begin, std::int64_t rows,
                 std::vector<float>& out) {
  const std::size_t row_bytes = static_cast<std::size_t>(view.row_stride) * dtype_bytes(view.dtype);
  std::vector<std::byte> copy(static_cast<std::size_t>(rows) * row_bytes);
  device.download(copy.data(), static_cast<const std::byte*>(view.data) + static_cast<std::size_t>(row_begin) * row_bytes,
                  copy.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::byte* values = copy.data() + static_cast<std::size_t>(row) * row_bytes;
    for (std::int64_t col = 0; col < view.cols; ++col) {
      out.push_back(view.dtype == DType::kF32 ? reinterpret_cast<const float*>(values)[col]
                                              : to_float(reinterpret_cast<const BFloat16*>(values)[col]));
    }
  }
}

// FNV-1a over (sequence, token): equal on every rank of a replica.
std::uint64_t hash_tokens(const std::vector<step::SampledToken>& sampled) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  auto add = [&hash](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3ULL; };
  for (const step::SampledToken& token : sampled) {
    add(token.sequence.value);
    add(static_cast<std::uint64_t>(static_cast<std::uint32_t>(token.token)) << 1 | (token.finite ? 1U : 0U));
  }
  return hash;
}

// How often a step under way is looked at (Linux makes it 55 us or so). The step behind it is on the device already, so
// a late look delays its tokens a little and the device not at all; spinning would take a core from other work.
constexpr std::chrono::microseconds kPollEvery{5};

step::SampledToken sampled_token(const SampleTicket& ticket, const SampledRow& row) {
  step::SampledToken token;
  token.sequence = ticket.sequence;
  token.output_index = ticket.output_index;
  token.token = row.token;
  token.logprob = row.logprob;
  for (std::int32_t i = 0; i < row.top_count; ++i) token.top.push_back({row.top[i].id, row.top[i].logprob});
  token.logits_hash = row.logits_hash;
  token.finite = row.finite != 0;
  return token;
}

}  // namespace

ShardExecutor::ShardExecutor(const ShardConfig& config, std::shared_ptr<const model::LlamaWeights> weights,
                             std::shared_ptr<const model::RopeTable> rope, std::unique_ptr<Device> device,
                             std::shared_ptr<Collective> collective)
    : config_(config),
      weights_(std::move(weights)),
      rope_(std::move(rope)),
      device_(std::move(device)),
      collective_(std::move(collective)),
      positions_max_(rope_->positions),
      sequences_({config.model.vocab_size, config.block_size, config.blocks, config.rows_max, positions_max_}) {}

ShardExecutor::~ShardExecutor() {
  // An aborted group's steps may never end; what they still hold is freed when the device lets go of it.
  if (!under_way_.empty() && collective_->status().ok()) (void)device_->wait();
}

Status ShardExecutor::prepare() {
  const KvLayout layout{config_.encoding.activations(), config_.block_size, config_.plan.kv_heads.size(),
                        config_.model.head_dim};
  auto kv = kv::KvStorage::make(*device_, layout, config_.model.layers, config_.blocks);
  if (!kv) return kv.error();
  kv_ = std::move(*kv);
  auto llama = model::Llama::make({config_.model, config_.plan, config_.encoding, weights_, rope_, config_.rows_max,
                                   config_.logit_rows_max},
                                  *device_, *collective_);
  if (!llama) return llama.error();
  llama_ = std::move(*llama);
  if (Status status = make_sampler(); !status.ok()) return status;
  return steps_ == nullptr ? Status() : warm_up();
}

Status ShardExecutor::make_sampler() {
  auto indices = allocate_staged(*device_, static_cast<std::size_t>(config_.logit_rows_max) * sizeof(std::int32_t),
                                 "step inputs");
  if (!indices) return indices.error();
  row_indices_ = std::move(*indices);
  if (device_->host_memory()) {
    sampler_ = std::make_unique<sampling::Sampler>(config_.plan, config_.model.vocab_size, *device_, *collective_,
                                                   config_.hash_logits);
    return {};
  }
  const std::int64_t sequences = config_.sequences_max > 0 ? config_.sequences_max : config_.rows_max;
  const std::int64_t table = (positions_max_ + config_.block_size - 1) / config_.block_size;
  DeviceStepLimits limits;
  limits.inputs = {config_.rows_max, sequences, sequences * table};
  limits.logit_rows = config_.logit_rows_max;
  limits.vocab_size = config_.model.vocab_size;
  limits.group_max = llama_->group_max();
  limits.hash_logits = config_.hash_logits;
  if (Status status = device_->step_recorder()->reserve({config_.rows_max, config_.plan.heads.size(), config_.model.head_dim});
      !status.ok())
    return status;
  auto steps = DeviceSteps::make(*device_, *llama_, limits);
  if (!steps) return steps.error();
  steps_ = std::move(*steps);

  auto cpu = make_cpu_device({CpuIsa::kAuto, 1});
  if (!cpu) return cpu.error();
  sampler_device_ = std::move(*cpu);
  sampler_group_ = std::move(make_local_group(1).front());
  const auto whole = model::plan_shard(config_.model, 1, 0);
  if (!whole) return whole.error();
  sampler_ = std::make_unique<sampling::Sampler>(*whole, config_.model.vocab_size, *sampler_device_, *sampler_group_,
                                                 config_.hash_logits);
  return {};
}

step::StepResult ShardExecutor::execute(const step::StepPlan& plan) {
  submit(plan);
  return collect();
}

void ShardExecutor::submit(const step::StepPlan& plan) {
  // Penalties count tokens that may not be here yet.
  while (!under_way_.empty() && sequences_.needs_pending(plan)) {
    finish(under_way_.front());
    done_.push_back(std::move(under_way_.front().result));
    under_way_.pop_front();
  }
  Step step;
  step.begin = std::chrono::steady_clock::now();
  step.result.epoch = plan.epoch;
  step.result.step = plan.step;
  step.result.rank = static_cast<std::uint32_t>(config_.plan.rank);
  step.result.status = start(plan, step);
  step::StepStats& stats = step.result.stats;
  stats.rows = static_cast<std::uint32_t>(batch_.token_ids.size());
  stats.sequences = static_cast<std::uint32_t>(plan.slices.size());
  for (const std::int32_t length : batch_.context_length) stats.context_tokens += static_cast<std::uint64_t>(length);
  stats.prefill_rows = batch_.prefill_rows;
  if (!step.under_way) complete(step);
  under_way_.push_back(std::move(step));
}

bool ShardExecutor::ready(std::chrono::microseconds patience) {
  if (!done_.empty()) return true;
  if (under_way_.empty()) return false;
  if (reached(under_way_.front())) return true;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kPollEvery);
    if (reached(under_way_.front())) return true;
  }
  return false;
}

step::StepResult ShardExecutor::collect() {
  if (!done_.empty()) {
    step::StepResult result = std::move(done_.front());
    done_.pop_front();
    return result;
  }
  HERD_CHECK(!under_way_.empty(), "a step is under way");
  Step step = std::move(under_way_.front());
  under_way_.pop_front();
  finish(step);
  return std::move(step.result);
}

// Done, or given up: an aborted group does not let the device's stream come to the mark.
bool ShardExecutor::reached(const Step& step) {
  return !step.under_way || device_->step_recorder()->reached(step.mark) || !collective_->status().ok();
}

void ShardExecutor::finish(Step& step) {
  while (!reached(step)) std::this_thread::sleep_for(kPollEvery);
  if (!step.under_way) return;
  step.result.status = device_->status();
  if (step.result.status.ok()) step.result.status = collective_->status();
  if (step.result.status.ok()) {
    for (std::size_t i = 0; i < step.tickets.size(); ++i)
      step.result.sampled.push_back(sampled_token(step.tickets[i], step.sampled[i]));
    sequences_.on_sampled(step.tickets, step.result.sampled);
  }
  complete(step);
}

void ShardExecutor::complete(Step& step) {
  step::StepResult& result = step.result;
  result.token_hash = hash_tokens(result.sampled);
  if (!result.status.ok() || config_.plan.rank != 0) {
    result.sampled.clear();
    result.outputs.clear();
    result.prompt_logprobs.clear();
  }
  const auto now = std::chrono::steady_clock::now();
  result.stats.compute_seconds = std::chrono::duration<double>(now - std::max(step.begin, last_done_)).count();
  last_done_ = now;
}

Status ShardExecutor::start(const step::StepPlan& plan, Step& step) {
  if (Status status = sequences_.apply(plan, batch_); !status.ok()) return status;
  if (batch_.token_ids.empty()) return {};
  return steps_ == nullptr ? run_on_host(step) : enqueue(step);
}

Status ShardExecutor::run_on_host(Step& step) {
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
  llama_->forward(rows, *kv_, layer_capture());
  collect_outputs(step.result);

  step::StepResult& result = step.result;
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
  sequences_.on_sampled(sequences_.expect_samples(batch_), result.sampled);
  return {};
}

Status ShardExecutor::enqueue(Step& step) {
  if (Status status = steps_->check(batch_); !status.ok()) return status;
  if (!steps_->forward(batch_, *kv_, batch_.outputs.empty(), layer_capture())) {
    collect_outputs(step.result);
    steps_->sample(batch_);
  }
  step.tickets = sequences_.expect_samples(batch_);
  step.sampled = steps_->read_back(step.tickets.size());
  step.mark = device_->step_recorder()->mark();
  step.under_way = true;
  return {};
}

Status ShardExecutor::warm_up() {
  steps_->warm_up(*kv_);
  // One long chunk of one sequence, as far as blocks and positions go.
  const std::int64_t rows = std::min({config_.rows_max, positions_max_, config_.blocks * config_.block_size});
  StepBatch batch;
  for (std::int64_t row = 0; row < rows; ++row) {
    batch.token_ids.push_back(0);
    batch.positions.push_back(static_cast<std::int32_t>(row));
    batch.slots.push_back(row);
  }
  batch.query_begin = {0, static_cast<std::int32_t>(rows)};
  batch.context_length = {static_cast<std::int32_t>(rows)};
  for (std::int64_t block = 0; block * config_.block_size < rows; ++block)
    batch.block_tables.push_back(static_cast<std::uint32_t>(block));
  batch.block_table_begin = {0, static_cast<std::int32_t>(batch.block_tables.size())};
  const step::SamplingParams greedy;
  batch.samples.push_back({{}, 0, &greedy, nullptr, nullptr});
  batch.sample_row.push_back(static_cast<std::int32_t>(rows - 1));
  steps_->forward(batch, *kv_, false, {});
  steps_->sample(batch);
  (void)steps_->read_back(1);
  if (Status status = device_->wait(); !status.ok()) return status;
  return collective_->status();
}

// What forward() tells of each layer, when a slice asks for all of them.
std::function<void(int)> ShardExecutor::layer_capture() {
  const bool all_layers = std::any_of(batch_.outputs.begin(), batch_.outputs.end(), [](const auto& output) {
    return output.selector == OutputSelector::kHiddenAllLayers;
  });
  if (!all_layers) return {};
  return [this](int state) { capture_layer(state); };
}

void ShardExecutor::capture_layer(int state) {
  if (state == 0) layer_states_.assign(static_cast<std::size_t>(config_.model.layers) + 1, {});
  append_rows(*device_, llama_->hidden(), 0, llama_->hidden().rows, layer_states_[static_cast<std::size_t>(state)]);
}

// Rows that an OutputSelector asked for. Every rank walks the same list (gathering logits is collective).
void ShardExecutor::collect_outputs(step::StepResult& result) {
  for (const StepBatch::Output& wanted : batch_.outputs) {
    if (wanted.selector == OutputSelector::kPromptLogprobs) {
      collect_prompt_logprobs(wanted, result);
    } else {
      collect_rows(wanted, result);
    }
  }
}

void ShardExecutor::collect_prompt_logprobs(const StepBatch::Output& wanted, step::StepResult& result) {
  step::PromptLogprobs run;
  run.sequence = wanted.sequence;
  run.position = wanted.position + 1;
  logits_in_pieces(wanted.row_begin, wanted.rows, [&](std::int64_t done, std::int64_t count) {
    const std::span targets(wanted.targets.data() + done, static_cast<std::size_t>(count));
    auto scored = sampler_->score(logits_on_host(), targets, wanted.top);
    std::move(scored.begin(), scored.end(), std::back_inserter(run.tokens));
  });
  result.prompt_logprobs.push_back(std::move(run));
}

void ShardExecutor::collect_rows(const StepBatch::Output& wanted, step::StepResult& result) {
  const OutputSelector selector = wanted.selector;
  const bool last_only = selector == OutputSelector::kLogitsLast || selector == OutputSelector::kHiddenLast;
  step::OutputRows out;
  out.sequence = wanted.sequence;
  out.rows = last_only ? 1U : static_cast<std::uint32_t>(wanted.rows);
  out.position = wanted.position + (last_only ? static_cast<std::uint32_t>(wanted.rows) - 1U : 0U);
  const std::int32_t row_begin = wanted.row_begin + (last_only ? wanted.rows - 1 : 0);
  const auto hidden = static_cast<std::size_t>(config_.model.hidden_size);
  out.width = static_cast<std::uint32_t>(hidden);
  if (selector == OutputSelector::kHiddenLast || selector == OutputSelector::kHiddenAll) {
    append_rows(*device_, llama_->hidden(), row_begin, out.rows, out.values);
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
      const std::vector<float> values = sampler_->gather_rows(logits_on_host());
      out.values.insert(out.values.end(), values.begin(), values.end());
    });
  } else if (selector == OutputSelector::kHiddenAllNormalized || selector == OutputSelector::kHiddenAllLayers) {
    logits_in_pieces(row_begin, out.rows, [&](std::int64_t, std::int64_t count) {
      append_rows(*device_, llama_->normalized(), 0, count, out.values);
    });
  }
  result.outputs.push_back(std::move(out));
}

// Logits of the rows asked for last, for the sampler: this rank's slice where memory is shared, else whole rows.
TensorView ShardExecutor::logits_on_host() {
  if (steps_ == nullptr) {
    (void)device_->wait();
    return llama_->logits();
  }
  TensorView view = llama_->whole_logits();
  host_logits_.resize(static_cast<std::size_t>(view.rows * view.row_stride));
  device_->download(host_logits_.data(), view.data, host_logits_.size() * sizeof(float));
  view.data = host_logits_.data();
  return view;
}

// Final norm and head over rows of the step, logit_rows_max at a time; take(rows done before, rows) reads the result.
template <class Take>
void ShardExecutor::logits_in_pieces(std::int32_t row_begin, std::int64_t rows, const Take& take) {
  for (std::int64_t done = 0; done < rows; done += config_.logit_rows_max) {
    const std::int64_t count = std::min<std::int64_t>(rows - done, config_.logit_rows_max);
    auto* const piece = static_cast<std::int32_t*>(row_indices_->host());
    std::iota(piece, piece + count, row_begin + static_cast<std::int32_t>(done));
    row_indices_->upload(static_cast<std::size_t>(count) * sizeof(std::int32_t));
    llama_->logits(static_cast<const std::int32_t*>(row_indices_->device()), count);
    take(done, count);
  }
}

}  // namespace herd::shard
