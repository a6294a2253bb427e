#pragma once
// One completion of `herd generate`, and its line of JSON.

#include <string>
#include <vector>

#include "runtime/step/step_plan.h"

namespace herd::commands {

struct Completion {
  std::vector<TokenId> prompt_token_ids;
  std::vector<TokenId> token_ids;
  std::string text;
  std::string finish_reason;
  std::vector<step::SampledToken> logprobs;  // empty when not asked for
  std::uint32_t cached_tokens = 0;
  double ttft_s = 0.0;
  double tpot_s = 0.0;
  double prefill_tokens_per_s = 0.0;
  double decode_tokens_per_s = 0.0;
};

std::string to_json_line(const Completion& completion);

}  // namespace herd::commands
