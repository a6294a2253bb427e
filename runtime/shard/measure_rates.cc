#include "runtime/shard/measure_rates.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace herd::shard {
namespace {

using std::chrono::steady_clock;

constexpr double kSpanSeconds = 1e-3;       // of one measurement: a hundred times what a thread takes to wake up
constexpr int kSpans = 3;                   // the fastest counts: what else the machine does only adds
constexpr std::int64_t kRowsFirst = 32;     // a chunk beside streams; on CPUs a product of so many rows is arithmetic already
constexpr int kOperationsOfLayer = 9;       // Llama::decoder_layer
constexpr int kOperationsOfStep = 8;        // around the layers: embedding, norms, rows, head, sampling
constexpr int kTimesMax = 1 << 16;          // a clock that stands still must not keep a rank from starting
constexpr std::int32_t kContext = 512;      // of attention: a partition (docs/numerics.md, rule 4)

std::int64_t outputs_of(const model::MatrixStack& stack) {
  std::int64_t outputs = 0;
  for (const PackedMatrix& matrix : stack) outputs += matrix.outputs;
  return outputs;
}
std::int64_t bytes_of(const model::MatrixStack& stack) {
  std::int64_t bytes = 0;
  for (const PackedMatrix& matrix : stack) bytes += matrix.bytes();
  return bytes;
}

class Measurement {
 public:
  Measurement(Device& device, const model::LlamaWeights& weights, const ShardConfig& config)
      : device_(device), weights_(weights), config_(config) {}

  Status allocate() {
    const model::LayerWeights& layer = weights_.layers.front();
    const DType act = config_.encoding.activations();
    const std::int64_t rows = config_.rows_max;
    Status status = allocate(x_, act, rows, layer.o.k);
    if (status.ok()) status = allocate(out_, DType::kF32, rows, layer.o.outputs);
    if (status.ok()) status = allocate(wide_x_, act, 1, layer.gate_up.front().k);
    if (status.ok()) status = allocate(wide_out_, act, 1, outputs_of(layer.gate_up));
    if (status.ok()) status = allocate(copy_, act, 1, layer.o.k);
    if (!status.ok()) return status;
    auto indices = device_.allocate(sizeof(std::int32_t), "measuring");
    if (!indices) return indices.error();
    indices_ = std::move(*indices);  // zero: the first row
    return {};
  }

  // Of the largest product of a layer, of one row: all of them together are beyond every cache that the model is beyond.
  [[nodiscard]] double reading_seconds() {
    std::size_t layer = 0;
    return seconds_of([&] {
      device_.ops().matmul_stack(wide_x_, weights_.layers[layer].gate_up, nullptr, wide_out_);
      layer = (layer + 1) % weights_.layers.size();
    });
  }
  // Of the smallest product, of `rows` rows.
  [[nodiscard]] double computing_seconds(std::int64_t rows) {
    x_.rows = out_.rows = rows;
    std::size_t layer = 0;
    return seconds_of([&] {
      device_.ops().matmul(x_, weights_.layers[layer].o, nullptr, out_);
      layer = (layer + 1) % weights_.layers.size();
    });
  }
  // Of an operation that has nothing to do.
  [[nodiscard]] double operation_seconds() {
    x_.rows = 1;
    return seconds_of([&] { device_.ops().gather_rows(x_, static_cast<const std::int32_t*>(indices_->data()), copy_); });
  }
  // Of `rows` rows that end a context of kContext tokens; on a device whose memory is the host's.
  [[nodiscard]] double attention_seconds(std::int32_t rows, const KvView& kv, const TensorView& q, const TensorView& out) {
    const std::int32_t query_begin[] = {0, rows}, context[] = {kContext};
    const std::int32_t table_begin[] = {0, static_cast<std::int32_t>(kv.blocks)};
    std::vector<std::uint32_t> table;
    for (std::uint32_t block = 0; block < kv.blocks; ++block) table.push_back(block);
    AttentionBatch batch;
    batch.sequences = 1;
    batch.query_begin = query_begin;
    batch.context_length = context;
    batch.block_tables = table.data();
    batch.block_table_begin = table_begin;
    batch.query_heads = config_.plan.heads.size();
    batch.kv_head_of_query = config_.plan.kv_head_of_query.data();
    for (std::int32_t head = 0; head < config_.plan.kv_heads.size(); ++head) {
      const auto group = static_cast<std::int32_t>(std::ranges::count(config_.plan.kv_head_of_query, head));
      batch.group_max = std::max(batch.group_max, group);
    }
    batch.scale = 1.0F / std::sqrt(static_cast<float>(config_.model.head_dim));
    TensorView queries = q, attended = out;
    queries.rows = attended.rows = rows;
    return seconds_of([&] { device_.ops().attention(queries, kv, batch, attended); });
  }

  // A row and many rows of one context: what a key costs once, and what it costs for every row.
  Status measure_attention(scheduler::DeviceRates& rates) {
    const std::int64_t dim = config_.model.head_dim;
    const auto rows = static_cast<std::int32_t>(std::min<std::int64_t>({kRowsFirst, config_.rows_max, kContext}));
    TensorView q, out;
    KvView kv;
    kv.layout = {config_.encoding.activations(), config_.block_size, config_.plan.kv_heads.size(), config_.model.head_dim};
    kv.blocks = (kContext + config_.block_size - 1) / config_.block_size;
    const DType act = config_.encoding.activations();
    Status status = allocate(q, act, rows, config_.plan.heads.size() * dim);
    if (status.ok()) status = allocate(out, act, rows, config_.plan.heads.size() * dim);
    if (!status.ok()) return status;
    auto memory = device_.allocate(static_cast<std::size_t>(kv.blocks * kv.layout.bytes_per_block()), "measuring");
    if (!memory) return memory.error();
    memory_.push_back(std::move(*memory));
    kv.data = memory_.back()->data();
    const double of_one = attention_seconds(1, kv, q, out);
    const double of_many = rows > 1 ? attention_seconds(rows, kv, q, out) : of_one;
    const double pairs_of_one = kContext, pairs_of_many = rows * (kContext - (rows - 1) / 2.0);
    const double flops_of_pair = 4.0 * static_cast<double>(config_.plan.heads.size() * dim);
    // Where a row more costs nothing that shows, it costs what the first one does.
    double of_pair = rows > 1 ? (of_many - of_one) / (pairs_of_many - pairs_of_one) : 0.0;
    of_pair = std::max(of_pair, of_many / pairs_of_many / 2);
    const double of_keys = std::max(of_one - of_pair * pairs_of_one, 0.0);
    rates.attention_flops_per_s = flops_of_pair / of_pair;
    const double bytes = kContext * 2.0 * static_cast<double>(config_.plan.kv_heads.size() * dim * dtype_bytes(act));
    // From a cache here, from memory in a step.
    rates.attention_bytes_per_s = std::min(rates.bytes_per_s, of_keys > 0 ? bytes / of_keys : rates.bytes_per_s);
    return {};
  }

 private:
  Status allocate(TensorView& view, DType dtype, std::int64_t rows, std::int64_t cols) {
    const std::int64_t stride = round_up(cols, kPanelOutputs);
    auto memory = device_.allocate(static_cast<std::size_t>(rows * stride) * dtype_bytes(dtype), "measuring");
    if (!memory) return memory.error();
    view = {(*memory)->data(), dtype, rows, cols, stride};
    memory_.push_back(std::move(*memory));
    return {};
  }

  // More and more at a time until they take kSpanSeconds together; the first one alone also brings in what it needs.
  template <class Run>
  double seconds_of(const Run& run) {
    const auto span = [&](int times) {
      const auto begin = steady_clock::now();
      for (int time = 0; time < times; ++time) run();
      (void)device_.wait();
      return std::chrono::duration<double>(steady_clock::now() - begin).count();
    };
    (void)span(1);
    int times = 1;
    double seconds = span(times);
    while (seconds < kSpanSeconds && times < kTimesMax) seconds = span(times *= 2);
    for (int more = 1; more < kSpans; ++more) seconds = std::min(seconds, span(times));
    return std::max(seconds, 1e-9) / times;
  }

  Device& device_;
  const model::LlamaWeights& weights_;
  const ShardConfig& config_;
  std::vector<std::unique_ptr<DeviceBuffer>> memory_;
  std::unique_ptr<DeviceBuffer> indices_;
  TensorView x_, out_, wide_x_, wide_out_, copy_;
};

}  // namespace

Expected<scheduler::DeviceRates> measure_rates(Device& device, const model::LlamaWeights& weights, const ShardConfig& config) {
  HERD_CHECK(!weights.layers.empty() && config.rows_max >= 1, "a model has layers, a step rows");
  const model::LayerWeights& first = weights.layers.front();
  Measurement measurement(device, weights, config);
  if (Status status = measurement.allocate(); !status.ok()) return fail(std::move(status));
  scheduler::DeviceRates rates;
  rates.bytes_per_s = static_cast<double>(bytes_of(first.gate_up)) / measurement.reading_seconds();
  std::int64_t rows = std::min(kRowsFirst, config.rows_max);
  double seconds = measurement.computing_seconds(rows);
  while (seconds < kSpanSeconds && 2 * rows <= config.rows_max) seconds = measurement.computing_seconds(rows *= 2);
  rates.flops_per_s = 2.0 * static_cast<double>(rows * first.o.outputs * first.o.k) / seconds;
  const auto operations = static_cast<double>(kOperationsOfLayer * weights.layers.size() + kOperationsOfStep);
  rates.step_overhead_s = operations * measurement.operation_seconds();
  if (device.host_memory()) {
    if (Status status = measurement.measure_attention(rates); !status.ok()) return fail(std::move(status));
  }
  if (Status status = device.wait(); !status.ok()) return fail(std::move(status));
  return rates;
}

}  // namespace herd::shard
