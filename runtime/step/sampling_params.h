#pragma once
// What a request asked of the sampler. A value; it travels with the submission and does not change.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/ids.h"

namespace herd::step {

// A value that a field may not have: which field, and the sentence that says so ("top_p must be in [0, 1], not 2").
struct FieldError {
  std::string field;
  std::string message;
  bool operator==(const FieldError&) const = default;
};

struct SamplingParams {
  float temperature = 0.0F;         // [0, 100]; below 1e-5 is greedy
  std::int32_t top_k = 0;           // 0 or -1: all; 1 = greedy
  float top_p = 1.0F;               // [0, 1]; 0: the likeliest token
  float min_p = 0.0F;               // [0, 1]
  float repetition_penalty = 1.0F;  // > 0; prompt and output tokens
  float presence_penalty = 0.0F;    // [-2, 2]; output tokens
  float frequency_penalty = 0.0F;   // [-2, 2]; output tokens
  std::uint64_t seed = 0;           // Philox key; the gateway draws a missing one at acceptance
  std::uint32_t choice = 0;         // index within one prompt (0 … n-1); part of the Philox counter
  std::vector<std::pair<TokenId, float>> logit_bias;  // at most kLogitBiasMax, a token once
  std::vector<TokenId> stop_token_ids;                // at most kStopTokensMax; end the sequence like EOS
  bool ignore_eos = false;                            // end-of-sequence ids are ordinary tokens
  std::uint32_t min_tokens = 0;     // end and stop ids are masked until this many tokens are out
  std::int32_t logprobs = -1;       // -1: none; 0: chosen token only; n: also the n most likely, at most kLogprobsMax
  bool operator==(const SamplingParams&) const = default;

  [[nodiscard]] bool greedy() const { return temperature < 1e-5F || top_k == 1; }
  // The first field whose value is out of range or not finite; none when all are in order.
  [[nodiscard]] std::optional<FieldError> validate(std::int32_t vocab_size) const;
};

inline constexpr std::size_t kLogitBiasMax = 1024;
inline constexpr std::size_t kStopTokensMax = 128;
inline constexpr std::int32_t kLogprobsMax = 20;

}  // namespace herd::step
