#include "runtime/shard/device_sampling.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/check.h"
#include "runtime/model/shard_plan.h"
#include "runtime/sampling/row_params.h"

namespace herd::shard {
namespace {

// Edits of the rows sampled together. A row has at most one for each token of the vocabulary; many rows with many
// edits are sampled in several pieces.
constexpr std::size_t kEditsLeast = 65536;

}  // namespace

DeviceSampling::DeviceSampling(Device& device, model::Llama& llama, const DeviceSamplingLimits& limits)
    : sampler_(*device.row_sampler()),
      llama_(llama),
      limits_(limits),
      edits_max_(std::max(kEditsLeast, static_cast<std::size_t>(limits.vocab_size))) {}

Expected<std::unique_ptr<DeviceSampling>> DeviceSampling::make(Device& device, model::Llama& llama,
                                                               const DeviceSamplingLimits& limits) {
  HERD_CHECK(device.row_sampler() != nullptr && device.staging() != nullptr, "the device samples and stages");
  std::unique_ptr<DeviceSampling> sampling(new DeviceSampling(device, llama, limits));
  auto inputs = device.staging()->allocate_staged(
      sampling->edits_at() + sampling->edits_max_ * sizeof(LogitEdit), "sampling inputs");
  if (!inputs) return fail(inputs.error());
  sampling->inputs_ = std::move(*inputs);
  auto results = device.staging()->allocate_readback(static_cast<std::size_t>(limits.sequences) * sizeof(SampledRow),
                                                     "step results");
  if (!results) return fail(results.error());
  sampling->results_ = std::move(*results);
  return sampling;
}

std::size_t DeviceSampling::edits_at() const {
  return static_cast<std::size_t>(limits_.logit_rows) * sizeof(SampleRowParams);
}

std::size_t DeviceSampling::describe(const StepBatch& batch, std::size_t begin) {
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

void DeviceSampling::upload(std::int64_t rows) {
  params_.resize(static_cast<std::size_t>(rows));
  auto* const host = static_cast<std::byte*>(inputs_->host());
  std::memcpy(host, params_.data(), params_.size() * sizeof(SampleRowParams));
  if (!edits_.empty()) std::memcpy(host + edits_at(), edits_.data(), edits_.size() * sizeof(LogitEdit));
  inputs_->upload(edits_at() + edits_.size() * sizeof(LogitEdit));
}

void DeviceSampling::sample(const std::int32_t* rows, std::int64_t count, std::size_t first) {
  llama_.logits(rows, count);
  SampleBatch samples;
  samples.params = static_cast<const SampleRowParams*>(inputs_->device());
  samples.edits = reinterpret_cast<LogitEdit*>(static_cast<std::byte*>(inputs_->device()) + edits_at());
  samples.vocab_size = limits_.vocab_size;
  const auto border = model::leaf_borders(limits_.vocab_size, kPanelOutputs);
  std::copy(border.begin(), border.end(), samples.vocab_leaf);
  samples.hash_logits = limits_.hash_logits;
  samples.out = results() + first;
  sampler_.sample_rows(llama_.whole_logits(), samples);
}

const SampledRow* DeviceSampling::read_back(std::size_t samples) {
  return static_cast<const SampledRow*>(results_->read_back(samples * sizeof(SampledRow)));
}

}  // namespace herd::shard
