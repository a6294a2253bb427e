#pragma once
// What a replica has to do and how fast it does it: as it said last (ReplicaLoad), and as a gateway takes it to be until it says
// more (LoadEstimate). Pure.

#include <algorithm>
#include <cstdint>

namespace herd::routing {

struct ReplicaLoad {
  std::uint32_t running = 0;        // sequences of all gateways
  std::uint32_t waiting = 0;
  std::uint64_t waiting_tokens = 0; // of prompts of those that wait
  double decode_step_s = 0.0;       // a step of the sequences that run, of one where none does; 0: not known
  double prompt_token_s = 0.0;      // a token of a prompt in a full chunk; 0: not known
  double moved_token_s = 0.0;       // a token whose KV blocks come from another replica; 0: none has come yet
};

class LoadEstimate {
 public:
  // How long answers are taken to be: nobody knows when they begin.
  static constexpr double kAnswerTokens = 64;

  // `own`: sequences of this gateway that are there, here and below.
  void on_report(const ReplicaLoad& load, std::uint32_t own) {
    said_ = load;
    own_then_ = own;
    sent_tokens_ = 0;
  }
  // A prompt of so many tokens that its cache does not hold went there.
  void on_sent(std::uint64_t tokens) { sent_tokens_ += tokens; }

  // Sequences of all gateways that are there.
  [[nodiscard]] std::uint32_t sequences(std::uint32_t own) const {
    const std::uint32_t said = said_.running + said_.waiting + own;
    return std::max(own, said - std::min(said, own_then_));
  }
  // How many tokens take as long to compute as so many take to come from another replica.
  [[nodiscard]] std::uint64_t tokens_as_long_as(std::uint64_t moved_tokens) const {
    if (!(said_.moved_token_s > 0) || said_.moved_token_s >= said_.prompt_token_s) return moved_tokens;
    return static_cast<std::uint64_t>(static_cast<double>(moved_tokens) * said_.moved_token_s / said_.prompt_token_s);
  }
  [[nodiscard]] bool is_measured() const { return said_.decode_step_s > 0 && said_.prompt_token_s > 0; }
  // How long its first token would take, where no others have prompts at the same time.
  [[nodiscard]] double first_token_seconds_of(std::uint64_t tokens) const {
    return static_cast<double>(said_.waiting_tokens + sent_tokens_ + tokens) * said_.prompt_token_s + said_.decode_step_s;
  }
  // How long one more sequence with a prompt of so many tokens would take there: the prompts before it, its own, then the steps
  // of its answer. A sequence that was not there yet makes a step longer by what a row costs where arithmetic is the bound; where
  // reading weights is, by less.
  [[nodiscard]] double seconds_of(std::uint64_t tokens, std::uint32_t own) const {
    const double more = 1.0 + sequences(own) - std::min(sequences(own), said_.running);
    return first_token_seconds_of(tokens) + kAnswerTokens * (said_.decode_step_s + more * said_.prompt_token_s);
  }

 private:
  ReplicaLoad said_;
  std::uint32_t own_then_ = 0;
  std::uint64_t sent_tokens_ = 0;  // since it said so
};

}  // namespace herd::routing
