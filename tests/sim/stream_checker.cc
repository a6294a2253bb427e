#include "tests/sim/stream_checker.h"

namespace herd::sim {

using scheduler::FinishReason;

void StreamChecker::on_delta(const scheduler::TokenDelta& delta) {
  if (ended()) violate("a delta after the terminal event");
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
  if (finish_ == FinishReason::kRefused && tokens_ > 0) violate("refused after it ran");
}

}  // namespace herd::sim
