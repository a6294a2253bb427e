#pragma once
// Fields of a request -> what the sampler shall do. The one place that fills in defaults: the request's value, then the
// checkpoint's (generation_config.json), then OpenAI's.

#include "endpoint/openai/openai_request.h"
#include "runtime/checkpoint/generation_config.h"
#include "runtime/step/sampling_params.h"

namespace herd::openai {

// All but the seed and the choice, which are the caller's. Not validated: SamplingParams::validate does.
[[nodiscard]] step::SamplingParams sampling_of(const GenerationFields& fields, const model::GenerationConfig& defaults);

}  // namespace herd::openai
