#include "runtime/shard/output_collector.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>
#include <utility>

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

bool is_logits(OutputSelector selector) {
  return selector == OutputSelector::kLogitsLast || selector == OutputSelector::kLogitsAll;
}

bool is_last_only(OutputSelector selector) {
  return selector == OutputSelector::kLogitsLast || selector == OutputSelector::kHiddenLast;
}

}  // namespace

OutputCollector::OutputCollector(const RankParts& parts, std::unique_ptr<LogitRows> logits,
                                 std::unique_ptr<StagedBuffer> indices)
    : config_(parts.config),
      device_(parts.device),
      llama_(parts.llama),
      logits_(std::move(logits)),
      indices_(std::move(indices)) {}

Expected<std::unique_ptr<OutputCollector>> OutputCollector::make(const RankParts& parts,
                                                                 std::unique_ptr<LogitRows> logits) {
  auto indices = allocate_staged(
      parts.device, static_cast<std::size_t>(parts.config.logit_rows_max) * sizeof(std::int32_t), "step inputs");
  if (!indices) return fail(indices.error());
  return std::unique_ptr<OutputCollector>(new OutputCollector(parts, std::move(logits), std::move(*indices)));
}

std::function<void(int)> OutputCollector::layer_capture(const StepBatch& batch) {
  const bool all_layers = std::any_of(batch.outputs.begin(), batch.outputs.end(), [](const auto& output) {
    return output.selector == OutputSelector::kHiddenAllLayers;
  });
  if (!all_layers) return {};
  return [this](int state) { capture_layer(state); };
}

void OutputCollector::capture_layer(int state) {
  if (state == 0) layer_states_.assign(static_cast<std::size_t>(config_.model.layers) + 1, {});
  append_rows(device_, llama_.hidden(), 0, llama_.hidden().rows, layer_states_[static_cast<std::size_t>(state)]);
}

void OutputCollector::collect(const StepBatch& batch, step::StepResult& result) {
  for (const StepBatch::Output& wanted : batch.outputs) {
    if (wanted.selector == OutputSelector::kPromptLogprobs) {
      result.prompt_logprobs.push_back(prompt_logprobs(wanted));
    } else {
      result.outputs.push_back(rows(wanted));
    }
  }
}

step::PromptLogprobs OutputCollector::prompt_logprobs(const StepBatch::Output& wanted) {
  step::PromptLogprobs run;
  run.sequence = wanted.sequence;
  run.position = wanted.position + 1;
  logits_in_pieces(wanted.row_begin, wanted.rows, [&](std::int64_t done, std::int64_t count) {
    const std::span targets(wanted.targets.data() + done, static_cast<std::size_t>(count));
    auto scored = logits_->score(targets, wanted.top);
    std::move(scored.begin(), scored.end(), std::back_inserter(run.tokens));
  });
  return run;
}

step::OutputRows OutputCollector::rows(const StepBatch::Output& wanted) {
  const OutputSelector selector = wanted.selector;
  const std::int32_t skipped = is_last_only(selector) ? wanted.rows - 1 : 0;
  const std::int32_t row_begin = wanted.row_begin + skipped;
  step::OutputRows out;
  out.sequence = wanted.sequence;
  out.rows = static_cast<std::uint32_t>(wanted.rows - skipped);
  out.position = wanted.position + static_cast<std::uint32_t>(skipped);
  out.width = static_cast<std::uint32_t>(is_logits(selector) ? config_.model.vocab_size : config_.model.hidden_size);
  if (is_logits(selector)) {
    logits_in_pieces(row_begin, out.rows, [&](std::int64_t, std::int64_t) {
      const std::vector<float> values = logits_->whole();
      out.values.insert(out.values.end(), values.begin(), values.end());
    });
  } else if (selector == OutputSelector::kHiddenLast || selector == OutputSelector::kHiddenAll) {
    append_rows(device_, llama_.hidden(), row_begin, out.rows, out.values);
  } else if (selector == OutputSelector::kHiddenAllNormalized) {
    append_normalized(row_begin, out.rows, out.values);
  } else if (selector == OutputSelector::kHiddenAllLayers) {
    out.layers = static_cast<std::uint32_t>(config_.model.layers) + 1;
    append_layers(row_begin, out.rows, out.values);
  }
  return out;
}

// Every captured state, the last one after the final norm.
void OutputCollector::append_layers(std::int32_t row_begin, std::int64_t rows, std::vector<float>& out) {
  const std::int64_t hidden = config_.model.hidden_size;
  for (int layer = 0; layer < config_.model.layers; ++layer) {
    const auto first = layer_states_[static_cast<std::size_t>(layer)].begin() + row_begin * hidden;
    out.insert(out.end(), first, first + rows * hidden);
  }
  append_normalized(row_begin, rows, out);
}

void OutputCollector::append_normalized(std::int32_t row_begin, std::int64_t rows, std::vector<float>& out) {
  logits_in_pieces(row_begin, rows, [&](std::int64_t, std::int64_t count) {
    append_rows(device_, llama_.normalized(), 0, count, out);
  });
}

// Final norm and head over rows of the step, logit_rows_max at a time; take(rows done before, rows) reads the result.
template <class Take>
void OutputCollector::logits_in_pieces(std::int32_t row_begin, std::int64_t rows, const Take& take) {
  for (std::int64_t done = 0; done < rows; done += config_.logit_rows_max) {
    const std::int64_t count = std::min<std::int64_t>(rows - done, config_.logit_rows_max);
    auto* const piece = static_cast<std::int32_t*>(indices_->host());
    std::iota(piece, piece + count, row_begin + static_cast<std::int32_t>(done));
    indices_->upload(static_cast<std::size_t>(count) * sizeof(std::int32_t));
    llama_.logits(static_cast<const std::int32_t*>(indices_->device()), count);
    take(done, count);
  }
}

}  // namespace herd::shard
