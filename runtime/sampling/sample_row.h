#pragma once
// What one row of logits is sampled by.

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "runtime/step/sampling_params.h"
#include "runtime/step/step_plan.h"

namespace herd::sampling {

// What the penalties need to know of one sequence. Rebuilt by replay: prompt() then emitted() in order.
class TokenCounts {
 public:
  void add_prompt(TokenId token) { counts_.try_emplace(token, 0U); }
  void add_emitted(TokenId token) { ++counts_[token]; }
  // Token → how often it was emitted; prompt tokens are there with 0.
  [[nodiscard]] const std::unordered_map<TokenId, std::uint32_t>& counts() const { return counts_; }

 private:
  std::unordered_map<TokenId, std::uint32_t> counts_;
};

// One row to draw from.
struct SampleRow {
  SequenceId sequence;
  std::uint32_t output_index = 0;
  const step::SamplingParams* params = nullptr;
  const std::vector<TokenId>* stop_ids = nullptr;  // masked before min_tokens
  const TokenCounts* counts = nullptr;             // may be null when no penalty is set
};

// True when a stage needs to know the tokens so far.
[[nodiscard]] bool penalised(const step::SamplingParams& params);
// True when a stage before the draw would change the row.
[[nodiscard]] bool edits_row(const SampleRow& row);

}  // namespace herd::sampling
