#pragma once
// What completions and chat requests share: sampling, stopping, length, streaming.

#include "endpoint/openai/json_fields.h"
#include "endpoint/openai/openai_request.h"

namespace herd::openai {

// All but logprobs, which the two endpoints spell differently. `max_tokens_min`: 0 where an echo alone is an answer.
void read_generation(JsonFields& fields, const RequestLimits& limits, std::uint32_t max_tokens_min,
                     GenerationFields& generation);

// A list of ids, each in [0, vocab_size). Empty when refused.
[[nodiscard]] std::vector<TokenId> read_token_ids(const boost::json::array& ids, const JsonPath& path,
                                                  std::int32_t vocab_size, Refusal& refusal);

// `model` of every request: empty when absent.
[[nodiscard]] std::string read_model(JsonFields& fields);

// 400 context_length_exceeded at `path`: it holds `held` `what` and may hold `most`.
void refuse_length(const JsonPath& path, std::size_t held, std::size_t most, const char* what, Refusal& refusal);

}  // namespace herd::openai
