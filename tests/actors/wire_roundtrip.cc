#include "actors/messages/wire_roundtrip.h"

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

step::Submission WireRoundtrip::operator()(step::Submission submission) const {
  if (!on_) return submission;
  return decoded<step::Submission>(wire::encode(submission), wire::decode_submission);
}

wire::Abort WireRoundtrip::operator()(wire::Abort abort) const {
  if (!on_) return abort;
  return decoded<wire::Abort>(wire::encode(abort), wire::decode_abort);
}

std::vector<step::TokenDelta> WireRoundtrip::operator()(std::vector<step::TokenDelta> deltas) const {
  if (!on_) return deltas;
  return decoded<std::vector<step::TokenDelta>>(wire::encode(deltas), wire::decode_token_deltas);
}

step::StepPlan WireRoundtrip::operator()(step::StepPlan plan) const {
  if (!on_) return plan;
  return decoded<step::StepPlan>(wire::encode(plan), wire::decode_step_plan);
}

step::StepResult WireRoundtrip::operator()(step::StepResult result) const {
  if (!on_) return result;
  return decoded<step::StepResult>(wire::encode(result), wire::decode_step_result);
}

}  // namespace herd::actors
