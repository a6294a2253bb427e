#pragma once
// RowSampler: logits to tokens where the logits are. A device that computes while the host goes on (step_recorder.h)
// cannot ask it between the stages of sampling, as runtime/sampling's Sampler does on CPUs; so it hands this out, which
// enqueues like Ops and gives the same tokens, log-probabilities and hashes. Every pointer inside is memory of the
// device.
//
// The structs are plain data that the host fills into step inputs; runtime/sampling/sampler.h says what the stages mean.

#include <cstdint>
#include <memory>

#include "kernels/tensor_view.h"

namespace herd {

inline constexpr std::int32_t kTopLogprobsMax = 20;

// Stages before the draw that touch one token of one row, in this order: bias, penalties, mask. A row names a token
// at most once.
struct LogitEdit {
  std::int32_t token = 0;
  std::uint32_t flags = 0;            // kEdit…
  float bias = 0.0F;                  // kEditBias: l + bias
  float repetition_penalty = 1.0F;    // kEditRepetition: l < 0 ? l · p : l / p
  float count_penalty = 0.0F;         // kEditCount: l − count_penalty (count · frequency + presence)
  float raw = 0.0F;                   // the device keeps the logit before the edits here
};
inline constexpr std::uint32_t kEditBias = 1;
inline constexpr std::uint32_t kEditRepetition = 2;
inline constexpr std::uint32_t kEditCount = 4;
inline constexpr std::uint32_t kEditMask = 8;  // -inf

struct SampleRowParams {
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;
  std::uint32_t output_index = 0;
  float temperature = 0.0F;      // 0: greedy, and no filter is looked at
  float min_p = 0.0F;            // 0: off
  float top_p = 1.0F;            // 1: off
  std::int32_t top_k = 0;        // 0: off; at most vocab_size
  std::int32_t logprobs = -1;    // -1: none; 0: of the token; n: also the n most likely, at most kTopLogprobsMax
  std::int32_t edit_begin = 0;   // [edit_begin, edit_end) of SampleBatch::edits
  std::int32_t edit_end = 0;
  std::uint32_t active = 0;      // 0: a row that only fills a batch up; its result is all zeros
};

struct TokenScore {
  std::int32_t id = -1;
  float logprob = 0.0F;
};

struct SampledRow {
  std::int32_t token = 0;        // 0 when not finite
  float logprob = 0.0F;          // from the raw row; 0 when not asked
  std::uint32_t finite = 0;      // 0: nobody won (a NaN, or every logit -inf)
  std::int32_t top_count = 0;
  std::uint64_t logits_hash = 0; // 0 when not asked
  TokenScore top[kTopLogprobsMax];
};

struct SampleBatch {
  const SampleRowParams* params = nullptr;  // [rows]
  LogitEdit* edits = nullptr;
  std::int32_t vocab_size = 0;
  std::int32_t vocab_leaf[kLeaves + 1] = {};  // borders of rule 6's leaves, multiples of 16 but the last
  bool hash_logits = false;
  SampledRow* out = nullptr;                  // [rows]
};

class RowSampler {
 public:
  virtual ~RowSampler() = default;

  // ids[i] < 0 stands for the token of row -1 - ids[i] of `sampled`, the step before.   ids [rows], changed in place
  virtual void resolve_tokens(std::int32_t* ids, std::int64_t rows, const SampledRow* sampled) = 0;

  // out[t, part columns] = the columns of every part: rows gathered from the ranks' slices. part r is f32
  // [rows, border[r + 1] - border[r]] with row stride `stride`, at parts + r * part_stride (elements).
  // `border` [count + 1] is the host's, read before the call returns.
  virtual void join_columns(const float* parts, std::int64_t part_stride, std::int64_t stride, int count,
                            const std::int32_t* border, const TensorView& out) = 0;

  // The sampler's stages over whole rows f32 [rows, vocab_size], changed in place.
  virtual void sample_rows(const TensorView& logits, const SampleBatch& batch) = 0;
};

// Checks every precondition (HERD_CHECK), then calls `sampler`.
std::unique_ptr<RowSampler> make_checked_row_sampler(std::unique_ptr<RowSampler> sampler);

}  // namespace herd
