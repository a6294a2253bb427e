#pragma once
// THE list of operations. All arithmetic of a step goes through here; reference/ is the oracle and portable
// fallback, cpu/ holds AVX2 and AVX-512, each equal to reference/ bit for bit (docs/numerics.md, rules 1-6); cuda/ is a
// class of its own where tensor cores add, and equal to reference/ everywhere else.
//
// Operations enqueue on the device's stream and return no values; only ShardExecutor waits (Device::wait). Every
// pointer is memory of the device (Device::allocate, StagedBuffer::device). PackedMatrix, KvView, TensorView and
// AttentionBatch themselves are host values, read before the call returns.
// Preconditions are checked once for all backends by make_checked_ops (ops.cc), which every Device wraps around its
// backend. "act" below is the activation format: bf16, or f32 when the encoding is float32. Rounding to act is
// round-to-nearest-even. The payload and sign of a NaN are unspecified; that there is one is not.

#include <cstdint>
#include <memory>

#include "kernels/status.h"
#include "kernels/tensor_view.h"

namespace herd {

// Identifies one draw. counter = (choice, output_index, purpose, token id >> 2), word = token id & 3, key = seed.
struct DrawKey {
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;
  std::uint32_t output_index = 0;
  std::uint32_t purpose = 0;  // kDrawPurposeSample
};
inline constexpr std::uint32_t kDrawPurposeSample = 0;

// A winner of (part of) a row. Order: higher score wins, ties go to the lower id.
// Nobody won (no column takes part): {-inf, -inf, -1}. The row holds a NaN: {NaN, NaN, -1}.
struct Candidate {
  float score = 0.0F;  // what the draw maximised
  float logit = 0.0F;  // the row's value after edits, before temperature
  std::int32_t id = -1;
};

// (max, Σ exp(l − max)) of a run of logits; {-inf, 0} when it is empty or all -inf, {NaN, NaN} when it holds a NaN,
// {+inf, NaN} when it holds +inf. A max of zero is +0.
struct MaxSum {
  float max = 0.0F;
  float sum = 0.0F;
};

// ---- sampling where the logits are (Ops::sample_rows) ----
// Plain data, filled by the host into step inputs; runtime/sampling/sampler.h says what the stages mean.

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

// The most that one step will ask for; what a backend keeps as scratch follows from it.
struct OpsLimits {
  std::int64_t rows = 0;        // of a step
  std::int64_t sequences = 0;   // of a step
  std::int64_t logit_rows = 0;
  std::int32_t query_heads = 0; // of this rank
  std::int32_t head_dim = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;
  [[nodiscard]] virtual const char* name() const = 0;  // "reference", "avx2", "avx512"

  // ---- weights (at load, not on the step) ----
  // Packs rows [row, row + rows) of W, given as float [rows, k] (tight), at the same outputs of `w`. Rounds to
  // w.dtype (exact when the source had that dtype). Rows may come in any order; row is a multiple of 16 and
  // rows is too, or it is the tail (padding outputs are then filled with +0). `data` must be writable.
  virtual void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) = 0;

  // Once, before the first step: allocates all scratch. kMissing when memory is short. Backends without scratch of a
  // fixed size ignore it.
  [[nodiscard]] virtual Status reserve(const OpsLimits&) { return {}; }

  // ---- the step ----
  // ids[i] < 0 stands for the token of row -1 - ids[i] of `sampled`, the step before. Only where sample_rows is.
  virtual void resolve_tokens(std::int32_t* ids, std::int64_t rows, const SampledRow* sampled);

  // out[t, :] = round(table[ids[t], :]).   table [vocab, hidden] packed; ids in [0, outputs); out act [tokens, hidden]
  virtual void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) = 0;

  // out = round((x · (1 / sqrt(mean + eps))) · weight), mean = Σ x² / hidden; fp32 inside, Σ in rule 2's 16 lanes
  // (lane[i mod 16] = fma(x_i, x_i, lane), ascending from +0; then lane[i] += lane[i + 8], + 4, + 2, + 1).
  //   x act [tokens, hidden], weight f32 [hidden], out act [tokens, hidden]
  virtual void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out) = 0;

  // out[t, n] = Σ_k x[t, k] · w[n, k] by rule 1, leaves added by rule 3's tree; then + bias[n] when not null;
  // stored in out's dtype (f32: as is; bf16: rounded). x is bf16 or f32, w any dtype.
  //   x act [tokens, k], bias f32 [outputs], out [tokens, outputs]; out has room for outputs_padded columns
  //   (row_stride >= outputs_padded) and columns beyond outputs are written with unspecified values.
  virtual void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) = 0;

  // residual = round(residual + (tree(partials) + bias)). partials: `count` buffers f32 [tokens, hidden] of
  // ranks 0..count-1 (count 1, 2, 4, 8), added as a balanced tree; a null one is an empty subtree, skipped.
  //   residual act [tokens, hidden], bias f32 [hidden] or null
  virtual void add_partials(const TensorView& residual, const float* const* partials, int count,
                            std::int64_t partial_stride, const float* bias) = 0;

  // add_partials, then out = rms_norm(residual): one pass over the rows where a backend has it.
  virtual void add_rms_norm(const TensorView& residual, const float* const* partials, int count,
                            std::int64_t partial_stride, const float* bias, const float* weight, float eps,
                            const TensorView& out);

  // Rotates q and k in place, half-split pairs (i, i + D/2), fp32 inside, rounded once.
  //   y_i = fma(x_i, cos, −(x_{i+D/2} · sin));  y_{i+D/2} = fma(x_{i+D/2}, cos, x_i · sin)
  //   x act [tokens, heads * head_dim]; positions [tokens]; table f32 [positions_max, head_dim] = cos (D/2), sin (D/2)
  virtual void rope(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
                    const float* table) = 0;

  // Writes rows of k and v to their slots (block * block_size + offset), +0 to the padding dims of K and V. On a GPU
  // a slot of -1 writes nothing (a row that only fills a batch up).
  //   k, v act [tokens, kv_heads * head_dim], slots [tokens]
  virtual void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) = 0;

  // rope(q), rope(k), write_kv(k, v): one pass where a backend has it. k holds the rotated rows afterwards, or not:
  // nobody reads it.
  virtual void rope_write_kv(const TensorView& q, const TensorView& k, const TensorView& v,
                             const std::int32_t* positions, const float* table, const std::int64_t* slots,
                             const KvView& kv);

  // Paged causal attention, rule 4. Reads nothing of a block but visible tokens (and discards what it computes from
  // others): slots never written may hold anything, NaN too. Scores, P, l, o: attention_reference.cc.
  //   q act [tokens, query_heads * head_dim], out the same shape, act
  virtual void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) = 0;

  // out = round(silu(gate) · up), silu(z) = z / (1 + exp(−z)), fp32 inside, one rounding.
  //   gate_up act [tokens, >= up_offset + width] (gate at 0, up at up_offset), out act [tokens, width]
  virtual void silu_mul(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out) = 0;

  // out[i, :] = x[rows[i], :].   x act, out act [count, cols]
  virtual void gather_rows(const TensorView& x, const std::int32_t* rows, const TensorView& out) = 0;

  // out[t, part columns] = the columns of every part: rows gathered from the ranks' slices. part r is f32
  // [rows, border[r + 1] - border[r]] with row stride `stride`, at parts + r * part_stride (elements).
  // Only where sample_rows is.
  virtual void join_columns(const float* parts, std::int64_t part_stride, std::int64_t stride, int count,
                            const std::int32_t* border, const TensorView& out);

  // ---- logits ----
  // The sampler's stages over whole rows f32 [rows, vocab_size], changed in place: the same tokens, log-probabilities
  // and hashes as runtime/sampling's Sampler, which CPUs use (it waits between the stages, so a GPU has this instead).
  // False from samples_rows: not there.
  [[nodiscard]] virtual bool samples_rows() const { return false; }
  virtual void sample_rows(const TensorView& logits, const SampleBatch& batch);

  // Per row: the (max, sum) of one vocabulary leaf: columns [begin, end) of logits f32 [rows, >= end]; begin is a
  // multiple of 16. sum: 16 lanes (column mod 16), then rule 2's tree. out [rows]. An empty leaf gives {-inf, 0}.
  virtual void leaf_max_sum(const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out) = 0;

  // The best of columns [0, cols) of one row by score = logit (greedy), or, when `temperature` > 0,
  // logit / temperature + gumbel(key, id_base + column) over columns whose logit / temperature >= floor.
  // The quotient is one fp32 division, the sum one addition. Columns whose logit (quotient) is -inf take no part.
  virtual void draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
                    const DrawKey& key, Candidate* out) = 0;

  // The k best columns by (logit desc, id asc), sorted; columns at -inf take no part; score = logit. When fewer than
  // k take part the rest is "nobody"; a NaN in the row makes all k "NaN".
  virtual void top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out) = 0;
};

// Checks every precondition (HERD_CHECK), puts the calling thread in kernel float mode (rule 2), then calls `ops`.
// `host_memory`: the device's memory can be read by the host, so what lies in it is checked too (ids, slots, tables).
std::unique_ptr<Ops> make_checked_ops(std::unique_ptr<Ops> ops, bool host_memory = true);

}  // namespace herd
