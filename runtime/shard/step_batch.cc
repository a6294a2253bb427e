#include "runtime/shard/step_batch.h"

#include <algorithm>
#include <string>

namespace herd::shard {
namespace {

Status contradiction(SequenceId sequence, const std::string& what) {
  return {StatusCode::kInternal, "step plan: sequence " + std::to_string(sequence.value) + ": " + what};
}

}  // namespace

Status SequenceTable::extend(SequenceState& state, const std::vector<BlockId>& blocks) {
  for (const BlockId block : blocks) {
    if (block.value >= limits_.blocks)
      return contradiction(state.start.sequence, "block " + std::to_string(block.value) + " outside the pool");
    state.blocks.push_back(block.value);
  }
  return {};
}

Status SequenceTable::check(const step::SequenceStart& start) const {
  if (start.prompt_tokens > start.tokens.size()) return contradiction(start.sequence, "prompt border past the tokens");
  for (const TokenId token : start.tokens)
    if (token < 0 || token >= limits_.vocab_size)
      return contradiction(start.sequence, "token id " + std::to_string(token) + " outside the vocabulary");
  return {};
}

void SequenceTable::start(const step::SequenceStart& start) {
  auto [entry, fresh] = states_.try_emplace(start.sequence);
  SequenceState& state = entry->second;
  state.failure = fresh ? check(start) : contradiction(start.sequence, "started twice");
  if (!state.failure.ok()) return;
  state.start = start;
  state.birth = ++births_;
  state.tokens_at_start = start.tokens.size();
  if (sampling::penalised(start.sampling)) {
    for (std::size_t i = 0; i < start.prompt_tokens; ++i) state.counts.add_prompt(start.tokens[i]);
    for (std::size_t i = start.prompt_tokens; i < start.tokens.size(); ++i) state.counts.add_emitted(start.tokens[i]);
  }
  state.failure = extend(state, start.prefix_blocks);
}

Status SequenceTable::add_slice(const step::SequenceSlice& slice, SequenceState& state, StepBatch& batch) {
  if (Status status = extend(state, slice.new_blocks); !status.ok()) return status;
  const std::size_t end = std::size_t{slice.position} + slice.rows;
  if (slice.rows == 0 || end > state.start.tokens.size())
    return contradiction(slice.sequence, "rows [" + std::to_string(slice.position) + ", " + std::to_string(end) +
                                             ") but " + std::to_string(state.start.tokens.size()) + " tokens known");
  const auto block_size = static_cast<std::size_t>(limits_.block_size);
  if (end > state.blocks.size() * block_size || end > static_cast<std::size_t>(limits_.positions_max))
    return contradiction(slice.sequence, "position " + std::to_string(end - 1) + " without a block");

  const auto row_begin = static_cast<std::int32_t>(batch.token_ids.size());
  for (std::size_t position = slice.position; position < end; ++position) {
    batch.token_ids.push_back(state.start.tokens[position]);
    batch.positions.push_back(static_cast<std::int32_t>(position));
    batch.slots.push_back(std::int64_t{state.blocks[position / block_size]} * limits_.block_size +
                          static_cast<std::int64_t>(position % block_size));
  }
  batch.query_begin.push_back(static_cast<std::int32_t>(batch.token_ids.size()));
  batch.context_length.push_back(static_cast<std::int32_t>(end));
  batch.sequence_ids.push_back(slice.sequence.value);
  if (slice.position < state.tokens_at_start)
    batch.prefill_rows += static_cast<std::uint32_t>(std::min(end, state.tokens_at_start) - slice.position);
  if (slice.sample) {
    batch.sample_row.push_back(row_begin + static_cast<std::int32_t>(slice.rows) - 1);
    batch.samples.push_back(
        {slice.sequence, slice.output_index, &state.start.sampling, &state.start.stop_ids, &state.counts});
  }
  batch.block_tables.insert(batch.block_tables.end(), state.blocks.begin(), state.blocks.end());
  batch.block_table_begin.push_back(static_cast<std::int32_t>(batch.block_tables.size()));
  add_output(state, slice, row_begin, batch);
  return {};
}

void SequenceTable::add_output(const SequenceState& state, const step::SequenceSlice& slice,
                               std::int32_t row_begin, StepBatch& batch) {
  const step::OutputSelector selector = state.start.output;
  if (selector == step::OutputSelector::kNone) return;
  StepBatch::Output output{slice.sequence, selector, slice.position, row_begin, static_cast<std::int32_t>(slice.rows),
                           {}, 0};
  if (selector == step::OutputSelector::kPromptLogprobs) {
    const std::uint32_t end = std::min(slice.position + slice.rows + 1, state.start.prompt_tokens);
    if (end <= slice.position + 1) return;  // past the prompt
    output.targets.assign(state.start.tokens.begin() + slice.position + 1, state.start.tokens.begin() + end);
    output.rows = static_cast<std::int32_t>(output.targets.size());
    output.top = state.start.sampling.logprobs;
  }
  batch.outputs.push_back(std::move(output));
}

Status SequenceTable::apply(const step::StepPlan& plan, StepBatch& batch) {
  batch.token_ids.clear();
  batch.positions.clear();
  batch.slots.clear();
  batch.query_begin.assign(1, 0);
  batch.context_length.clear();
  batch.sequence_ids.clear();
  batch.sample_row.clear();
  batch.samples.clear();
  batch.outputs.clear();
  batch.failed.clear();
  batch.block_tables.clear();
  batch.block_table_begin.assign(1, 0);
  batch.prefill_rows = 0;
  for (const SequenceId sequence : plan.released)
    if (states_.erase(sequence) == 0) return contradiction(sequence, "released but not started");
  for (const step::SequenceStart& sequence : plan.started) start(sequence);
  for (const step::SequenceSlice& slice : plan.slices) {
    const auto [entry, unknown] = states_.try_emplace(slice.sequence);
    SequenceState& state = entry->second;
    if (unknown) state.failure = contradiction(slice.sequence, "not started");
    if (state.failure.ok()) state.failure = add_slice(slice, state, batch);
    if (!state.failure.ok()) batch.failed.push_back({slice.sequence, state.failure});
  }
  if (static_cast<std::int64_t>(batch.token_ids.size()) > limits_.rows_max)
    return {StatusCode::kInternal, "step plan: " + std::to_string(batch.token_ids.size()) + " rows, at most " +
                                       std::to_string(limits_.rows_max) + " fit a step"};
  return {};
}

std::vector<SampleTicket> SequenceTable::expect_samples(const StepBatch& batch) {
  std::vector<SampleTicket> tickets;
  tickets.reserve(batch.samples.size());
  for (const sampling::SampleRow& row : batch.samples) {
    SequenceState& state = states_.at(row.sequence);
    state.start.tokens.push_back(pending_token(tickets.size()));
    ++state.pending;
    tickets.push_back({row.sequence, state.birth, row.output_index, state.start.sampling.logprobs});
  }
  return tickets;
}

void SequenceTable::on_sampled(const std::vector<SampleTicket>& tickets,
                               const std::vector<step::SampledToken>& sampled) {
  for (std::size_t i = 0; i < tickets.size(); ++i) {
    const auto found = states_.find(tickets[i].sequence);
    if (found == states_.end() || found->second.birth != tickets[i].birth) continue;  // released meanwhile
    SequenceState& state = found->second;
    // A row without a winner has no token; the scheduler fails the sequence, a step planned ahead reads token 0.
    const TokenId token = sampled[i].finite ? sampled[i].token : 0;
    state.start.tokens[state.start.tokens.size() - state.pending] = token;
    --state.pending;
    if (sampling::penalised(state.start.sampling)) state.counts.add_emitted(token);
  }
}

bool SequenceTable::needs_pending(const step::StepPlan& plan) const {
  return std::any_of(plan.slices.begin(), plan.slices.end(), [this](const step::SequenceSlice& slice) {
    const auto found = states_.find(slice.sequence);
    return slice.sample && found != states_.end() && found->second.pending > 0 &&
           sampling::penalised(found->second.start.sampling);
  });
}

}  // namespace herd::shard
