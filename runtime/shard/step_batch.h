#pragma once
// StepPlan → flat arrays for the kernels: positions, slots, block tables, ragged offsets, rows to sample. Holds what
// a rank knows of each admitted sequence between plans (tokens, block table, sampling state). Pure.
//
// A sequence that contradicts what the rank knows fails alone: it has no rows from then on, until it is released. All ranks
// of a replica are told the same and have the same limits, so all of them leave the same rows out.

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "kernels/status.h"
#include "runtime/sampling/sampler.h"
#include "runtime/step/step_plan.h"

namespace herd::shard {

// One admitted sequence as its rank knows it.
struct SequenceState {
  step::SequenceStart start;      // `tokens` grows by what is sampled
  std::vector<std::uint32_t> blocks;   // block table
  sampling::TokenCounts counts;        // kept only when a penalty is set
  std::size_t tokens_at_start = 0;     // rows below are prefill
  std::uint64_t birth = 0;             // a sequence that comes back under its id is another one
  std::uint32_t pending = 0;           // the last so many of start.tokens are not known yet
  Status failure;                      // not ok: nothing is computed for it any more
};

// A token that a step under way will sample stands in token lists as the row of that step it comes from.
[[nodiscard]] constexpr TokenId pending_token(std::size_t row) { return -1 - static_cast<TokenId>(row); }

// One row that a step samples.
struct SampleTicket {
  SequenceId sequence;
  std::uint64_t birth = 0;
  std::uint32_t output_index = 0;
  std::int32_t logprobs = -1;
};

// The arrays of one step. Reused: vectors keep their capacity.
struct StepBatch {
  std::vector<std::int32_t> token_ids, positions;       // [rows]; ids may be pending_token(row of the step before)
  std::vector<std::int64_t> slots;                      // [rows]
  std::vector<std::uint64_t> sequence_ids;              // [sequences]
  std::vector<std::int32_t> query_begin, context_length;  // [sequences + 1], [sequences]
  std::vector<std::uint32_t> block_tables;              // one after the other
  std::vector<std::int32_t> block_table_begin;          // [sequences + 1]
  std::vector<std::int32_t> sample_row;                 // [samples] row index
  std::vector<sampling::SampleRow> samples;             // parallel to sample_row
  struct Output {                                       // slices with an OutputSelector
    SequenceId sequence;
    step::OutputSelector selector;
    std::uint32_t position = 0;
    std::int32_t row_begin = 0, rows = 0;               // in the step
    // kPromptLogprobs: the next token of each row (the last prompt token's row has none), and how many others to name.
    std::vector<TokenId> targets;
    std::int32_t top = 0;
  };
  std::vector<Output> outputs;
  std::vector<step::SequenceFailure> failed;            // of the plan's slices; they have no rows here
  std::uint32_t prefill_rows = 0;                       // of tokens known at the sequence's start
};

struct StepLimits {
  std::int32_t vocab_size = 0;
  std::int32_t block_size = 16;
  std::int64_t blocks = 0;
  std::int64_t rows_max = 0;
  std::int64_t positions_max = 0;   // of the RoPE table
};

class SequenceTable {
 public:
  explicit SequenceTable(const StepLimits& limits) : limits_(limits) {}

  // Applies released and started, then flattens the slices. A sequence that contradicts what this rank knows (not started,
  // a position with no token, a block outside the pool) goes to batch.failed, named, with kInternal. A plan that does so as a
  // whole (it releases who never started, or has too many rows) is refused.
  Status apply(const step::StepPlan& plan, StepBatch& batch);
  // The step of `batch` is under way: the tokens it samples take their places, as pending ones; the next plan may refer
  // to them. The plan after that one needs on_sampled first.
  std::vector<SampleTicket> expect_samples(const StepBatch& batch);
  // They are known: parallel to the tickets of that step. Steps in order.
  void on_sampled(const std::vector<SampleTicket>& tickets, const std::vector<step::SampledToken>& sampled);
  // Whether the plan can only be prepared by someone who knows all tokens so far (penalties count them).
  [[nodiscard]] bool needs_pending(const step::StepPlan& plan) const;
  [[nodiscard]] std::size_t size() const { return states_.size(); }
  void clear() { states_.clear(); }

 private:
  void start(const step::SequenceStart& start);
  [[nodiscard]] Status check(const step::SequenceStart& start) const;
  // Not ok: the batch is as it was.
  Status add_slice(const step::SequenceSlice& slice, SequenceState& state, StepBatch& batch);
  static void add_output(const SequenceState& state, const step::SequenceSlice& slice, std::int32_t row_begin,
                         StepBatch& batch);
  Status extend(SequenceState& state, const std::vector<BlockId>& blocks);

  const StepLimits limits_;
  std::unordered_map<SequenceId, SequenceState> states_;
  std::uint64_t births_ = 0;
};

}  // namespace herd::shard
