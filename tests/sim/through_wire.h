#pragma once
// A message as it comes out of its codec, when that is switched on. These are our own bytes, so a refusal is our bug.

#include <utility>

#include "cluster/wire/envelope.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"
#include "runtime/step/step_plan.h"

namespace herd::sim {

inline step::StepPlan through_wire(bool on, step::StepPlan plan) {
  if (!on) return plan;
  auto decoded = wire::decode_step_plan(wire::encode(plan).words);
  HERD_CHECK(decoded.has_value() && *decoded == plan, "a plan comes back as it was sent");
  return std::move(*decoded);
}

inline step::StepResult through_wire(bool on, step::StepResult result) {
  if (!on) return result;
  auto decoded = wire::decode_step_result(wire::encode(result).words);
  HERD_CHECK(decoded.has_value() && *decoded == result, "a result comes back as it was sent");
  return std::move(*decoded);
}

}  // namespace herd::sim
