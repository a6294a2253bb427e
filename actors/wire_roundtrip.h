#pragma once
// The codec switch: when on, a message passes through encode, seal, open and decode on its way to another actor, as
// it would between processes. These are our own bytes, so a refusal is our bug and ends the process.

#include <vector>

#include "cluster/wire/generate_codec.h"
#include "runtime/scheduler/step_plan.h"
#include "runtime/scheduler/submission.h"

namespace herd::actors {

class WireRoundtrip {
 public:
  explicit WireRoundtrip(bool on) : on_(on) {}
  [[nodiscard]] scheduler::Submission operator()(scheduler::Submission submission) const;
  [[nodiscard]] wire::Abort operator()(wire::Abort abort) const;
  [[nodiscard]] std::vector<scheduler::TokenDelta> operator()(std::vector<scheduler::TokenDelta> deltas) const;
  [[nodiscard]] scheduler::StepPlan operator()(scheduler::StepPlan plan) const;
  [[nodiscard]] scheduler::StepResult operator()(scheduler::StepResult result) const;

 private:
  bool on_;
};

}  // namespace herd::actors
