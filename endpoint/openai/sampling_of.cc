#include "endpoint/openai/sampling_of.h"

namespace herd::openai {

step::SamplingParams sampling_of(const GenerationFields& fields, const model::GenerationConfig& defaults) {
  auto or_default = [](const auto& asked, const auto& configured, float fallback) {
    return asked ? *asked : static_cast<float>(configured.value_or(fallback));
  };
  step::SamplingParams params;
  params.temperature = or_default(fields.temperature, defaults.temperature, 1.0F);
  params.top_p = or_default(fields.top_p, defaults.top_p, 1.0F);
  params.min_p = or_default(fields.min_p, defaults.min_p, 0.0F);
  params.repetition_penalty = or_default(fields.repetition_penalty, defaults.repetition_penalty, 1.0F);
  params.top_k = fields.top_k ? *fields.top_k : defaults.top_k.value_or(0);
  params.presence_penalty = fields.presence_penalty;
  params.frequency_penalty = fields.frequency_penalty;
  params.logit_bias = fields.logit_bias;
  params.stop_token_ids = fields.stop_token_ids;
  params.ignore_eos = fields.ignore_eos;
  params.min_tokens = fields.min_tokens;
  params.logprobs = fields.logprobs;
  return params;
}

}  // namespace herd::openai
