#include "kernels/ops.h"

#include <cstdint>
#include <utility>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/tensor_checks.h"

namespace herd {
namespace {

bool is_act(DType dtype) { return dtype == DType::kBF16 || dtype == DType::kF32; }
bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 64 == 0; }

void check_act(const TensorView& x) {
  check_view(x);
  HERD_CHECK(is_act(x.dtype), "activations are bf16 or f32");
}

void check_same_shape(const TensorView& x, const TensorView& out) {
  HERD_CHECK(x.rows == out.rows && x.cols == out.cols, "input and output have one shape");
  HERD_CHECK(x.dtype == out.dtype, "input and output have one dtype");
}

void check_matrix(const PackedMatrix& w) {
  HERD_CHECK(w.data != nullptr && is_aligned(w.data), "weights are packed at 64-byte aligned memory");
  HERD_CHECK(w.outputs >= 1 && w.k >= 1, "a matrix has outputs and inputs");
  HERD_CHECK(!is_quantized(w.format) || w.k % kChunkK == 0, "a row of blocks is a whole number of them");
  HERD_CHECK(w.chunks_before == 0 || (w.chunks_before > 0 && w.chunks_before * kChunkK < block_elements(w.format)),
             "a slice begins in its first block");
}

void check_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const void* source) {
  check_matrix(w);
  HERD_CHECK(row >= 0 && rows >= 0 && row + rows <= w.outputs, "rows lie in the matrix");
  HERD_CHECK(row % kPanelOutputs == 0 && (rows % kPanelOutputs == 0 || row + rows == w.outputs),
             "rows are whole panels or the tail");
  HERD_CHECK(source != nullptr || rows == 0, "rows have a source");
}

void check_leaves(const PackedMatrix& w) {
  const int count = w.leaf_count;
  HERD_CHECK(count == 1 || count == 2 || count == 4 || count == 8, "leaves are a whole subtree");
  HERD_CHECK(w.leaf_chunk[0] == 0 && w.leaf_chunk[count] == w.k_padded() / kChunkK, "leaves cover K");
  for (int leaf = 0; leaf < count; leaf++) {
    HERD_CHECK(w.leaf_chunk[leaf] <= w.leaf_chunk[leaf + 1], "leaves ascend");
  }
}

void check_product(const TensorView& x, std::span<const PackedMatrix> stack, const TensorView& out) {
  check_act(x);
  check_act(out);
  std::int64_t outputs = 0;
  for (const PackedMatrix& w : stack) {
    check_matrix(w);
    check_leaves(w);
    HERD_CHECK(x.cols == w.k, "[tokens, k] x [outputs, k]");
    outputs += w.outputs;
  }
  HERD_CHECK(out.cols == outputs && x.rows == out.rows, "[tokens, k] x [outputs, k]");
  HERD_CHECK(out.row_stride >= round_up(outputs, kPanelOutputs), "out has room for the padded outputs");
}

void check_partials(const TensorView& residual, const PartialSums& partials) {
  check_act(residual);
  const int count = partials.count;
  HERD_CHECK(count == 1 || count == 2 || count == 4 || count == 8, "1, 2, 4 or 8 ranks");
  HERD_CHECK(partials.row_stride >= residual.cols, "rows do not overlap");
  bool any = false;
  for (int rank = 0; rank < count; rank++) any = any || partials.of_rank[rank] != nullptr;
  HERD_CHECK(any, "some rank has a partial sum");
}

void check_kv(const KvView& kv) {
  const KvLayout& layout = kv.layout;
  HERD_CHECK(kv.data != nullptr && is_aligned(kv.data), "the KV pool is 64-byte aligned");
  HERD_CHECK(is_act(layout.dtype), "KV is bf16 or f32");
  HERD_CHECK(layout.block_size >= 16 && layout.block_size % 16 == 0 && 512 % layout.block_size == 0,
             "a block is 16, 32, 64, 128, 256 or 512 tokens");
  HERD_CHECK(layout.kv_heads >= 1 && layout.head_dim >= 1, "KV has heads");
}

void check_attention_batch(const TensorView& q, const KvView& kv, const AttentionBatch& batch) {
  HERD_CHECK(batch.sequences >= 0 && batch.query_heads >= 1, "a batch has heads");
  if (batch.sequences == 0) {
    HERD_CHECK(q.rows == 0, "every row belongs to a sequence");
    return;
  }
  HERD_CHECK(batch.query_begin[0] == 0 && batch.query_begin[batch.sequences] == q.rows,
             "every row belongs to a sequence");
  for (std::int32_t head = 0; head < batch.query_heads; head++) {
    const std::int32_t kv_head = batch.kv_head_of_query[head];
    HERD_CHECK(kv_head >= 0 && kv_head < kv.layout.kv_heads, "a query head has a KV head of this rank");
  }
  for (std::int32_t s = 0; s < batch.sequences; s++) {
    const std::int64_t queries = std::int64_t{batch.query_begin[s + 1]} - batch.query_begin[s];
    const std::int64_t context = batch.context_length[s];
    HERD_CHECK(queries >= 0 && queries <= context, "the context holds this step's rows");
    const std::int64_t blocks = round_up(context, kv.layout.block_size) / kv.layout.block_size;
    const std::int32_t begin = batch.block_table_begin[s];
    HERD_CHECK(blocks <= batch.block_table_begin[s + 1] - begin, "the block table covers the context");
    for (std::int64_t b = 0; b < blocks; b++) {
      HERD_CHECK(batch.block_tables[begin + b] < kv.blocks, "a block lies in the pool");
    }
  }
}

class CheckedOps final : public Ops {
 public:
  CheckedOps(std::unique_ptr<Ops> ops, bool host_memory, std::shared_ptr<ProgressWord> progress)
      : ops_(std::move(ops)), host_memory_(host_memory), progress_(std::move(progress)) {}

  const char* name() const override { return ops_->name(); }

  void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) override {
    show(Operation::kLoading);
    check_rows(w, row, rows, source);
    HERD_CHECK(!is_quantized(w.format), "numbers are packed as numbers");
    set_kernel_float_mode();
    if (rows > 0) ops_->pack_rows(w, row, rows, source);
  }

  void pack_blocks(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const std::byte* source) override {
    show(Operation::kLoading);
    check_rows(w, row, rows, source);
    HERD_CHECK(is_quantized(w.format) && ops_->takes_blocks(), "blocks are packed for those who compute them");
    if (rows > 0) ops_->pack_blocks(w, row, rows, source);
  }
  bool takes_blocks() const override { return ops_->takes_blocks(); }

  void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) override {
    show(Operation::kEmbed);
    check_matrix(table);
    check_act(out);
    HERD_CHECK(out.cols == table.k, "out is [tokens, hidden]");
    for (std::int64_t t = 0; host_memory_ && t < out.rows; t++) {
      HERD_CHECK(ids[t] >= 0 && ids[t] < table.outputs, "a token id lies in the table");
    }
    set_kernel_float_mode();
    if (out.rows > 0) ops_->embed(table, ids, out);
  }

  void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out) override {
    show(Operation::kNorm);
    check_act(x);
    check_act(out);
    check_same_shape(x, out);
    HERD_CHECK(weight != nullptr && eps >= 0.0F, "a norm has weights and eps");
    set_kernel_float_mode();
    if (x.rows > 0) ops_->rms_norm(x, weight, eps, out);
  }

  void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) override {
    show(Operation::kMatmul);
    check_product(x, {&w, 1}, out);
    set_kernel_float_mode();
    if (x.rows > 0) ops_->matmul(x, w, bias, out);
  }

  void matmul_stack(const TensorView& x, std::span<const PackedMatrix> stack, const float* bias, const TensorView& out) override {
    show(Operation::kMatmul);
    HERD_CHECK(!stack.empty(), "a product has a matrix");
    check_product(x, stack, out);
    set_kernel_float_mode();
    if (x.rows > 0) ops_->matmul_stack(x, stack, bias, out);
  }

  void add_partials(const TensorView& residual, const PartialSums& partials) override {
    show(Operation::kAdd);
    check_partials(residual, partials);
    set_kernel_float_mode();
    if (residual.rows > 0) ops_->add_partials(residual, partials);
  }

  void add_rms_norm(const TensorView& residual, const PartialSums& partials, const float* weight, float eps,
                    const TensorView& out) override {
    show(Operation::kAdd);
    check_partials(residual, partials);
    check_act(out);
    check_same_shape(residual, out);
    HERD_CHECK(weight != nullptr && eps >= 0.0F, "a norm has weights and eps");
    set_kernel_float_mode();
    if (residual.rows > 0) ops_->add_rms_norm(residual, partials, weight, eps, out);
  }

  void rope(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
            const float* table) override {
    show(Operation::kRope);
    check_act(x);
    HERD_CHECK(heads >= 1 && head_dim >= 2 && head_dim % 2 == 0, "heads have pairs of dims");
    HERD_CHECK(x.cols == std::int64_t{heads} * head_dim, "x is [tokens, heads * head_dim]");
    for (std::int64_t t = 0; host_memory_ && t < x.rows; t++) {
      HERD_CHECK(positions[t] >= 0, "positions count from 0");
    }
    HERD_CHECK(table != nullptr, "rope has a table");
    set_kernel_float_mode();
    if (x.rows > 0) ops_->rope(x, heads, head_dim, positions, table);
  }

  void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) override {
    show(Operation::kWriteKv);
    check_kv_rows(k, v, slots, kv);
    set_kernel_float_mode();
    if (k.rows > 0) ops_->write_kv(k, v, slots, kv);
  }

  void rope_write_kv(const TensorView& q, const TensorView& k, const TensorView& v, const std::int32_t* positions,
                     const float* table, const std::int64_t* slots, const KvView& kv) override {
    show(Operation::kWriteKv);
    check_act(q);
    check_kv_rows(k, v, slots, kv);
    HERD_CHECK(q.rows == k.rows && q.dtype == k.dtype, "q and k have one number of rows and one dtype");
    HERD_CHECK(q.cols % kv.layout.head_dim == 0 && kv.layout.head_dim % 2 == 0, "q is [tokens, heads * head_dim]");
    for (std::int64_t t = 0; host_memory_ && t < q.rows; t++) {
      HERD_CHECK(positions[t] >= 0, "positions count from 0");
    }
    HERD_CHECK(table != nullptr, "rope has a table");
    set_kernel_float_mode();
    if (q.rows > 0) ops_->rope_write_kv(q, k, v, positions, table, slots, kv);
  }

  void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) override {
    show(Operation::kAttention);
    check_act(q);
    check_act(out);
    check_same_shape(q, out);
    check_kv(kv);
    HERD_CHECK(q.dtype == kv.layout.dtype, "KV is stored as activations are");
    HERD_CHECK(q.cols == std::int64_t{batch.query_heads} * kv.layout.head_dim, "q is [tokens, query_heads * head_dim]");
    if (host_memory_) check_attention_batch(q, kv, batch);
    set_kernel_float_mode();
    if (q.rows > 0) ops_->attention(q, kv, batch, out);
  }

  void silu_mul(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out) override {
    show(Operation::kActivation);
    check_act(gate_up);
    check_act(out);
    HERD_CHECK(gate_up.rows == out.rows && gate_up.dtype == out.dtype, "one row and dtype in and out");
    HERD_CHECK(up_offset >= out.cols && up_offset + out.cols <= gate_up.cols, "gate and up lie in the row");
    set_kernel_float_mode();
    if (out.rows > 0) ops_->silu_mul(gate_up, up_offset, out);
  }

  void gather_rows(const TensorView& x, const std::int32_t* rows, const TensorView& out) override {
    show(Operation::kGatherRows);
    check_act(x);
    check_act(out);
    HERD_CHECK(x.cols == out.cols && x.dtype == out.dtype, "rows are copied whole");
    for (std::int64_t i = 0; host_memory_ && i < out.rows; i++) {
      HERD_CHECK(rows[i] >= 0 && rows[i] < x.rows, "a row lies in x");
    }
    set_kernel_float_mode();
    if (out.rows > 0) ops_->gather_rows(x, rows, out);
  }

  void leaf_max_sum(const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out) override {
    show(Operation::kSample);
    check_view(logits);
    HERD_CHECK(logits.dtype == DType::kF32, "logits are f32");
    HERD_CHECK(begin >= 0 && begin % 16 == 0, "a leaf begins at a multiple of 16");
    HERD_CHECK(begin <= end && end <= logits.row_stride, "a leaf lies in the row");
    set_kernel_float_mode();
    if (logits.rows > 0) ops_->leaf_max_sum(logits, begin, end, out);
  }

  void draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
            const DrawKey& key, Candidate* out) override {
    show(Operation::kSample);
    HERD_CHECK(cols >= 0 && id_base >= 0 && (logits != nullptr || cols == 0), "a row has columns and ids");
    HERD_CHECK(temperature == temperature && floor == floor, "temperature and floor are numbers");
    set_kernel_float_mode();
    ops_->draw(logits, cols, id_base, temperature, floor, key, out);
  }

  void top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out) override {
    show(Operation::kSample);
    HERD_CHECK(cols >= 0 && id_base >= 0 && (logits != nullptr || cols == 0), "a row has columns and ids");
    HERD_CHECK(k >= 0, "k is a count");
    set_kernel_float_mode();
    if (k > 0) ops_->top_k(logits, cols, id_base, k, out);
  }

  void logit_range(const TensorView& logits, LogitRange* out) override {
    show(Operation::kSample);
    check_view(logits);
    HERD_CHECK(logits.dtype == DType::kF32, "logits are f32");
    set_kernel_float_mode();
    if (logits.rows > 0) ops_->logit_range(logits, out);
  }

  void weigh(const float* logits, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins) override {
    show(Operation::kSample);
    check_scale(logits, cols, scale);
    set_kernel_float_mode();
    ops_->weigh(logits, cols, scale, bins);
  }

  void select(const float* logits, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
              std::int32_t* columns, float* values) override {
    show(Operation::kSample);
    check_scale(logits, cols, scale);
    HERD_CHECK(first >= 0 && first <= last && last < kNucleusBins, "bins exist");
    set_kernel_float_mode();
    ops_->select(logits, cols, scale, first, last, columns, values);
  }

 private:
  void show(Operation operation) {
    if (progress_ != nullptr) progress_->begin(operation);
  }

  static void check_scale(const float* logits, std::int64_t cols, const NucleusScale& scale) {
    HERD_CHECK(cols >= 0 && cols <= kNucleusColumns && (logits != nullptr || cols == 0), "a row has columns");
    HERD_CHECK(scale.temperature > 0.0F && scale.floor > -math::kInf && scale.floor <= scale.max, "some column may take part");
    HERD_CHECK(scale.top <= scale.max && scale.steps >= 0.0F && scale.steps < math::kInf, "bins cut a range");
  }

  void check_kv_rows(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) const {
    check_act(k);
    check_act(v);
    check_same_shape(k, v);
    check_kv(kv);
    HERD_CHECK(k.dtype == kv.layout.dtype, "KV is stored as activations are");
    HERD_CHECK(k.cols == std::int64_t{kv.layout.kv_heads} * kv.layout.head_dim, "k is [tokens, kv_heads * head_dim]");
    for (std::int64_t t = 0; host_memory_ && t < k.rows; t++) {
      HERD_CHECK(slots[t] >= 0 && slots[t] < kv.blocks * kv.layout.block_size, "a slot lies in the pool");
    }
  }

  std::unique_ptr<Ops> ops_;
  const bool host_memory_;  // otherwise what arrays hold cannot be looked at here; StepBatch has made sure of it
  const std::shared_ptr<ProgressWord> progress_;  // may be null
};

}  // namespace

void Ops::add_rms_norm(const TensorView& residual, const PartialSums& partials, const float* weight, float eps,
                       const TensorView& out) {
  add_partials(residual, partials);
  rms_norm(residual, weight, eps, out);
}

void Ops::pack_blocks(const PackedMatrix&, std::int64_t, std::int64_t, const std::byte*) {
  HERD_UNREACHABLE("blocks are widened for a device that does not take them");
}

void Ops::matmul_stack(const TensorView& x, std::span<const PackedMatrix> stack, const float* bias, const TensorView& out) {
  std::int64_t column = 0;
  for (const PackedMatrix& w : stack) {
    matmul(x, w, bias == nullptr ? nullptr : bias + column, columns_of(out, column, w.outputs));
    column += w.outputs;
  }
}

void Ops::logit_range(const TensorView&, LogitRange*) { HERD_UNREACHABLE("the host reads the logits"); }
void Ops::weigh(const float*, std::int64_t, const NucleusScale&, NucleusBin*) { HERD_UNREACHABLE("the host reads the logits"); }
void Ops::select(const float*, std::int64_t, const NucleusScale&, std::int32_t, std::int32_t, std::int32_t*, float*) {
  HERD_UNREACHABLE("the host reads the logits");
}

void Ops::rope_write_kv(const TensorView& q, const TensorView& k, const TensorView& v, const std::int32_t* positions,
                        const float* table, const std::int64_t* slots, const KvView& kv) {
  const std::int32_t dim = kv.layout.head_dim;
  rope(q, static_cast<std::int32_t>(q.cols / dim), dim, positions, table);
  rope(k, static_cast<std::int32_t>(k.cols / dim), dim, positions, table);
  write_kv(k, v, slots, kv);
}

std::unique_ptr<Ops> make_checked_ops(std::unique_ptr<Ops> ops, bool host_memory,
                                      std::shared_ptr<ProgressWord> progress) {
  HERD_CHECK(ops != nullptr, "a backend exists");
  return std::make_unique<CheckedOps>(std::move(ops), host_memory, std::move(progress));
}

}  // namespace herd
