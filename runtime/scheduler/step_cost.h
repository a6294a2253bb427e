#pragma once
// StepCost: rows, bytes, FLOPs and KV of a step -> seconds, of the whole step and of each operation in it. Pure. Begins with rates
// measured when the rank started and is kept current by measured steps. What bounds chunks, routes by rate or predicts times adds
// terms here.
//
// An operation takes as long as its arithmetic or its memory traffic, whichever is longer (the roofline of Williams et al.
// 2009); operations follow one another, so a step is their sum and an overhead. Attention has rates of its own: it computes
// at a lower one than products do, and what it does once for a key, however many rows see it, comes on top.

#include <array>
#include <cstdint>

#include "kernels/progress.h"
#include "runtime/model/encoding.h"
#include "runtime/model/llama_config.h"
#include "runtime/step/step_plan.h"

namespace herd::scheduler {

// What a step asks of a rank.
struct StepShape {
  std::uint32_t rows = 0;
  std::uint32_t logit_rows = 0;      // rows that go through the head
  std::uint64_t context_tokens = 0;  // KV entries that attention reads: the sum of the sequences' context lengths
  std::uint64_t attended = 0;        // pairs (row, visible key)
  bool operator==(const StepShape&) const = default;
};
// Rows of logits that a sequence asked for besides its tokens are not counted: its plan was an earlier one.
[[nodiscard]] StepShape shape_of(const step::StepPlan& plan);

// What a device was measured to do with this model's own matrices (runtime/shard/measure_rates.h).
struct DeviceRates {
  double flops_per_s = 2e9;
  double bytes_per_s = 1e9;
  double step_overhead_s = 1e-4;  // of a step, whatever is in it
  // Of attention: rows with keys, and KV read for a row or for many. 0: as the two above.
  double attention_flops_per_s = 0.0;
  double attention_bytes_per_s = 0.0;
  bool operator==(const DeviceRates&) const = default;
};
// Of a group, whose ranks wait for one another.
[[nodiscard]] DeviceRates slower_of(const DeviceRates& a, const DeviceRates& b);

// Value.
class StepCost {
 public:
  // Of a rank that holds 1 / ranks of the model. The rates are above 0, the overhead may be 0.
  StepCost(const model::LlamaConfig& config, const model::Encoding& encoding, int ranks, const DeviceRates& rates);

  [[nodiscard]] double step_seconds(const StepShape& shape) const;
  // The longest single operation of that kind in such a step; of kDevice and kCollective the whole step. 0 for what is not in a
  // step.
  [[nodiscard]] double operation_seconds(Operation operation, const StepShape& shape) const;
  // Whatever it is.
  [[nodiscard]] double longest_operation_seconds(const StepShape& shape) const;
  // What a step took: moves the rates that made up its prediction, by ratio, slowly; one step, however long it took, by a tenth
  // at most. Rates stay within a factor of kDriftMax of what was measured. A step without rows, or a time that is none, counts
  // for nothing.
  void on_step(const StepShape& shape, double seconds);

  [[nodiscard]] const DeviceRates& rates() const { return rates_; }

  static constexpr double kDriftMax = 64.0;

 private:
  // Operations of one kind and size, one after the other.
  struct Part {
    Operation operation = Operation::kIdle;
    double count = 0.0;
    double flops = 0.0;  // of one
    double bytes = 0.0;  // of one
  };
  // Seconds of one part, by what they follow.
  struct Time {
    double arithmetic = 0.0, memory = 0.0, attention = 0.0;
    [[nodiscard]] double sum() const { return arithmetic + memory + attention; }
  };
  static constexpr std::size_t kParts = 13;
  [[nodiscard]] std::array<Part, kParts> parts_of(const StepShape& shape) const;
  // A product of `rows` rows with a matrix of this rank, whose values take `weight_bytes` each.
  [[nodiscard]] Part product(double count, double rows, double outputs, double inputs, double weight_bytes) const;
  [[nodiscard]] Time time_of(const Part& part) const;
  [[nodiscard]] double seconds_of(const Part& part) const { return time_of(part).sum(); }

  double layers_, hidden_, query_, key_, ffn_, vocab_;  // of this rank, but hidden
  double ranks_;
  double layer_weight_bytes_, head_weight_bytes_, act_bytes_;  // of a value, on average
  DeviceRates measured_;
  DeviceRates rates_;
};

}  // namespace herd::scheduler
