#include "tests/sim/stream_checker.h"

#include <span>

namespace herd::sim {

using step::FinishReason;

void StreamChecker::on_delta(const step::TokenDelta& delta) {
  if (ended()) violate("a delta after the terminal event");
  for (const auto& run : delta.prompt_logprobs) on_prompt_logprobs(run);
  if (delta.has_token) {
    if (delta.token.output_index != tokens_)
      violate("token " + std::to_string(delta.token.output_index) + " where " + std::to_string(tokens_) + " was due");
    else if (tokens_ >= expected_.tokens.size())
      violate("token " + std::to_string(tokens_) + " beyond the stream's end");
    else if (delta.token.token != expected_.tokens[tokens_])
      violate("token " + std::to_string(tokens_) + " is " + std::to_string(delta.token.token) + ", not " +
              std::to_string(expected_.tokens[tokens_]));
    ++tokens_;
  }
  finish_ = delta.finish;
  const bool complete = finish_ == FinishReason::kStop || finish_ == FinishReason::kLength;
  if (complete && (tokens_ != expected_.tokens.size() || finish_ != expected_.finish))
    violate(std::string("ended with ") + finish_reason_name(finish_) + " after " + std::to_string(tokens_) +
            " tokens, not " + finish_reason_name(expected_.finish) + " after " +
            std::to_string(expected_.tokens.size()));
  const bool scored = submission_.output == step::OutputSelector::kPromptLogprobs;
  if (scored && (tokens_ > 0 || complete) && prompt_position_ != submission_.prompt_tokens)
    violate("log-probabilities of the prompt are missing");
  if (finish_ == FinishReason::kRefused && tokens_ > 0) violate("refused after it ran");
}

void StreamChecker::on_prompt_logprobs(const step::PromptLogprobs& run) {
  if (submission_.output != step::OutputSelector::kPromptLogprobs) violate("prompt log-probabilities unasked for");
  const std::span<const TokenId> tokens(submission_.tokens);
  for (std::uint32_t i = 0; i < run.tokens.size(); ++i, ++prompt_position_) {
    if (run.position + i != prompt_position_ || prompt_position_ >= submission_.prompt_tokens)
      return violate("prompt log-probability " + std::to_string(run.position + i) + " where " +
                     std::to_string(prompt_position_) + " was due");
    if (run.tokens[i].token != tokens[prompt_position_] ||
        run.tokens[i].logprob != -toy_row(tokens.first(prompt_position_), 0))
      violate("prompt log-probability " + std::to_string(prompt_position_) + " is not the prompt's");
  }
}

}  // namespace herd::sim
