#include "runtime/shard/host_steps.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/check.h"

namespace herd::shard {
namespace {

// The batch's own arrays: what the host writes is where the kernels read it.
model::StepRows rows_of(const StepBatch& batch) {
  model::StepRows rows;
  rows.rows = static_cast<std::int64_t>(batch.token_ids.size());
  rows.token_ids = batch.token_ids.data();
  rows.positions = batch.positions.data();
  rows.slots = batch.slots.data();
  rows.attention.sequences = static_cast<std::int32_t>(batch.context_length.size());
  rows.attention.query_begin = batch.query_begin.data();
  rows.attention.context_length = batch.context_length.data();
  rows.attention.block_tables = batch.block_tables.data();
  rows.attention.block_table_begin = batch.block_table_begin.data();
  return rows;
}

}  // namespace

HostSteps::HostSteps(const RankParts& parts)
    : parts_(parts),
      sampler_(parts.config.plan, parts.config.model.vocab_size, parts.device, parts.tp, parts.config.hash_logits) {}

Expected<std::unique_ptr<StepRunner>> HostSteps::make(const RankParts& parts) {
  HERD_CHECK(parts.device.host_memory(), "the host reads what the device computed where it is");
  std::unique_ptr<HostSteps> steps(new HostSteps(parts));
  auto outputs = OutputCollector::make(parts, make_host_logit_rows(parts, steps->sampler_));
  if (!outputs) return fail(outputs.error());
  steps->outputs_ = std::move(*outputs);
  return steps;
}

Expected<std::unique_ptr<StepUnderWay>> HostSteps::start(const StepBatch& batch, step::StepResult& result) {
  parts_.llama.forward(rows_of(batch), parts_.kv, outputs_->layer_capture(batch));
  if (Status given_up = parts_.tp.status(); !given_up.ok()) return fail(std::move(given_up));
  outputs_->collect(batch, result);
  Status status = sample(batch, result);
  if (status.ok()) status = parts_.device.wait();
  if (status.ok()) status = parts_.tp.status();
  if (!status.ok()) return fail(std::move(status));
  return nullptr;
}

Status HostSteps::sample(const StepBatch& batch, step::StepResult& result) {
  const auto piece = static_cast<std::size_t>(parts_.config.logit_rows_max);
  for (std::size_t begin = 0; begin < batch.samples.size(); begin += piece) {
    const std::size_t count = std::min(batch.samples.size() - begin, piece);
    parts_.llama.logits(batch.sample_row.data() + begin, static_cast<std::int64_t>(count));
    if (Status status = parts_.device.wait(); !status.ok()) return status;
    const auto first = batch.samples.begin() + static_cast<std::ptrdiff_t>(begin);
    auto sampled = sampler_.sample(parts_.llama.logits(), {first, first + static_cast<std::ptrdiff_t>(count)});
    std::move(sampled.begin(), sampled.end(), std::back_inserter(result.sampled));
  }
  return {};
}

}  // namespace herd::shard
