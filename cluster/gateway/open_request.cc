#include "cluster/gateway/open_request.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::gateway {

void OpenRequest::start(std::vector<step::Submission> choices) {
  started_ = true;
  for (step::Submission& choice : choices) {
    const bool begins_prompt = choices_.empty() || choice.sampling.choice == 0;
    const std::size_t first = begins_prompt ? choices_.size() : choices_.back().first;
    const std::uint32_t prompt_tokens = choice.prompt_tokens;
    choices_.push_back({.sequence = {}, .held = std::move(choice), .first = first, .prompt_tokens = prompt_tokens});
  }
  held_ = open_choices_ = choices_.size();
}

std::optional<OpenRequest::Next> OpenRequest::take_next() {
  if (allowed_ == 0 || held_ == 0) return std::nullopt;
  while (!choices_[next_].held) ++next_;
  --allowed_;
  --held_;
  Next next{.choice = static_cast<std::uint32_t>(next_), .submission = std::move(*choices_[next_].held)};
  choices_[next_].held.reset();
  return next;
}

bool OpenRequest::drop(std::uint32_t choice) {
  if (choice >= choices_.size() || !choices_[choice].held) return false;
  choices_[choice].held.reset();
  --held_;
  --open_choices_;
  return true;
}

SequenceId OpenRequest::sequence_of(std::uint32_t choice) const {
  return choice < choices_.size() ? choices_[choice].sequence : SequenceId{};
}

std::vector<SequenceId> OpenRequest::open_sequences() const {
  std::vector<SequenceId> open;
  for (const Choice& choice : choices_) {
    if (choice.sequence.value != 0) open.push_back(choice.sequence);
  }
  return open;
}

void OpenRequest::close_choice(std::uint32_t choice) {
  HERD_CHECK(sequence_of(choice).value != 0, "a choice ends once");
  choices_[choice].sequence = {};
  --open_choices_;
}

bool OpenRequest::has_credit() const { return delivered_ - consumed_ - terminals_.size() < asked_.credit; }

void OpenRequest::on_delivered(std::uint32_t choice, const step::TokenDelta& delta) {
  ++delivered_;
  const bool terminal = delta.finish != step::FinishReason::kNone;
  if (terminal) terminals_.push_back(delivered_);
  if (delta.has_token) ++output_tokens_;
  Choice& of = choices_.at(choice);
  // Rows that go out before the first token say nothing about the cache yet.
  if (of.delivered || (!delta.has_token && !terminal)) return;
  of.delivered = true;
  Choice& first = choices_[of.first];
  if (!std::exchange(first.computed, true)) prompt_tokens_ += first.prompt_tokens;
  if (of.first == choice) cached_tokens_ += std::min(delta.cached_tokens, first.prompt_tokens);
}

void OpenRequest::on_consumed(std::size_t deltas) {
  consumed_ = std::min(delivered_, consumed_ + deltas);
  std::erase_if(terminals_, [this](std::uint64_t delta) { return delta <= consumed_; });
}

}  // namespace herd::gateway
