#include "endpoint/api/generation_request.h"

#include <bit>

#include "kernels/splitmix64.h"

namespace herd::api {
namespace {

// One drawn seed gives each prompt of the request its own.
std::uint64_t seed_of_prompt(std::uint64_t seed, std::uint64_t prompt) {
  return splitmix64_finish(seed + (prompt + 1) * kSplitMix64Step);
}

}  // namespace

access::BodyHash GenerationRequest::bound_hash(std::string_view body, const std::vector<TokenId>& eos_ids) const {
  std::string bound;
  const auto append = [&bound](std::int64_t number) { bound += std::to_string(number) += ' '; };
  for (const float number : {sampling.temperature, sampling.top_p, sampling.min_p, sampling.repetition_penalty})
    append(std::bit_cast<std::int32_t>(number));
  append(sampling.top_k);
  append(tokens_asked);
  bound += "end ";
  for (const TokenId id : eos_ids) append(id);
  bound += '\n';  // a body may follow in any form: what is before it has no line feed
  bound += body;
  return access::hash_body(bound);
}

std::uint64_t GenerationRequest::prompt_tokens() const {
  std::uint64_t sum = 0;
  for (const Prompt& prompt : prompts) sum += prompt.ids.size();
  return sum;
}

std::uint64_t GenerationRequest::output_tokens_max() const {
  std::uint64_t sum = 0;
  for (const Prompt& prompt : prompts) sum += std::uint64_t{prompt.max_tokens} * fields.n;
  return sum;
}

step::Submission GenerationRequest::submission(std::size_t choice, const std::vector<TokenId>& eos_ids) const {
  const std::size_t index = choice / fields.n;
  const Prompt& prompt = prompts[index];
  step::Submission submission;
  submission.tokens = prompt.ids;
  submission.prompt_tokens = static_cast<std::uint32_t>(prompt.ids.size());
  submission.max_tokens = prompt.max_tokens;
  submission.sampling = sampling;
  submission.sampling.seed = seed_given ? seed : seed_of_prompt(seed, index);
  submission.sampling.choice = static_cast<std::uint32_t>(choice % fields.n);
  submission.eos_ids = eos_ids;
  submission.priority = fields.priority;
  submission.cache_salt = cache_salt;
  if (echo && fields.logprobs >= 0) submission.output = step::OutputSelector::kPromptLogprobs;
  return submission;
}

}  // namespace herd::api
