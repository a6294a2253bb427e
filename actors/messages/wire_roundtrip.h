#pragma once
// The codec switch: when on, a message passes through encode, seal, open and decode on its way to another actor, as
// it would between processes. These are our own bytes, so a refusal is our bug and ends the process.

#include <vector>

#include "cluster/wire/generate_codec.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::actors {

class WireRoundtrip {
 public:
  explicit WireRoundtrip(bool on) : on_(on) {}
  [[nodiscard]] step::Submission operator()(step::Submission submission) const;
  [[nodiscard]] step::AttemptKey operator()(step::AttemptKey aborted) const;
  [[nodiscard]] std::vector<step::TokenDelta> operator()(std::vector<step::TokenDelta> deltas) const;
  [[nodiscard]] step::StepPlan operator()(step::StepPlan plan) const;
  [[nodiscard]] step::StepResult operator()(step::StepResult result) const;

 private:
  bool on_;
};

}  // namespace herd::actors
