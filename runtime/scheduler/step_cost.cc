#include "runtime/scheduler/step_cost.h"

#include <algorithm>

namespace herd::scheduler {

StepShape shape_of(const step::StepPlan& plan) {
  StepShape shape;
  for (const step::SequenceSlice& slice : plan.slices) {
    shape.rows += slice.rows;
    shape.logit_rows += slice.sample ? 1 : 0;
    shape.context_tokens += slice.position + slice.rows;
    shape.attended += std::uint64_t{slice.rows} * slice.position + std::uint64_t{slice.rows} * (slice.rows + 1) / 2;
  }
  return shape;
}

StepCost::StepCost(const model::LlamaConfig& config, const model::Encoding& /*encoding*/, int ranks, const DeviceRates& rates)
    : rates_(rates) {
  const double layer = 2.0 * config.hidden_size * (config.query_size() + config.kv_size()) +
                       3.0 * config.hidden_size * config.intermediate_size;
  weights_ = (config.layers * layer + 1.0 * config.vocab_size * config.hidden_size) / ranks;
}

double StepCost::step_seconds(const StepShape& shape) const {
  return ratio_ * (rates_.step_overhead_s + 2.0 * weights_ * shape.rows / rates_.flops_per_s + weights_ / rates_.bytes_per_s);
}

double StepCost::operation_seconds(Operation operation, const StepShape& shape) const {
  return operation == Operation::kIdle ? 0.0 : step_seconds(shape);
}

void StepCost::on_step(const StepShape& shape, double seconds) {
  ratio_ = std::clamp(ratio_ * (0.95 + 0.05 * seconds / step_seconds(shape)), 1e-3, 1e3);
}

}  // namespace herd::scheduler
