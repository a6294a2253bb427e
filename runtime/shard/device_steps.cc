#include "runtime/shard/device_steps.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"
#include "kernels/plans/graph_buckets.h"

namespace herd::shard {
namespace {

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

// A step up to its mark: then the results are in `sampled`.
class DeviceStep final : public StepUnderWay {
 public:
  DeviceStep(const RankParts& parts, const SampledRow* sampled)
      : device_(parts.device),
        recorder_(*parts.device.step_recorder()),
        tp_(parts.tp),
        sampled_(sampled),
        mark_(recorder_.mark()) {}

  bool reached() override { return recorder_.reached(mark_) || !tp_.status().ok(); }

  Expected<std::vector<step::SampledToken>> finish(const std::vector<SampleTicket>& tickets) override {
    // First of all the group's: one that was given up ends its ranks' streams too.
    if (Status status = tp_.status(); !status.ok()) return fail(std::move(status));
    if (Status status = device_.status(); !status.ok()) return fail(std::move(status));
    std::vector<step::SampledToken> tokens;
    tokens.reserve(tickets.size());
    for (std::size_t i = 0; i < tickets.size(); ++i) tokens.push_back(sampled_token(tickets[i], sampled_[i]));
    return tokens;
  }

 private:
  Device& device_;
  StepRecorder& recorder_;
  Collective& tp_;
  const SampledRow* const sampled_;
  const std::uint64_t mark_;
};

// One chunk of one sequence, as long as rows, blocks and positions allow, whose last row is sampled with `params`.
StepBatch long_chunk(const ShardConfig& config, std::int64_t positions_max, const step::SamplingParams& params) {
  const std::int64_t rows = std::min({config.rows_max, positions_max, config.blocks * config.block_size});
  StepBatch batch;
  for (std::int64_t row = 0; row < rows; ++row) {
    batch.token_ids.push_back(0);
    batch.positions.push_back(static_cast<std::int32_t>(row));
    batch.slots.push_back(row);
  }
  batch.query_begin = {0, static_cast<std::int32_t>(rows)};
  batch.context_length = {static_cast<std::int32_t>(rows)};
  for (std::int64_t block = 0; block * config.block_size < rows; ++block)
    batch.block_tables.push_back(static_cast<std::uint32_t>(block));
  batch.block_table_begin = {0, static_cast<std::int32_t>(batch.block_tables.size())};
  batch.samples.push_back({{}, 0, &params, nullptr, nullptr});
  batch.sample_row.push_back(static_cast<std::int32_t>(rows - 1));
  return batch;
}

}  // namespace

DeviceSteps::DeviceSteps(const RankParts& parts)
    : parts_(parts),
      recorder_(*parts.device.step_recorder()),
      row_sampler_(*parts.device.row_sampler()),
      sequences_max_(parts.config.sequences_max > 0 ? parts.config.sequences_max : parts.config.rows_max),
      buckets_(cuda::graph_buckets(std::min({parts.config.logit_rows_max, parts.config.rows_max, sequences_max_}))) {}

Expected<std::unique_ptr<StepRunner>> DeviceSteps::make(const RankParts& parts) {
  HERD_CHECK(parts.device.step_recorder() != nullptr && parts.device.row_sampler() != nullptr &&
                 parts.device.staging() != nullptr,
             "a device that computes while the host goes on samples for itself");
  std::unique_ptr<DeviceSteps> steps(new DeviceSteps(parts));
  if (Status status = steps->allocate(); !status.ok()) return fail(std::move(status));
  return steps;
}

Status DeviceSteps::allocate() {
  const ShardConfig& config = parts_.config;
  const std::int64_t table = (parts_.positions_max + config.block_size - 1) / config.block_size;
  if (Status status = recorder_.reserve({config.rows_max, config.plan.heads.size(), config.model.head_dim}); !status.ok())
    return status;
  auto inputs = StepInputs::make(parts_.device, {config.rows_max, sequences_max_, sequences_max_ * table});
  if (!inputs) return inputs.error();
  inputs_ = std::move(*inputs);
  auto sampling =
      DeviceSampling::make(parts_.device, parts_.llama,
                           {config.logit_rows_max, sequences_max_, config.model.vocab_size, config.hash_logits});
  if (!sampling) return sampling.error();
  sampling_ = std::move(*sampling);
  auto logits = make_device_logit_rows(parts_);
  if (!logits) return logits.error();
  auto outputs = OutputCollector::make(parts_, std::move(*logits));
  if (!outputs) return outputs.error();
  outputs_ = std::move(*outputs);
  return {};
}

Status DeviceSteps::warm_up() {
  StepBatch nothing;
  nothing.query_begin.assign(1, 0);
  nothing.block_table_begin.assign(1, 0);
  for (int time = 0; time < 2; ++time) {  // a device may record a step when it meets it again
    for (const std::int64_t rows : buckets_) {
      sampling_->describe(nothing, 0);
      run_bucket(nothing, rows);
    }
  }
  const step::SamplingParams greedy;
  const StepBatch chunk = long_chunk(parts_.config, parts_.positions_max, greedy);
  forward(chunk, false);
  sample(chunk);
  (void)sampling_->read_back(1);
  if (Status status = parts_.device.wait(); !status.ok()) return status;
  return parts_.tp.status();
}

Expected<std::unique_ptr<StepUnderWay>> DeviceSteps::start(const StepBatch& batch, step::StepResult& result) {
  if (Status status = inputs_->check(batch); !status.ok()) return fail(std::move(status));
  if (!forward(batch, batch.outputs.empty())) {
    // A group that was given up skips layers: there is nothing to collect.
    if (Status status = parts_.tp.status(); !status.ok()) return fail(std::move(status));
    outputs_->collect(batch, result);
    sample(batch);
  }
  const SampledRow* const sampled = sampling_->read_back(batch.samples.size());
  return std::make_unique<DeviceStep>(parts_, sampled);
}

// The bucket of a batch that can be recorded: one row a sequence, each sampled, all at once; else 0.
std::int64_t DeviceSteps::bucket_of(const StepBatch& batch) const {
  const std::size_t rows = batch.token_ids.size();
  if (rows != batch.context_length.size() || rows != batch.samples.size()) return 0;
  return cuda::bucket_for(buckets_, static_cast<std::int64_t>(rows));
}

// The batch and the rows described last, both filled up to `rows`.
void DeviceSteps::run_bucket(const StepBatch& batch, std::int64_t rows) {
  sampling_->upload(rows);
  const model::StepRows placed = inputs_->place(batch, rows, parts_.llama.group_max());
  recorder_.run_step(static_cast<std::uint64_t>(rows), [&] {
    row_sampler_.resolve_tokens(inputs_->token_ids(), placed.rows, sampling_->results());
    parts_.llama.forward(placed, parts_.kv, {});
    sampling_->sample(inputs_->sample_rows(), placed.rows, 0);
  });
}

bool DeviceSteps::forward(const StepBatch& batch, bool whole) {
  if (const std::int64_t bucket = whole ? bucket_of(batch) : 0;
      bucket > 0 && sampling_->describe(batch, 0) == batch.samples.size()) {
    run_bucket(batch, bucket);
    return true;
  }
  const auto on_layer = outputs_->layer_capture(batch);
  const model::StepRows placed = inputs_->place(batch, 0, parts_.llama.group_max());
  recorder_.run_step(0, [&] {
    row_sampler_.resolve_tokens(inputs_->token_ids(), placed.rows, sampling_->results());
    parts_.llama.forward(placed, parts_.kv, on_layer);
  });
  return false;
}

void DeviceSteps::sample(const StepBatch& batch) {
  for (std::size_t begin = 0; begin < batch.samples.size();) {
    const auto count = static_cast<std::int64_t>(sampling_->describe(batch, begin));
    sampling_->upload(count);
    sampling_->sample(inputs_->sample_rows() + begin, count, begin);
    begin += static_cast<std::size_t>(count);
  }
}

}  // namespace herd::shard
