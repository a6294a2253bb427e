#include "actors/wire_roundtrip.h"

#include <span>

#include "cluster/wire/envelope.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"

namespace herd::actors {
namespace {

template <class Value, class Decode>
Value decoded(const wire::Frame& frame, Decode decode) {
  const auto opened = wire::open(wire::seal(frame, Epoch(1), Epoch(1)));
  HERD_CHECK(opened.has_value(), opened.error().message().c_str());
  HERD_CHECK(opened->frame == frame, "a frame comes back as it was sealed");
  Expected<Value> value = decode(opened->frame.words);
  HERD_CHECK(value.has_value(), value.error().message().c_str());
  return std::move(*value);
}

}  // namespace

scheduler::Submission WireRoundtrip::operator()(scheduler::Submission submission) const {
  if (!on_) return submission;
  return decoded<scheduler::Submission>(wire::encode(submission), wire::decode_submission);
}

wire::Abort WireRoundtrip::operator()(wire::Abort abort) const {
  if (!on_) return abort;
  return decoded<wire::Abort>(wire::encode(abort), wire::decode_abort);
}

std::vector<scheduler::TokenDelta> WireRoundtrip::operator()(std::vector<scheduler::TokenDelta> deltas) const {
  if (!on_) return deltas;
  return decoded<std::vector<scheduler::TokenDelta>>(wire::encode(deltas), wire::decode_token_deltas);
}

scheduler::StepPlan WireRoundtrip::operator()(scheduler::StepPlan plan) const {
  if (!on_) return plan;
  return decoded<scheduler::StepPlan>(wire::encode(plan), wire::decode_step_plan);
}

scheduler::StepResult WireRoundtrip::operator()(scheduler::StepResult result) const {
  if (!on_) return result;
  return decoded<scheduler::StepResult>(wire::encode(result), wire::decode_step_result);
}

}  // namespace herd::actors
