#include "runtime/scheduler/submission_check.h"

#include <algorithm>
#include <string>

namespace herd::scheduler {
namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }

// What would fail the step at the ranks, and with it the whole group: a gateway of another build or model may ask for it.
Status check_vocabulary(const step::Submission& submission, TokenId vocab_size) {
  if (vocab_size == 0) return {};
  const auto outside = [vocab_size](TokenId token) { return token < 0 || token >= vocab_size; };
  if (const auto token = std::ranges::find_if(submission.tokens, outside); token != submission.tokens.end())
    return bad_input("token id " + std::to_string(*token) + " at position " +
                     number(static_cast<std::uint64_t>(token - submission.tokens.begin())) +
                     " is outside the model's vocabulary of " + std::to_string(vocab_size));
  if (const auto end = std::ranges::find_if(submission.eos_ids, outside); end != submission.eos_ids.end())
    return bad_input("end id " + std::to_string(*end) + " is outside the model's vocabulary of " +
                     std::to_string(vocab_size));
  if (const Status status = submission.sampling.validate(vocab_size); !status.ok()) return bad_input(status.message());
  return {};
}

}  // namespace

Status check_submission(const step::Submission& submission, const SchedulerConfig& config) {
  const std::uint64_t tokens = submission.tokens.size();
  if (submission.prompt_tokens == 0 || submission.prompt_tokens > tokens) {
    return bad_input("the prompt is empty; give at least one token");
  }
  if (Status status = check_vocabulary(submission, config.vocab_size); !status.ok()) return status;
  const bool scoring = submission.max_tokens == 0;
  if (scoring && (submission.output == step::OutputSelector::kNone || tokens > submission.prompt_tokens)) {
    return bad_input("max_tokens is 0; it must be at least 1 unless outputs of the prompt alone are asked for");
  }
  if (!scoring && tokens - submission.prompt_tokens >= submission.max_tokens) {
    return bad_input("all of max_tokens (" + number(submission.max_tokens) + ") is already emitted");
  }
  // A sampled token needs a place behind the others.
  const std::uint64_t tokens_max = scoring ? config.max_model_len : config.max_model_len - 1;
  if (tokens > tokens_max) {
    return bad_input("the prompt has " + number(tokens) + " tokens, the model's context holds " +
                     number(config.max_model_len) + (scoring ? "" : " including at least one new one") +
                     "; shorten the prompt or raise --max-model-len");
  }
  // The last token emitted is never computed, so it needs no slot.
  const std::uint64_t length =
      std::min<std::uint64_t>(std::uint64_t{submission.prompt_tokens} + submission.max_tokens, config.max_model_len);
  const std::uint64_t slots = scoring ? tokens : length - 1;
  const std::uint64_t pool = std::uint64_t{config.num_blocks} * config.block_size;
  if (slots > pool) {
    const bool prompt_fits = tokens <= pool;
    return bad_input("the sequence may need " + number(slots) + " KV slots, the cache has " + number(pool) + "; " +
                     (prompt_fits && !scoring ? "lower max_tokens to " + number(pool + 1 - submission.prompt_tokens)
                                              : "shorten the prompt to " + number(pool) + " tokens") +
                     " or give the KV cache more blocks");
  }
  return {};
}

}  // namespace herd::scheduler
