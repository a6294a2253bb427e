#pragma once
// THE list of operations. All arithmetic of a step goes through here; reference/ is the oracle and portable
// fallback, cpu/ holds AVX2 and AVX-512, each equal to reference/ bit for bit (docs/numerics.md, rules 1-9); cuda/ is a
// class of its own where tensor cores add, and equal to reference/ everywhere else.
//
// Operations enqueue on the device's stream and return no values; who reads what they leave waits first (Device::wait,
// or a mark of step_recorder.h). Every pointer is memory of the device (Device::allocate, StagedBuffer::device).
// PackedMatrix, KvView, TensorView and AttentionBatch themselves are host values, read before the call returns.
// A matrix is a format (kernels/weight_format.h), not a type: what an encoding needs of a product (how its rows get into packed
// memory, what x becomes for it, the order of its sums) hangs on WeightFormat. FP8 and int8 weights with scales are formats more;
// LoRA adds two products of low rank beside matmul, with a slot for each row of x; masks of a grammar are bits beside the logits'
// edits; a mapped artifact is memory that PackedMatrix points to, panel_bytes() apart, packed before.
// Preconditions are checked once for all backends by make_checked_ops (ops.cc), which every Device wraps around its
// backend. "act" below is the activation format: bf16, or f32 when the encoding is float32. Rounding to act is
// round-to-nearest-even. The payload and sign of a NaN are unspecified; that there is one is not.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/nucleus.h"
#include "kernels/progress.h"
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

// The largest and the least of a run of logits but for those at -inf: {-inf, +inf} when there are no others, {NaN, NaN} when it
// holds a NaN. A zero is +0.
struct LogitRange {
  float max = 0.0F;
  float min = 0.0F;
};

// What the ranks computed of one sum [tokens, hidden]: the row-parallel products of attention and MLP.
struct PartialSums {
  const float* const* of_rank = nullptr;  // [count] buffers f32 [tokens, hidden]; a null one is an empty subtree, skipped
  int count = 0;                          // ranks: 1, 2, 4 or 8
  std::int64_t row_stride = 0;            // of each buffer, in elements
  const float* bias = nullptr;            // f32 [hidden], added to their sum; or null
};

class Ops {
 public:
  virtual ~Ops() = default;
  [[nodiscard]] virtual const char* name() const = 0;  // "reference", "avx2", "avx512", "avx512-vnni", "avx512-bf16"

  // ---- weights (at load, not on the step) ----
  // Packs rows [row, row + rows) of W, given as float [rows, k] (tight), at the same outputs of `w`. Rounds to
  // w.dtype() (exact when the source had that dtype). Rows may come in any order; row is a multiple of 16 and
  // rows is too, or it is the tail (padding outputs are then filled with +0). `data` must be writable.
  virtual void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) = 0;

  // The same of a matrix whose format has blocks: rows as a file holds them, stored_row_bytes(w) each (packed_blocks.h), to host
  // memory. Only where takes_blocks().
  virtual void pack_blocks(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const std::byte* source);
  [[nodiscard]] virtual bool takes_blocks() const { return false; }

  // ---- the step ----
  // out[t, :] = round(table[ids[t], :]).   table [vocab, hidden] packed; ids in [0, outputs); out act [tokens, hidden]
  virtual void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) = 0;

  // out = round((x · (1 / sqrt(mean + eps))) · weight), mean = Σ x² / hidden; fp32 inside, Σ in rule 2's 16 lanes
  // (lane[i mod 16] = fma(x_i, x_i, lane), ascending from +0; then lane[i] += lane[i + 8], + 4, + 2, + 1).
  //   x act [tokens, hidden], weight f32 [hidden], out act [tokens, hidden]
  virtual void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out) = 0;

  // out[t, n] = Σ_k x[t, k] · w[n, k] by rule 1, of blocks by rule 9, leaves added by rule 3's tree; then + bias[n] when not null;
  // stored in out's dtype (f32: as is; bf16: rounded). x is bf16 or f32, w any format.
  //   x act [tokens, k], bias f32 [outputs], out [tokens, outputs]; out has room for outputs_padded columns
  //   (row_stride >= outputs_padded) and columns beyond outputs are written with unspecified values.
  virtual void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) = 0;

  // The same with matrices on top of each other, which have one k and one cut into leaves but each its own format: out's columns
  // are their outputs, one after the other, bias likewise. What of x is prepared is prepared once for all that take it alike.
  virtual void matmul_stack(const TensorView& x, std::span<const PackedMatrix> stack, const float* bias, const TensorView& out);

  // residual = round(residual + (tree + bias)); tree: the partials of ranks 0..count-1, added as a balanced tree.
  //   residual act [tokens, hidden]
  virtual void add_partials(const TensorView& residual, const PartialSums& partials) = 0;

  // add_partials, then out = rms_norm(residual, weight, eps): one pass over the rows where a backend has it.
  virtual void add_rms_norm(const TensorView& residual, const PartialSums& partials, const float* weight, float eps,
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

  // ---- logits ----
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

  // ---- logits where the host reads them; a device with memory of its own has a RowSampler instead ----
  // Of columns [0, cols) of each row.   logits f32 [rows, cols], out [rows]
  virtual void logit_range(const TensorView& logits, LogitRange* out);

  // Sums of one row's columns by bins (kernels/nucleus.h), those below the floor left out.   bins [kNucleusBins], written whole
  virtual void weigh(const float* logits, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins);

  // The columns that weigh() puts into bins [first, last], ascending, and their logits. The caller knows from the bins how many;
  // what lies behind them is unspecified.   columns, values [cols]
  virtual void select(const float* logits, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
                      std::int32_t* columns, float* values);
};

// Says in `progress` (may be null) what begins, checks every precondition (HERD_CHECK), puts the calling thread in kernel
// float mode (rule 2), then calls `ops`.
// `host_memory`: the device's memory can be read by the host, so what lies in it is checked too (ids, slots, tables).
std::unique_ptr<Ops> make_checked_ops(std::unique_ptr<Ops> ops, bool host_memory = true,
                                      std::shared_ptr<ProgressWord> progress = nullptr);

}  // namespace herd
