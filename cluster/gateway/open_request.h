#pragma once
// OpenRequest: one request between its admission and its end: which of its choices are open, what was delivered and not yet
// consumed, and what it cost. Pure.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/gateway/gateway_effects.h"

namespace herd::gateway {

class OpenRequest {
 public:
  explicit OpenRequest(const GatewayRequest& asked) : asked_(asked) {}

  [[nodiscard]] const GatewayRequest& asked() const { return asked_; }
  // Its choices were handed over.
  [[nodiscard]] bool started() const { return started_; }

  // Its turn came: these are its choices, in order, and all of them are open. They are held back until each may run.
  void start(std::vector<step::Submission> choices);
  // So many more of them may run; also before start().
  void allow(std::uint32_t choices) { allowed_ += choices; }
  // The next choice that may run and is held back; nullopt: none.
  struct Next {
    std::uint32_t choice = 0;
    step::Submission submission;
  };
  [[nodiscard]] std::optional<Next> take_next();
  void run(std::uint32_t choice, SequenceId sequence) { choices_.at(choice).sequence = sequence; }
  // The choice is over before it ran. False: it is not held back.
  bool drop(std::uint32_t choice);
  [[nodiscard]] bool holds_back() const { return held_ > 0; }
  // 0: that choice is over or held back, or there is none.
  [[nodiscard]] SequenceId sequence_of(std::uint32_t choice) const;
  [[nodiscard]] std::vector<SequenceId> open_sequences() const;  // in order of the choices
  [[nodiscard]] std::size_t open_choices() const { return open_choices_; }
  void close_choice(std::uint32_t choice);

  // May one more delta that ends nothing be delivered?
  [[nodiscard]] bool has_credit() const;
  void on_delivered(std::uint32_t choice, const step::TokenDelta& delta);
  void on_consumed(std::size_t deltas);

  [[nodiscard]] std::uint64_t output_tokens() const { return output_tokens_; }
  // Prompt tokens that were computed, in so far as replicas told: none before the first token, and each prompt once, with what the
  // first of its choices to run delivers. What the prefix cache served costs nothing, as the prompt's first choice found it.
  [[nodiscard]] std::uint64_t computed_prompt_tokens() const { return output_tokens_ == 0 ? 0 : prompt_tokens_ - cached_tokens_; }

 private:
  struct Choice {
    SequenceId sequence;  // 0: over, or held back
    std::optional<step::Submission> held{};
    std::size_t first = 0;            // the first choice of its prompt
    std::uint32_t prompt_tokens = 0;  // of that
    bool delivered = false;           // something
    bool computed = false;            // of a first one: its prompt counts
  };

  GatewayRequest asked_;
  bool started_ = false;
  std::vector<Choice> choices_;
  std::size_t next_ = 0;    // no choice before it is held back
  std::size_t held_ = 0;    // choices
  std::size_t allowed_ = 0; // of these, that may run
  std::size_t open_choices_ = 0;
  std::uint64_t delivered_ = 0;  // deltas
  std::uint64_t consumed_ = 0;
  std::vector<std::uint64_t> terminals_;  // which of the delivered ended a choice, counted from 1; not consumed yet
  std::uint64_t output_tokens_ = 0;
  std::uint64_t prompt_tokens_ = 0;  // that count
  std::uint64_t cached_tokens_ = 0;  // of these
};

}  // namespace herd::gateway
