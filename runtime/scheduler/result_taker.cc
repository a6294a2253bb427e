#include "runtime/scheduler/result_taker.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "runtime/step/output_rows.h"

namespace herd::scheduler {
namespace {

// Results list sampled tokens in plan order; the search beyond the cursor is for ranks that do not.
const step::SampledToken* find_sampled(const step::StepResult& result, SequenceId id, std::size_t& cursor) {
  if (cursor < result.sampled.size() && result.sampled[cursor].sequence == id) return &result.sampled[cursor++];
  const auto found = std::ranges::find(result.sampled, id, &step::SampledToken::sequence);
  return found == result.sampled.end() ? nullptr : &*found;
}

// What the ranks could not do for this sequence; null almost always.
const Status* failure_of(const step::StepResult& result, SequenceId id) {
  const auto found = std::ranges::find(result.failed, id, &step::SequenceFailure::sequence);
  return found == result.failed.end() ? nullptr : &found->status;
}

bool last_row_only(step::OutputSelector output) {
  return output == step::OutputSelector::kLogitsLast || output == step::OutputSelector::kHiddenLast;
}

Status not_finite(const char* kind, std::uint32_t index) {
  return {StatusCode::kBadInput, std::string("the model computed a value that is not finite (NaN or infinity) for ") +
                                     kind + " token " + std::to_string(index) + " of this sequence"};
}

// Position of the first prompt token whose row was not finite.
std::optional<std::uint32_t> not_finite_prompt_token(const step::StepResult& result, SequenceId id) {
  for (const step::PromptLogprobs& run : result.prompt_logprobs) {
    if (run.sequence != id) continue;
    const auto found = std::ranges::find_if(run.tokens, [](const auto& entry) { return std::isnan(entry.logprob); });
    if (found != run.tokens.end()) return run.position + static_cast<std::uint32_t>(found - run.tokens.begin());
  }
  return std::nullopt;
}

}  // namespace

std::vector<step::TokenDelta> ResultTaker::take() {
  const PlanInFlight record = std::move(state_.outstanding.front());
  state_.outstanding.pop_front();
  for (const SliceInFlight& slice : record.slices) {
    Sequence& sequence = state_.sequences[slice.slot];
    --sequence.steps_in_flight;
    sequence.samples_in_flight -= slice.sample ? 1 : 0;
  }
  if (result_.status.ok()) {
    deltas_.reserve(record.slices.size());
    for (const SliceInFlight& slice : record.slices) take_slice(slice);
  } else {
    fail_all();
  }
  for (const SliceInFlight& slice : record.slices) state_.sequences.settle(slice.slot);
  if (state_.transfers.active()) state_.transfers.on_step_done(state_.sequences.blocks(), record.copies, result_);
  return std::move(deltas_);
}

void ResultTaker::fail_all() {
  for (const Slot slot : state_.sequences.open_slots())
    state_.end_sequence(slot, deltas_.emplace_back(), step::FinishReason::kFailed, result_.status);
}

void ResultTaker::take_slice(const SliceInFlight& slice) {
  Sequence& sequence = state_.sequences[slice.slot];
  const step::SampledToken* sampled = find_sampled(result_, sequence.id, cursor_);
  if (sequence.state == SequenceState::kEnded) {
    state_.counters.tokens_discarded += slice.sample ? 1 : 0;
    return;
  }
  step::TokenDelta delta;
  if (const Status* failure = failure_of(result_, sequence.id)) {
    state_.end_sequence(slice.slot, delta, step::FinishReason::kFailed, *failure);
    deltas_.push_back(std::move(delta));
    return;
  }
  sequence.computed_tokens = slice.position + slice.rows;
  delta.sequence = sequence.id;
  delta.attempt = sequence.attempt;
  if (sampled != nullptr && !sampled->finite) {
    state_.end_sequence(slice.slot, delta, step::FinishReason::kFailed, not_finite("output", sequence.emitted_tokens()));
  } else if (const auto position = not_finite_prompt_token(result_, sequence.id)) {
    state_.end_sequence(slice.slot, delta, step::FinishReason::kFailed, not_finite("prompt", *position));
  } else if (slice.sample && (sampled == nullptr || sampled->output_index != slice.output_index)) {
    state_.end_sequence(slice.slot, delta, step::FinishReason::kFailed,
                        {StatusCode::kInternal, "the step's result lacks the token of this sequence"});
  } else {
    take_rows(sequence, slice, sampled, delta);
  }
  if (delta.has_token || delta.finish != step::FinishReason::kNone || !delta.outputs.empty() ||
      !delta.prompt_logprobs.empty())
    deltas_.push_back(std::move(delta));
}

// Inline: once for each slice.
inline void ResultTaker::take_rows(Sequence& sequence, const SliceInFlight& slice, const step::SampledToken* sampled,
                                   step::TokenDelta& delta) {
  take_outputs(sequence, slice, delta);
  const bool scored = !sequence.sampling && sequence.computed_tokens == sequence.num_tokens();
  if ((slice.sample || scored) && !sequence.prefilled) {
    sequence.prefilled = true;
    sequence.prefill_s = static_cast<float>(seconds_between(sequence.first_planned_at, now_));
  }
  if (sequence.prefilled) report_service(sequence, delta);
  if (slice.sample) {
    take_token(slice.slot, *sampled, delta);
  } else if (scored) {
    state_.end_sequence(slice.slot, delta, step::FinishReason::kLength, {});
  }
}

void ResultTaker::take_token(Slot slot, const step::SampledToken& sampled, step::TokenDelta& delta) {
  Sequence& sequence = state_.sequences[slot];
  HERD_CHECK(sequence.computed_tokens == sequence.num_tokens(), "a token is sampled from the last known row");
  HERD_CHECK(sampled.output_index == sequence.emitted_tokens(), "tokens are taken in order, each once");
  state_.sequences.blocks().on_computed(sequence.table, sequence.tokens, sequence.cache_salt);
  if (!sequence.sampled_since_admission) state_.leaders.stop_leading(slot, state_.sequences);
  sequence.tokens.push_back(sampled.token);
  sequence.sampled_since_admission = true;
  ++state_.counters.tokens_emitted;
  delta.has_token = true;
  delta.token = sampled;
  if (sequence.emitted_tokens() > sequence.params.min_tokens &&
      std::ranges::count(sequence.stop_ids, sampled.token) > 0) {
    state_.end_sequence(slot, delta, step::FinishReason::kStop, {});
  } else if (sequence.num_tokens() >= sequence.tokens_max) {
    state_.end_sequence(slot, delta, step::FinishReason::kLength, {});
  }
}

void ResultTaker::take_outputs(Sequence& sequence, const SliceInFlight& slice, step::TokenDelta& delta) {
  if (sequence.output == step::OutputSelector::kNone) return;
  // The last row of an inner chunk is an accident of chunking.
  if (last_row_only(sequence.output) && slice.position + slice.rows < sequence.num_tokens()) return;
  const auto of_sequence = [&](const auto& chunk) { return chunk.sequence == sequence.id; };
  std::ranges::copy_if(result_.outputs, std::back_inserter(delta.outputs), of_sequence);
  std::ranges::copy_if(result_.prompt_logprobs, std::back_inserter(delta.prompt_logprobs), of_sequence);
  step::keep_unsent(delta.outputs, sequence.output_rows_sent);
  step::keep_unsent(delta.prompt_logprobs, sequence.output_rows_sent);
}

}  // namespace herd::scheduler
