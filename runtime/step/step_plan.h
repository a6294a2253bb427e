#pragma once
// What a replica tells its ranks to compute (StepPlan) and what they answer (StepResult). Values: comparable,
// serialisable (cluster/wire/step_codec.h). A plan carries only what changed since the plan before it: ranks
// keep each admitted sequence's tokens, block table and sampling state until it is released.
//
// One step ahead: plan N+1 may be made before the result of N is known. A slice whose position lies one past
// the tokens a rank knows takes the token that the rank itself sampled for that sequence in the step before.
//
// A plan also moves KV blocks between replicas: ranks hand out the bytes of some blocks and fill others with bytes that they were
// given. Plans and results only name blocks; the bytes go beside them (block_bytes.h). So copies have their place in the order
// of steps: a block is read before any later plan writes it, and a block that was filled may be read by the plans after the result.

#include <cstdint>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/sampling_params.h"

namespace herd::step {

// What a row of the step hands back besides a sampled token.
enum class OutputSelector : std::uint8_t {
  kNone = 0,
  kLogitsLast,          // fp32 logits of the slice's last row
  kLogitsAll,           // fp32 logits of every row of the slice
  kHiddenLast,          // residual after the last layer, before the final norm, last row
  kHiddenAll,           // the same, every row
  kHiddenAllNormalized, // after the final norm, every row
  kHiddenAllLayers,     // [layers + 1, rows, hidden]: embedding first, last entry after the final norm
  kPromptLogprobs,      // of every prompt token but the first, given those before it: see PromptLogprobs
};

// A sequence that ranks meet for the first time (or again after a preemption or a failover).
struct SequenceStart {
  SequenceId sequence;
  std::vector<TokenId> tokens;      // prompt + tokens already emitted; the literals of later slices
  std::uint32_t prompt_tokens = 0;  // border between prompt and emitted tokens inside `tokens`
  SamplingParams sampling;
  std::vector<TokenId> stop_ids;    // EOS + stop_token_ids as resolved by the gateway (masked before min_tokens)
  std::uint32_t adapter_slot = 0;   // 0: the base model
  OutputSelector output = OutputSelector::kNone;
  std::vector<BlockId> prefix_blocks;  // the cached prefix, in order: the block table begins with them
  bool operator==(const SequenceStart&) const = default;
};

// Rows [position, position + rows) of one sequence in this step.
struct SequenceSlice {
  SequenceId sequence;
  std::uint32_t position = 0;          // absolute position of the first row
  std::uint32_t rows = 0;              // query length, >= 1
  std::vector<BlockId> new_blocks;     // appended to the sequence's block table before the step
  bool sample = false;                 // draw a token from the last row
  std::uint32_t output_index = 0;      // index of that token among the emitted ones (Philox counter)
  bool operator==(const SequenceSlice&) const = default;
};

// One block of a transfer: in plans of the replica that hands it out (a read) and of the one that takes it (a write).
struct BlockCopy {
  TransferId transfer;
  std::uint32_t index = 0;             // of the block in the chain that is transferred
  BlockId block;                       // of this replica
  bool operator==(const BlockCopy&) const = default;
};

struct StepPlan {
  Epoch epoch;
  StepId step;
  std::vector<SequenceId> released;    // first: forget these (finished, aborted, preempted)
  std::vector<SequenceStart> started;  // then: meet these
  std::vector<SequenceSlice> slices;   // at most one per sequence
  // Blocks of transfers, done before the slices. No slice of the plan uses a block that it writes, and no block is in both.
  std::vector<BlockCopy> reads;        // hand the bytes of these blocks out
  std::vector<BlockCopy> writes;       // fill these with bytes that the rank was given before the plan
  std::vector<TransferId> forgotten;   // drop what was given for these and not written: they are over
  bool operator==(const StepPlan&) const = default;
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0F;
  bool operator==(const TokenLogprob&) const = default;
};

struct SampledToken {
  SequenceId sequence;
  std::uint32_t output_index = 0;
  TokenId token = 0;
  float logprob = 0.0F;              // of `token`, from raw logits; 0 when not asked
  std::vector<TokenLogprob> top;     // the n most likely, when asked
  std::uint64_t logits_hash = 0;     // of the whole fp32 row; 0 unless hashing is on (tests, P2)
  bool finite = true;                // false: the row had a NaN; the sequence fails, blocks are not published
  bool operator==(const SampledToken&) const = default;
};

// Rows asked for by an OutputSelector.
struct OutputRows {
  SequenceId sequence;
  std::uint32_t position = 0;        // of the first row
  std::uint32_t rows = 0;
  std::uint32_t layers = 1;          // kHiddenAllLayers: layers + 1, else 1
  std::uint32_t width = 0;           // floats per row
  std::vector<float> values;         // [layers, rows, width]
  bool operator==(const OutputRows&) const = default;
};

// How likely the model found one token of the prompt, given those before it. From raw logits, as the sampler's.
struct PromptLogprob {
  TokenId token = 0;
  float logprob = 0.0F;              // NaN: the row held a NaN or infinity; the sequence fails
  std::vector<TokenLogprob> top;     // the sampling parameters' `logprobs` most likely, as SampledToken.top
  bool operator==(const PromptLogprob&) const = default;
};

// A run of prompt tokens (kPromptLogprobs).
struct PromptLogprobs {
  SequenceId sequence;
  std::uint32_t position = 0;        // of the first of `tokens` in the sequence; >= 1: nothing predicts the first token
  std::vector<PromptLogprob> tokens;
  bool operator==(const PromptLogprobs&) const = default;
};

// What a rank could not do for one sequence: that one ends with `status`, the others of the step go on.
struct SequenceFailure {
  SequenceId sequence;
  Status status;                     // not ok
  bool operator==(const SequenceFailure&) const = default;
};

// A block that one of the ranks could not fill: it was given no bytes for it, of another length, or others than were sent.
struct DamagedBlock {
  TransferId transfer;
  std::uint32_t index = 0;
  bool operator==(const DamagedBlock&) const = default;
};

struct StepStats {
  std::uint32_t rows = 0;            // 0: a plan that only released sequences
  std::uint32_t sequences = 0;
  double compute_seconds = 0.0;
  std::uint64_t context_tokens = 0;  // sum of the sequences' context lengths: KV entries that attention read
  std::uint32_t prefill_rows = 0;    // of `rows`: tokens known before the sequence was started, not sampled since
  bool operator==(const StepStats&) const = default;
};

struct StepResult {
  Epoch epoch;
  StepId step;
  std::uint32_t rank = 0;
  Status status;                     // not ok: the step failed, no tokens
  std::vector<SampledToken> sampled; // rank 0 only; other ranks send the hash
  std::vector<OutputRows> outputs;   // rank 0 only
  std::vector<PromptLogprobs> prompt_logprobs;  // rank 0 only; at most one run a sequence
  std::vector<SequenceFailure> failed;  // rank 0 only; of the plan's slices, each at most once, and no token of theirs
  std::uint64_t token_hash = 0;      // of all sampled (sequence, token) and of who failed: equal on every rank, or the group fails
  StepStats stats;
  // Of the plan's writes, each rank its own: how many it has done, the damaged ones among them. A rank that knows of no writes
  // says 0, and nobody takes its blocks for filled.
  std::uint32_t blocks_written = 0;
  std::vector<DamagedBlock> damaged;   // such a block holds garbage; the step goes on
  bool operator==(const StepResult&) const = default;
};

}  // namespace herd::step
