#include "actors/messages/wire_roundtrip.h"

#include <algorithm>
#include <iterator>

#include "cluster/wire/envelope.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"
#include "runtime/step/step_outputs.h"

namespace herd::actors {
namespace {

template <class Value, class Decode>
Value decoded(const wire::Frame& frame, Decode decode) {
  const auto sealed = wire::seal(frame, Epoch(1), {ReplicaId(0), Epoch(1)});
  HERD_CHECK(sealed.has_value(), sealed.error().message().c_str());
  const auto opened = wire::open(*sealed);
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

step::AttemptKey WireRoundtrip::operator()(step::AttemptKey aborted) const {
  if (!on_) return aborted;
  return decoded<step::AttemptKey>(wire::encode(aborted), wire::decode_abort);
}

std::vector<step::TokenDelta> WireRoundtrip::operator()(std::vector<step::TokenDelta> deltas) const {
  if (!on_) return deltas;
  std::vector<step::TokenDelta> arrived;
  for (const std::vector<step::TokenDelta>& message : step::cut_deltas(std::move(deltas)))
    std::ranges::move(decoded<std::vector<step::TokenDelta>>(wire::encode(message), wire::decode_token_deltas),
                      std::back_inserter(arrived));
  return arrived;
}

step::StepPlan WireRoundtrip::operator()(step::StepPlan plan) const {
  if (!on_) return plan;
  return decoded<step::StepPlan>(wire::encode(plan), wire::decode_step_plan);
}

step::StepResult WireRoundtrip::operator()(step::StepResult result) const {
  if (!on_) return result;
  step::OutputJoiner joiner;
  for (const step::StepOutputs& part : step::cut_outputs(result))
    joiner.add(decoded<step::StepOutputs>(wire::encode(part), wire::decode_step_outputs));
  return joiner.join(decoded<step::StepResult>(wire::encode(result), wire::decode_step_result));
}

}  // namespace herd::actors
