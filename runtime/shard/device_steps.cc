#include "runtime/shard/device_steps.h"

#include <algorithm>
#include <cstring>

#include "kernels/check.h"
#include "kernels/plans/graph_buckets.h"
#include "runtime/model/shard_plan.h"
#include "runtime/sampling/row_params.h"

namespace herd::shard {
namespace {

// Edits of the rows sampled together. A row has at most one for each token of the vocabulary; many rows with many
// edits are sampled in several pieces.
constexpr std::size_t kEditsLeast = 65536;

}  // namespace

DeviceSteps::DeviceSteps(Device& device, model::Llama& llama, const DeviceStepLimits& limits)
    : device_(device),
      llama_(llama),
      limits_(limits),
      buckets_(cuda::graph_buckets(std::min({limits.logit_rows, limits.inputs.rows, limits.inputs.sequences}))),
      edits_max_(std::max(kEditsLeast, static_cast<std::size_t>(limits.vocab_size))) {}

Expected<std::unique_ptr<DeviceSteps>> DeviceSteps::make(Device& device, model::Llama& llama,
                                                         const DeviceStepLimits& limits) {
  std::unique_ptr<DeviceSteps> steps(new DeviceSteps(device, llama, limits));
  auto inputs = StepInputs::make(device, limits.inputs);
  if (!inputs) return fail(inputs.error());
  steps->inputs_ = std::move(*inputs);
  auto sample_inputs = allocate_staged(
      device, static_cast<std::size_t>(limits.logit_rows) * sizeof(SampleRowParams) + steps->edits_max_ * sizeof(LogitEdit),
      "sampling inputs");
  if (!sample_inputs) return fail(sample_inputs.error());
  steps->sample_inputs_ = std::move(*sample_inputs);
  auto results =
      device.staging()->allocate_readback(static_cast<std::size_t>(limits.inputs.sequences) * sizeof(SampledRow),
                                          "step results");
  if (!results) return fail(results.error());
  steps->results_ = std::move(*results);
  return steps;
}

// The bucket of a batch that can be recorded: one row a sequence, each sampled, all at once; else 0.
std::int64_t DeviceSteps::bucket_of(const StepBatch& batch) const {
  const std::size_t rows = batch.token_ids.size();
  if (rows != batch.context_length.size() || rows != batch.samples.size()) return 0;
  return cuda::bucket_for(buckets_, static_cast<std::int64_t>(rows));
}

// params_ and edits_ of the batch's samples from `begin` on: as many as there is room for, their edits included (a single
// row always fits). Returns how many.
std::size_t DeviceSteps::describe_samples(const StepBatch& batch, std::size_t begin) {
  params_.clear();
  edits_.clear();
  for (std::size_t i = begin; i < batch.samples.size() && params_.size() < static_cast<std::size_t>(limits_.logit_rows);
       ++i) {
    const std::size_t edits_before = edits_.size();
    const SampleRowParams params = sampling::row_params(batch.samples[i], limits_.vocab_size, edits_);
    if (edits_.size() > edits_max_ && !params_.empty()) {
      edits_.resize(edits_before);
      break;
    }
    params_.push_back(params);
  }
  HERD_CHECK(edits_.size() <= edits_max_, "a row has at most one edit for each token");
  return params_.size();
}

void DeviceSteps::upload_samples() {
  auto* const host = static_cast<std::byte*>(sample_inputs_->host());
  const std::size_t edits_at = static_cast<std::size_t>(limits_.logit_rows) * sizeof(SampleRowParams);
  std::memcpy(host, params_.data(), params_.size() * sizeof(SampleRowParams));
  if (!edits_.empty()) std::memcpy(host + edits_at, edits_.data(), edits_.size() * sizeof(LogitEdit));
  sample_inputs_->upload(edits_at + edits_.size() * sizeof(LogitEdit));
}

void DeviceSteps::sample_rows(const std::int32_t* rows, std::int64_t count, SampledRow* out) {
  llama_.logits(rows, count);
  SampleBatch samples;
  samples.params = static_cast<const SampleRowParams*>(sample_inputs_->device());
  samples.edits = reinterpret_cast<LogitEdit*>(static_cast<std::byte*>(sample_inputs_->device()) +
                                               static_cast<std::size_t>(limits_.logit_rows) * sizeof(SampleRowParams));
  samples.vocab_size = limits_.vocab_size;
  const auto border = model::leaf_borders(limits_.vocab_size, kPanelOutputs);
  std::copy(border.begin(), border.end(), samples.vocab_leaf);
  samples.hash_logits = limits_.hash_logits;
  samples.out = out;
  device_.row_sampler()->sample_rows(llama_.whole_logits(), samples);
}

// The batch and the rows described last, both filled up to `rows`.
void DeviceSteps::run_bucket(const StepBatch& batch, std::int64_t rows, kv::KvStorage& kv) {
  params_.resize(static_cast<std::size_t>(rows));
  upload_samples();
  const model::StepRows placed = inputs_->place(batch, rows, limits_.group_max);
  device_.step_recorder()->run_step(static_cast<std::uint64_t>(rows), [&] {
    device_.row_sampler()->resolve_tokens(inputs_->token_ids(), placed.rows, sampled());
    llama_.forward(placed, kv, {});
    sample_rows(inputs_->sample_rows(), placed.rows, sampled());
  });
}

bool DeviceSteps::forward(const StepBatch& batch, kv::KvStorage& kv, bool recorded,
                          const std::function<void(int)>& on_layer) {
  if (const std::int64_t bucket = recorded ? bucket_of(batch) : 0;
      bucket > 0 && describe_samples(batch, 0) == batch.samples.size()) {
    run_bucket(batch, bucket, kv);
    return true;
  }
  const model::StepRows placed = inputs_->place(batch, 0, limits_.group_max);
  device_.step_recorder()->run_step(0, [&] {
    device_.row_sampler()->resolve_tokens(inputs_->token_ids(), placed.rows, sampled());
    llama_.forward(placed, kv, on_layer);
  });
  return false;
}

void DeviceSteps::sample(const StepBatch& batch) {
  for (std::size_t begin = 0; begin < batch.samples.size();) {
    const std::size_t count = describe_samples(batch, begin);
    upload_samples();
    sample_rows(inputs_->sample_rows() + begin, static_cast<std::int64_t>(count), sampled() + begin);
    begin += count;
  }
}

const SampledRow* DeviceSteps::read_back(std::size_t samples) {
  return static_cast<const SampledRow*>(results_->read_back(samples * sizeof(SampledRow)));
}

void DeviceSteps::warm_up(kv::KvStorage& kv) {
  StepBatch nothing;
  nothing.query_begin.assign(1, 0);
  nothing.block_table_begin.assign(1, 0);
  for (int time = 0; time < 2; ++time) {  // a device may record a step when it meets it again
    for (const std::int64_t rows : buckets_) {
      describe_samples(nothing, 0);
      run_bucket(nothing, rows, kv);
    }
  }
}

}  // namespace herd::shard
