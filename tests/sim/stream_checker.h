#pragma once
// StreamChecker: one client's view of its sequence, and promise P1: positions contiguous, each once; exactly one
// terminal event and nothing after it; the tokens are the pure function of prompt and seed, whatever failed.

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/step/submission.h"
#include "tests/sim/toy_shard.h"

namespace herd::sim {

class StreamChecker {
 public:
  StreamChecker(const step::Submission& submission, std::uint32_t max_model_len, TokenId vocab_size)
      : submission_(submission), expected_(toy_stream(submission, max_model_len, vocab_size)) {}

  void on_delta(const step::TokenDelta& delta);

  [[nodiscard]] bool ended() const { return finish_ != step::FinishReason::kNone; }
  [[nodiscard]] step::FinishReason finish() const { return finish_; }
  [[nodiscard]] std::uint32_t tokens() const { return tokens_; }
  [[nodiscard]] std::uint32_t prompt_logprobs() const { return prompt_position_ - 1; }
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

 private:
  void violate(const std::string& what) {
    if (!violation_) violation_ = what;
  }

  void on_prompt_logprobs(const step::PromptLogprobs& run);

  step::Submission submission_;
  ToyStream expected_;
  std::uint32_t tokens_ = 0;
  std::uint32_t prompt_position_ = 1;  // of the next prompt log-probability
  step::FinishReason finish_ = step::FinishReason::kNone;
  std::optional<std::string> violation_;
};

}  // namespace herd::sim
