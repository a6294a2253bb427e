#include "runtime/scheduler/step_cost.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/tensor_view.h"

namespace herd::scheduler {
namespace {

// A prediction moves by 1/16 of the surprise's logarithm, whatever it is made of: half of a change is followed within 11 steps. A
// surprise counts as a factor of 4 at most, so one step moves a prediction by about 4^(1/16) - 1 = 9 %.
constexpr double kGain = 1.0 / 16;
constexpr double kSurpriseMax = 4.0;

// Sampling a row looks at each logit for its maximum, its exponential and its noise: Philox and two logarithms, about so many
// operations.
constexpr double kSampleFlops = 64.0;

double drifted(double measured, double now, double factor) {
  return std::clamp(now * factor, measured / StepCost::kDriftMax, measured * StepCost::kDriftMax);
}

// Of packed weights.
double bytes_of_value(WeightFormat format) { return double(packed_chunk_bytes(format)) / double(kPanelOutputs * kChunkK); }

// The average over the values of all layers.
double layer_weight_bytes(const model::LlamaConfig& config, const model::Encoding& encoding) {
  if (encoding.formats == nullptr) return bytes_of_value(encoding.weights);
  const double hidden = config.hidden_size, q = hidden * double(config.query_size());
  const double kv = hidden * double(config.kv_heads) * config.head_dim, ffn = hidden * config.intermediate_size;
  double bytes = 0.0;
  for (const model::LayerFormats& layer : encoding.formats->layers) {
    bytes += q * (bytes_of_value(layer.q) + bytes_of_value(layer.o)) + kv * (bytes_of_value(layer.k) + bytes_of_value(layer.v)) +
             ffn * (bytes_of_value(layer.gate) + bytes_of_value(layer.up) + bytes_of_value(layer.down));
  }
  return bytes / (config.layers * (2 * q + 2 * kv + 3 * ffn));
}

DeviceRates complete(DeviceRates rates) {
  if (rates.attention_flops_per_s == 0) rates.attention_flops_per_s = rates.flops_per_s;
  if (rates.attention_bytes_per_s == 0) rates.attention_bytes_per_s = rates.bytes_per_s;
  return rates;
}

}  // namespace

DeviceRates slower_of(const DeviceRates& a, const DeviceRates& b) {
  return {std::min(a.flops_per_s, b.flops_per_s), std::min(a.bytes_per_s, b.bytes_per_s),
          std::max(a.step_overhead_s, b.step_overhead_s), std::min(a.attention_flops_per_s, b.attention_flops_per_s),
          std::min(a.attention_bytes_per_s, b.attention_bytes_per_s)};
}

StepShape shape_of(const step::StepPlan& plan) {
  StepShape shape;
  for (const step::SequenceSlice& slice : plan.slices) {
    const std::uint64_t rows = slice.rows, before = slice.position;
    shape.rows += slice.rows;
    shape.logit_rows += slice.sample ? 1 : 0;
    shape.context_tokens += before + rows;
    shape.attended += rows * before + rows * (rows + 1) / 2;
  }
  return shape;
}

StepCost::StepCost(const model::LlamaConfig& config, const model::Encoding& encoding, int ranks, const DeviceRates& rates)
    : layers_(config.layers),
      hidden_(config.hidden_size),
      query_(double(config.query_size()) / ranks),
      key_(std::max(double(config.kv_heads) / ranks, 1.0) * config.head_dim),
      ffn_(double(config.intermediate_size) / ranks),
      vocab_(double(config.vocab_size) / ranks),
      ranks_(ranks),
      layer_weight_bytes_(layer_weight_bytes(config, encoding)),
      head_weight_bytes_(bytes_of_value(encoding.head())),
      act_bytes_(double(dtype_bytes(encoding.activations()))),
      measured_(complete(rates)),
      rates_(measured_) {
  HERD_CHECK(ranks >= 1, "a model is held by a rank");
  HERD_CHECK(rates_.flops_per_s > 0 && rates_.bytes_per_s > 0 && rates_.step_overhead_s >= 0, "rates are measured");
  HERD_CHECK(rates_.attention_flops_per_s > 0 && rates_.attention_bytes_per_s > 0, "attention's rates are measured");
}

// The weights once, and the rows in and out.
StepCost::Part StepCost::product(double count, double rows, double outputs, double inputs, double weight_bytes) const {
  if (rows == 0) return {Operation::kMatmul, 0, 0, 0};
  return {Operation::kMatmul, count, 2 * rows * outputs * inputs,
          outputs * inputs * weight_bytes + rows * (outputs + inputs) * act_bytes_};
}

std::array<StepCost::Part, StepCost::kParts> StepCost::parts_of(const StepShape& shape) const {
  const double rows = shape.rows, logit_rows = shape.logit_rows;
  const auto context = double(shape.context_tokens), attended = double(shape.attended);
  return {{
      {Operation::kEmbed, 1, 0, rows * 2 * hidden_ * act_bytes_},
      {Operation::kNorm, 1, 0, rows * 2 * hidden_ * act_bytes_},
      product(layers_, rows, query_ + 2 * key_, hidden_, layer_weight_bytes_),
      {Operation::kWriteKv, layers_, 0, rows * 2 * (query_ + 2 * key_) * act_bytes_},
      // A row and a key are multiplied over the head's dims, and so are its weight and the value.
      {Operation::kAttention, layers_, 4 * attended * query_, context * 2 * key_ * act_bytes_},
      product(layers_, rows, hidden_, query_, layer_weight_bytes_),
      // Every rank's partial sums (float), the residual in and out, the normed rows.
      {Operation::kAdd, 2 * layers_, 0, rows * hidden_ * (ranks_ * 4 + 3 * act_bytes_)},
      product(layers_, rows, 2 * ffn_, hidden_, layer_weight_bytes_),
      {Operation::kActivation, layers_, 0, rows * 3 * ffn_ * act_bytes_},
      product(layers_, rows, hidden_, ffn_, layer_weight_bytes_),
      {Operation::kGatherRows, 1, 0, logit_rows * 2 * hidden_ * act_bytes_},
      product(1, logit_rows, vocab_, hidden_, head_weight_bytes_),
      {Operation::kSample, 1, logit_rows * vocab_ * kSampleFlops, logit_rows * vocab_ * 4},
  }};
}

StepCost::Time StepCost::time_of(const Part& part) const {
  if (part.operation == Operation::kAttention) {
    const double pairs = part.flops / rates_.attention_flops_per_s, keys = part.bytes / rates_.attention_bytes_per_s;
    return {0.0, 0.0, pairs + keys};
  }
  const double arithmetic = part.flops / rates_.flops_per_s, memory = part.bytes / rates_.bytes_per_s;
  return arithmetic >= memory ? Time{arithmetic, 0.0, 0.0} : Time{0.0, memory, 0.0};
}

double StepCost::step_seconds(const StepShape& shape) const {
  double seconds = rates_.step_overhead_s;
  for (const Part& part : parts_of(shape)) seconds += part.count * seconds_of(part);
  return seconds;
}

double StepCost::operation_seconds(Operation operation, const StepShape& shape) const {
  if (operation == Operation::kDevice || operation == Operation::kCollective) return step_seconds(shape);
  double longest = 0.0;
  for (const Part& part : parts_of(shape))
    if (part.operation == operation) longest = std::max(longest, seconds_of(part));
  return longest;
}

double StepCost::longest_operation_seconds(const StepShape& shape) const {
  double longest = 0.0;
  for (const Part& part : parts_of(shape)) {
    if (part.count > 0.0) longest = std::max(longest, seconds_of(part));
  }
  return longest;
}

void StepCost::on_step(const StepShape& shape, double seconds) {
  if (shape.rows == 0 || !std::isfinite(seconds) || seconds <= 0) return;
  Time time;
  for (const Part& part : parts_of(shape)) {
    const Time one = time_of(part);
    time.arithmetic += part.count * one.arithmetic;
    time.memory += part.count * one.memory;
    time.attention += part.count * one.attention;
  }
  const double predicted = time.sum() + rates_.step_overhead_s;
  if (!std::isfinite(predicted) || predicted <= 0) return;
  const double surprise = std::clamp(seconds / predicted, 1 / kSurpriseMax, kSurpriseMax);
  // Each by its share in the prediction, and all of them together by kGain (normalised least mean squares, of logarithms).
  double squares = 0.0;
  for (const double part : {time.arithmetic, time.memory, time.attention, rates_.step_overhead_s})
    squares += (part / predicted) * (part / predicted);
  const auto factor = [&](double part) { return std::pow(surprise, kGain * part / predicted / squares); };
  const double overhead = factor(rates_.step_overhead_s);
  const auto follow = [&](double DeviceRates::* rate, double by) {
    rates_.*rate = drifted(measured_.*rate, rates_.*rate, by);
  };
  const double attention = 1 / factor(time.attention);
  follow(&DeviceRates::flops_per_s, 1 / factor(time.arithmetic));
  follow(&DeviceRates::bytes_per_s, 1 / factor(time.memory));
  follow(&DeviceRates::attention_flops_per_s, attention);
  follow(&DeviceRates::attention_bytes_per_s, attention);
  follow(&DeviceRates::step_overhead_s, overhead);
}

}  // namespace herd::scheduler
