#pragma once
// StepOutputs: rows of logits or states, and prompt log-probabilities, that are too many for one message. All logits of
// 512 rows of a vocabulary of 128,256 are 250 MiB. Between processes
//   rank 0  → replica   sends cut_outputs(result) first, then the result; the replica puts them together (OutputJoiner);
//   replica → gateway   sends cut_deltas(deltas), one message each; nothing is put together: each piece is a delta.
// Pieces keep the order of positions, and keep_unsent (output_rows.h) drops repeated ones as it does whole chunks. Pure.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/ids.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::step {

// Of one rank and step: a part of StepResult's members of the same names.
struct StepOutputs {
  Epoch epoch;
  StepId step;
  std::uint32_t rank = 0;
  std::vector<OutputRows> outputs;
  std::vector<PromptLogprobs> prompt_logprobs;  // at most one run a sequence
  bool operator==(const StepOutputs&) const = default;
};

// How much of both one message carries: a result's tokens, or a plan's worth of them, still fit beside it in 16 MiB. One row
// alone may be longer (all layers of one row: layers * width values).
inline constexpr std::size_t kMessageOutputBytes = std::size_t{2} << 20;
inline constexpr std::size_t kDeltaOutputsMax = 8;      // chunks of each kind that one delta carries
inline constexpr std::size_t kDeltasMessageBytes = std::size_t{4} << 20;

// Rows in pieces of at most `values_max` values (of one row at least), rising positions. values is [layers, rows, width].
[[nodiscard]] std::vector<OutputRows> cut_rows(OutputRows rows, std::size_t values_max);

// Nothing when the result's outputs fit beside its tokens; else all of them, and the result has none left.
[[nodiscard]] std::vector<StepOutputs> cut_outputs(StepResult& result);

// Deltas that together fit one message, in order. Pieces before the last of a delta have its times and no token or end.
[[nodiscard]] std::vector<std::vector<TokenDelta>> cut_deltas(std::vector<TokenDelta> deltas);

// Parts of the steps of one rank, until their result comes. Parts of another epoch or of a step that is over are dropped
// with the next result.
class OutputJoiner {
 public:
  void add(StepOutputs part);
  // The parts of this step come before the result's own.
  [[nodiscard]] StepResult join(StepResult result);

 private:
  std::vector<StepOutputs> parts_;
};

}  // namespace herd::step
