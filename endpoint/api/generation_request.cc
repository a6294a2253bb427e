#include "endpoint/api/generation_request.h"

#include "kernels/splitmix64.h"

namespace herd::api {
namespace {

// One drawn seed gives each prompt of the request its own.
std::uint64_t seed_of_prompt(std::uint64_t seed, std::uint64_t prompt) {
  return splitmix64_finish(seed + (prompt + 1) * kSplitMix64Step);
}

}  // namespace

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
