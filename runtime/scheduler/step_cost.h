#pragma once
// StepCost: rows, bytes, FLOPs and KV of a step -> seconds, of the whole step and of each operation in it. Pure. Begins with rates
// measured when the rank started and is kept current by measured steps. What bounds chunks, routes by rate or predicts times adds
// terms here.

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
};
[[nodiscard]] StepShape shape_of(const step::StepPlan& plan);

// What a device was measured to do with this model's own matrices.
struct DeviceRates {
  double flops_per_s = 2e9;
  double bytes_per_s = 1e9;
  double step_overhead_s = 1e-4;
};

class StepCost {
 public:
  // Of a rank that holds 1 / ranks of the model.
  StepCost(const model::LlamaConfig& config, const model::Encoding& encoding, int ranks, const DeviceRates& rates);

  [[nodiscard]] double step_seconds(const StepShape& shape) const;
  // The longest single operation of that kind in such a step; of kDevice and kCollective the whole step.
  [[nodiscard]] double operation_seconds(Operation operation, const StepShape& shape) const;
  // What a step took: moves the prediction towards it, by ratio, slowly.
  void on_step(const StepShape& shape, double seconds);

 private:
  DeviceRates rates_;
  double weights_ = 0.0;  // elements of this rank's matrices
  double ratio_ = 1.0;    // measured to predicted
};

}  // namespace herd::scheduler
