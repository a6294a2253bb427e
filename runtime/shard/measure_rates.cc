#include "runtime/shard/measure_rates.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace herd::shard {
namespace {

using std::chrono::steady_clock;

constexpr double kSpanSeconds = 1e-3;       // of one measurement: a hundred times what a thread takes to wake up
constexpr std::int64_t kRowsFirst = 16;     // on CPUs a product of so many rows is arithmetic already
constexpr int kOperationsOfLayer = 9;       // Llama::decoder_layer
constexpr int kOperationsOfStep = 8;        // around the layers: embedding, norms, rows, head, sampling
constexpr int kTimesMax = 1 << 16;          // a clock that stands still must not keep a rank from starting

class Measurement {
 public:
  Measurement(Device& device, const model::LlamaWeights& weights) : device_(device), weights_(weights) {}

  Status allocate(const model::Encoding& encoding, std::int64_t rows_max) {
    const PackedMatrix& first = weights_.layers.front().o;
    Status status = allocate(x_, encoding.activations(), rows_max, round_up(first.k, kPanelOutputs), first.k);
    if (status.ok()) status = allocate(out_, DType::kF32, rows_max, first.outputs_padded(), first.outputs);
    if (status.ok()) status = allocate(copy_, encoding.activations(), 1, round_up(first.k, kPanelOutputs), first.k);
    if (!status.ok()) return status;
    auto indices = device_.allocate(sizeof(std::int32_t), "measuring");
    if (!indices) return indices.error();
    indices_ = std::move(*indices);  // zero: the first row
    return {};
  }

  // Of one product of `rows` rows.
  [[nodiscard]] double product_seconds(std::int64_t rows) {
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

 private:
  Status allocate(TensorView& view, DType dtype, std::int64_t rows, std::int64_t stride, std::int64_t cols) {
    auto memory = device_.allocate(static_cast<std::size_t>(rows * stride) * dtype_bytes(dtype), "measuring");
    if (!memory) return memory.error();
    view = {(*memory)->data(), dtype, rows, cols, stride};
    memory_.push_back(std::move(*memory));
    return {};
  }

  // More and more at a time until they take kSpanSeconds together; the first one alone also brings in what it needs.
  template <class Run>
  double seconds_of(const Run& run) {
    run();
    (void)device_.wait();
    for (int times = 1;; times *= 2) {
      const auto begin = steady_clock::now();
      for (int time = 0; time < times; ++time) run();
      (void)device_.wait();
      const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
      if (seconds >= kSpanSeconds || times >= kTimesMax) return std::max(seconds, 1e-9) / times;
    }
  }

  Device& device_;
  const model::LlamaWeights& weights_;
  std::vector<std::unique_ptr<DeviceBuffer>> memory_;
  std::unique_ptr<DeviceBuffer> indices_;
  TensorView x_, out_, copy_;
};

}  // namespace

Expected<scheduler::DeviceRates> measure_rates(Device& device, const model::LlamaWeights& weights,
                                              const model::Encoding& encoding, std::int64_t rows_max) {
  HERD_CHECK(!weights.layers.empty() && rows_max >= 1, "a model has layers, a step rows");
  const PackedMatrix& first = weights.layers.front().o;
  Measurement measurement(device, weights);
  if (Status status = measurement.allocate(encoding, rows_max); !status.ok()) return fail(std::move(status));
  scheduler::DeviceRates rates;
  rates.bytes_per_s = static_cast<double>(first.bytes()) / measurement.product_seconds(1);
  std::int64_t rows = std::min(kRowsFirst, rows_max);
  double seconds = measurement.product_seconds(rows);
  while (seconds < kSpanSeconds && 2 * rows <= rows_max) seconds = measurement.product_seconds(rows *= 2);
  rates.flops_per_s = 2.0 * static_cast<double>(rows * first.outputs * first.k) / seconds;
  const auto operations = static_cast<double>(kOperationsOfLayer * weights.layers.size() + kOperationsOfStep);
  rates.step_overhead_s = operations * measurement.operation_seconds();
  if (Status status = device.wait(); !status.ok()) return fail(std::move(status));
  return rates;
}

}  // namespace herd::shard
