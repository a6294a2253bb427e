// The half of Scheduler that takes results: tokens, ends, failures, and the return of blocks.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "runtime/step/output_rows.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::scheduler {
namespace {

// Results list sampled tokens in plan order; the search beyond the cursor is for ranks that do not.
const step::SampledToken* find_sampled(const step::StepResult& result, SequenceId id, std::size_t& cursor) {
  if (cursor < result.sampled.size() && result.sampled[cursor].sequence == id) return &result.sampled[cursor++];
  const auto found = std::ranges::find(result.sampled, id, &step::SampledToken::sequence);
  return found == result.sampled.end() ? nullptr : &*found;
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

std::vector<step::TokenDelta> Scheduler::on_step_done(const step::StepResult& result, Instant now) {
  std::vector<step::TokenDelta> deltas;
  if (lost_ || outstanding_.empty() || result.epoch != epoch_ || result.step != outstanding_.front().step) {
    ++counters_.stale_results;
    return deltas;
  }
  const PlanInFlight record = std::move(outstanding_.front());
  outstanding_.pop_front();
  for (const SliceInFlight& slice : record.slices) {
    --sequences_[slice.slot].steps_in_flight;
    sequences_[slice.slot].samples_in_flight -= slice.sample ? 1 : 0;
  }
  if (result.status.ok()) {
    deltas.reserve(record.slices.size());
    std::size_t cursor = 0;
    for (const SliceInFlight& slice : record.slices) take_slice(slice, result, now, cursor, deltas);
  } else {
    fail_all(result.status, deltas);
  }
  for (const SliceInFlight& slice : record.slices) settle(slice.slot);
  return deltas;
}

void Scheduler::fail_all(const Status& status, std::vector<step::TokenDelta>& deltas) {
  std::vector<std::pair<std::uint64_t, Slot>> open;
  for (Slot slot = 0; slot < sequences_.size(); ++slot) {
    const SequenceState state = sequences_[slot].state;
    if (state != SequenceState::kFree && state != SequenceState::kEnded)
      open.emplace_back(sequences_[slot].arrival, slot);
  }
  std::ranges::sort(open);
  for (const auto& [arrival, slot] : open) end_sequence(slot, deltas.emplace_back(), step::FinishReason::kFailed, status);
}

void Scheduler::take_slice(const SliceInFlight& slice, const step::StepResult& result, Instant now, std::size_t& cursor,
                           std::vector<step::TokenDelta>& deltas) {
  Sequence& sequence = sequences_[slice.slot];
  const step::SampledToken* sampled = find_sampled(result, sequence.id, cursor);
  if (sequence.state == SequenceState::kEnded) {
    counters_.tokens_discarded += slice.sample ? 1 : 0;
    return;
  }
  sequence.computed_tokens = slice.position + slice.rows;
  step::TokenDelta delta;
  delta.sequence = sequence.id;
  delta.attempt = sequence.attempt;
  if (sampled != nullptr && !sampled->finite) {
    end_sequence(slice.slot, delta, step::FinishReason::kFailed, not_finite("output", sequence.emitted_tokens()));
  } else if (const auto position = not_finite_prompt_token(result, sequence.id)) {
    end_sequence(slice.slot, delta, step::FinishReason::kFailed, not_finite("prompt", *position));
  } else if (slice.sample && (sampled == nullptr || sampled->output_index != slice.output_index)) {
    end_sequence(slice.slot, delta, step::FinishReason::kFailed,
                 {StatusCode::kInternal, "the step's result lacks the token of this sequence"});
  } else {
    take_outputs(sequence, slice, result, delta);
    const bool scored = !sequence.sampling && sequence.computed_tokens == sequence.num_tokens();
    if ((slice.sample || scored) && !sequence.prefilled) {
      sequence.prefilled = true;
      sequence.prefill_s = static_cast<float>(seconds_between(sequence.first_planned_at, now));
    }
    if (sequence.prefilled) report_service(sequence, delta);
    if (slice.sample) {
      take_token(slice.slot, *sampled, delta);
    } else if (scored) {
      end_sequence(slice.slot, delta, step::FinishReason::kLength, {});
    }
  }
  if (delta.has_token || delta.finish != step::FinishReason::kNone || !delta.outputs.empty() ||
      !delta.prompt_logprobs.empty())
    deltas.push_back(std::move(delta));
}

void Scheduler::report_service(const Sequence& sequence, step::TokenDelta& delta) {
  if (!sequence.was_admitted) return;
  delta.cached_tokens = sequence.cached_tokens;
  delta.queued_s = static_cast<float>(seconds_between(sequence.submitted_at, sequence.first_planned_at));
  delta.prefill_s = sequence.prefill_s;
}

void Scheduler::take_token(Slot slot, const step::SampledToken& sampled, step::TokenDelta& delta) {
  Sequence& sequence = sequences_[slot];
  HERD_CHECK(sequence.computed_tokens == sequence.num_tokens(), "a token is sampled from the last known row");
  HERD_CHECK(sampled.output_index == sequence.emitted_tokens(), "tokens are taken in order, each once");
  blocks_.on_computed(sequence.table, sequence.tokens, sequence.cache_salt);
  if (!sequence.sampled_since_admission) stop_leading(slot);
  sequence.tokens.push_back(sampled.token);
  sequence.sampled_since_admission = true;
  ++counters_.tokens_emitted;
  delta.has_token = true;
  delta.token = sampled;
  if (sequence.emitted_tokens() > sequence.params.min_tokens &&
      std::ranges::count(sequence.stop_ids, sampled.token) > 0) {
    end_sequence(slot, delta, step::FinishReason::kStop, {});
  } else if (sequence.num_tokens() >= sequence.tokens_max) {
    end_sequence(slot, delta, step::FinishReason::kLength, {});
  }
}

void Scheduler::take_outputs(Sequence& sequence, const SliceInFlight& slice, const step::StepResult& result,
                             step::TokenDelta& delta) {
  if (sequence.output == step::OutputSelector::kNone) return;
  // The last row of an inner chunk is an accident of chunking.
  if (last_row_only(sequence.output) && slice.position + slice.rows < sequence.num_tokens()) return;
  const auto of_sequence = [&](const auto& chunk) { return chunk.sequence == sequence.id; };
  std::ranges::copy_if(result.outputs, std::back_inserter(delta.outputs), of_sequence);
  std::ranges::copy_if(result.prompt_logprobs, std::back_inserter(delta.prompt_logprobs), of_sequence);
  step::keep_unsent(delta.outputs, sequence.output_rows_sent);
  step::keep_unsent(delta.prompt_logprobs, sequence.output_rows_sent);
}

}  // namespace herd::scheduler
