#include "kernels/cpu/ops_cpu.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/row_logits.h"
#include "kernels/death_mark.h"
#include "kernels/packed_blocks.h"

namespace herd {
namespace {

// Memory that grows to the largest size asked for and stays. 64-byte aligned, contents do not survive growth.
class Scratch {
 public:
  explicit Scratch(SlabMemory& memory) : memory_(memory) {}

  float* floats(std::int64_t count) {
    if (count > size_) {
      size_ = round_up(count, 16);
      data_.reset();
      auto grown = memory_.allocate(static_cast<std::size_t>(size_) * sizeof(float), "scratch", SlabMemory::Ask::kAddressSpace);
      HERD_CHECK(grown.has_value(), "address space for what a step computes with");
      data_ = std::move(*grown);
    }
    return data_ == nullptr ? nullptr : static_cast<float*>(data_->data());
  }

 private:
  SlabMemory& memory_;
  std::unique_ptr<DeviceBuffer> data_;
  std::int64_t size_ = 0;
};

// Below this many elements a row operation is done before another thread would have woken up (about 1 us).
constexpr std::int64_t kAloneElements = 16384;
constexpr std::int64_t kAloneExps = 4096;  // the same where each element costs an exp
// Multiply-adds of a product or an attention that take about 2 us on one thread.
constexpr std::int64_t kAloneProducts = 131072;
// Bytes of packed x up to which every thread packs x for itself: cheaper than one more meeting of all threads.
constexpr std::int64_t kPrivateX = 131072;
// Packed x beyond half of a 1 MiB L2: panels then take turns on a K block of x, as many as keep their sums (floats) in
// a quarter of L2.
constexpr std::int64_t kResidentX = 524288;
constexpr std::int64_t kGroupSums = 65536;
// A thread's share of a product over many rows is cut further, so that a thread the machine slows down gives work
// away.
constexpr std::int64_t kTasksPerThread = 8;
constexpr std::size_t kStackMax = 4;  // matrices with one input: q, k and v

class CpuOps final : public Ops {
 public:
  CpuOps(const KernelTable& kernels, ThreadPool& pool, SlabMemory& memory)
      : kernels_(kernels), pool_(pool), x_(memory), thread_scratch_(memory), logits_(kernels, pool) {}

  const char* name() const override { return kernels_.name; }

  void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) override {
    const std::int64_t first = row / kPanelOutputs;
    const std::int64_t panels = (rows + kPanelOutputs - 1) / kPanelOutputs;
    pool_.parallel_for(panels, [&](std::int64_t begin, std::int64_t end, int) {
      kernels_.pack_panels(w, source, row, first + begin, first + end);
    });
  }

  void pack_blocks(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const std::byte* source) override {
    const std::int64_t first = row / kPanelOutputs;
    pool_.parallel_for((rows + kPanelOutputs - 1) / kPanelOutputs, [&](std::int64_t begin, std::int64_t end, int) {
      pack_block_panels(w, source, row, first + begin, first + end);
    });
  }
  bool takes_blocks() const override { return true; }

  void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) override {
    if (is_quantized(table.format)) return embed_blocks(table, ids, out);
    for_rows(out.rows, out.rows * out.cols * 8, [&](std::int64_t begin, std::int64_t end) {  // 8: a line per pair
      kernels_.embed(table, ids, out, begin, end);
    });
  }

  void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out) override {
    for_rows(x.rows, x.rows * x.cols,
             [&](std::int64_t begin, std::int64_t end) { kernels_.rms_norm(x, weight, eps, out, begin, end); });
  }

  void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) override {
    matmul_stack(x, {&w, 1}, bias, out);
  }
  void matmul_stack(const TensorView& x, std::span<const PackedMatrix> stack, const float* bias, const TensorView& out) override;

  void add_partials(const TensorView& residual, const PartialSums& partials) override {
    for_rows(residual.rows, residual.rows * residual.cols, [&](std::int64_t begin, std::int64_t end) {
      kernels_.add_partials(residual, partials, begin, end);
    });
  }

  void rope(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
            const float* table) override {
    for_rows(x.rows, x.rows * x.cols, [&](std::int64_t begin, std::int64_t end) {
      kernels_.rope(x, heads, head_dim, positions, table, begin, end);
    });
  }

  void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) override {
    for_rows(k.rows, k.rows * k.cols * 4,
             [&](std::int64_t begin, std::int64_t end) { kernels_.write_kv(k, v, slots, kv, begin, end); });
  }

  void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) override;

  void silu_mul(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out) override {
    if (out.rows >= pool_.threads() || out.rows * out.cols <= kAloneExps) {
      for_rows(out.rows, out.rows * out.cols * (kAloneElements / kAloneExps),
               [&](std::int64_t begin, std::int64_t end) {
                 kernels_.silu_mul(gate_up, up_offset, out, begin, end, 0, out.cols);
               });
      return;
    }
    const std::int64_t lines = (out.cols + 31) / 32;  // 64 bytes of bf16
    pool_.parallel_for(lines, [&](std::int64_t begin, std::int64_t end, int) {
      kernels_.silu_mul(gate_up, up_offset, out, 0, out.rows, begin * 32, std::min(end * 32, out.cols));
    });
  }

  void gather_rows(const TensorView& x, const std::int32_t* rows, const TensorView& out) override {
    const std::size_t element = dtype_bytes(x.dtype);
    const std::size_t bytes = static_cast<std::size_t>(out.cols) * element;
    for (std::int64_t i = 0; i < out.rows; i++) {
      const char* from = static_cast<const char*>(x.data) + static_cast<std::size_t>(rows[i] * x.row_stride) * element;
      std::copy_n(from, bytes, static_cast<char*>(out.data) + static_cast<std::size_t>(i * out.row_stride) * element);
    }
  }

  void leaf_max_sum(const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out) override {
    pool_.parallel_for(logits.rows, [&](std::int64_t first, std::int64_t last, int) {
      kernels_.leaf_max_sum(logits, begin, end, out, first, last);
    });
  }

  void draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
            const DrawKey& key, Candidate* out) override {
    logits_.draw(logits, cols, id_base, temperature, floor, key, out);
  }
  void top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out) override {
    logits_.top_k(logits, cols, id_base, k, out);
  }

  void logit_range(const TensorView& logits, LogitRange* out) override {
    for_rows(logits.rows, logits.rows * logits.cols, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; row++) {
        kernels_.logit_range(static_cast<const float*>(logits.data) + row * logits.row_stride, 0, logits.cols, &out[row]);
      }
    });
  }
  void weigh(const float* logits, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins) override {
    logits_.weigh(logits, cols, scale, bins);
  }
  void select(const float* logits, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
              std::int32_t* columns, float* values) override {
    logits_.select(logits, cols, scale, first, last, columns, values);
  }

 private:
  void embed_blocks(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out);

  // Rows of one query tile, or of one partition of it.
  struct AttentionItem {
    std::int32_t sequence;
    std::int32_t kv_head;
    std::int64_t begin;  // virtual rows
    std::int64_t end;
    std::int64_t visible;     // positions its last row sees
    std::int64_t partitions;  // that hold them
    std::int64_t partials;    // where its partials are, when partitions are apart
  };

  template <class Body>
  void for_rows(std::int64_t rows, std::int64_t cost, const Body& body) {
    if (rows == 1 || cost <= kAloneElements) {
      body(std::int64_t{0}, rows);
    } else {
      pool_.parallel_for(rows, [&](std::int64_t begin, std::int64_t end, int) { body(begin, end); });
    }
  }

  // Tasks [0, count), taken in order by whichever thread is free. For work whose pieces differ, or whose threads do.
  template <class Body>
  void for_tasks(std::int64_t count, const Body& body) {
    std::atomic<std::int64_t> next{0};
    const auto take = [&](int thread) {
      for (;;) {
        const std::int64_t task = next.fetch_add(1, std::memory_order_relaxed);
        if (task >= count) return;
        body(task, thread);
      }
    };
    if (count == 1) {
      take(0);
    } else if (count > 1) {
      pool_.run(take);
    }
  }

  float* thread_scratch(std::int64_t floats) {  // of thread t: + t * round_up(floats, 16)
    return thread_scratch_.floats(round_up(floats, 16) * pool_.threads());
  }

  void group_heads(const AttentionBatch& batch, std::int32_t kv_heads);
  void list_items(const AttentionBatch& batch, std::int32_t kv_heads);
  AttentionUnit unit_of(const AttentionItem& item, const TensorView& q, const KvView& kv, const AttentionBatch& batch,
                        const TensorView& out) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  Scratch x_;  // packed activations of a product; partials of attention
  Scratch thread_scratch_;
  std::vector<std::int32_t> heads_;        // query heads by KV head
  std::vector<std::int32_t> heads_begin_;  // [kv_heads + 1]
  std::vector<AttentionItem> items_;
  RowLogits logits_;
};

void CpuOps::embed_blocks(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) {
  const std::int64_t stride = table.k_padded();
  float* const rows = thread_scratch(stride);
  const auto unpack = [&](std::int64_t begin, std::int64_t end, int thread) {
    float* const row = rows + thread * round_up(stride, 16);
    for (std::int64_t t = begin; t < end; t++) {
      unpack_row(table, ids[t], row);
      for (std::int64_t k = 0; k < out.cols; k++) {
        const std::int64_t at = t * out.row_stride + k;
        if (out.dtype == DType::kF32) {
          static_cast<float*>(out.data)[at] = row[k];
        } else {
          static_cast<BFloat16*>(out.data)[at] = to_bf16(row[k]);
        }
      }
    }
  };
  if (out.rows == 1) return unpack(0, 1, 0);
  pool_.parallel_for(out.rows, unpack);
}

// What of x is packed for some matrices of a stack, which take it alike.
struct PackedX {
  const Product* product;
  int parts;
  std::int64_t tiles;
  std::int64_t bytes;
  std::int64_t offset;  // of its memory, in bytes
};

// A matrix of a stack.
struct StackPart {
  MatmulArgs args;  // but for x and out
  TensorView out;   // its columns
  int kind;         // which of the plan's packed x it takes
  std::int64_t first_panel;  // of the whole stack's panels
};

struct StackPlan {
  PackedX packed[kStackMax];
  StackPart parts[kStackMax];
  int kinds = 0;
  int count = 0;
  std::int64_t panels = 0;
  std::int64_t x_bytes = 0;
  std::int64_t tile_floats = 0;   // of scratch that a thread multiplies with
  std::int64_t group_panels = 1;  // the most of a part
  int tile_panels = 1;
};

StackPlan plan_stack(const KernelTable& kernels, const TensorView& x, std::span<const PackedMatrix> stack, const float* bias,
                     const TensorView& out) {
  HERD_CHECK(stack.size() <= kStackMax, "few matrices have one input");
  StackPlan plan;
  std::int64_t column = 0;
  for (const PackedMatrix& w : stack) {
    const Product* const product = &kernels.product(x, w);
    const std::int64_t rows = x.rows * w.x_parts;
    HERD_CHECK(w.x_parts == 1 || w.leaf_count == 1, "x is taken in parts by a matrix that is whole along k");
    PackedX* packed = std::find_if(plan.packed, plan.packed + plan.kinds,
                                   [&](const PackedX& one) { return one.product == product && one.parts == w.x_parts; });
    if (packed == plan.packed + plan.kinds) {
      plan.kinds++;
      *packed = {product, w.x_parts, tile_count(rows, product->tile_rows), rows * w.chunks() * product->x_chunk_bytes, plan.x_bytes};
      plan.x_bytes += round_up(packed->bytes, 64);
    }
    StackPart& part = plan.parts[plan.count++];
    part.out = columns_of(out, column, w.outputs);
    part.args = {&w, nullptr, rows, bias == nullptr ? nullptr : bias + column, nullptr, product->tile_panels};
    if (packed->bytes > kResidentX) {
      const std::int64_t fit = std::clamp<std::int64_t>(kGroupSums / (rows * kPanelOutputs), 1, 16);
      part.args.group_panels = round_up(fit, product->tile_panels);
    }
    part.kind = static_cast<int>(packed - plan.packed);
    part.first_panel = plan.panels;
    plan.panels += w.outputs_padded() / kPanelOutputs;
    plan.tile_floats = std::max(plan.tile_floats, round_up(matmul_scratch_floats(rows, part.args.group_panels), 16));
    plan.group_panels = std::max(plan.group_panels, part.args.group_panels);
    plan.tile_panels = std::max(plan.tile_panels, product->tile_panels);
    column += w.outputs;
  }
  return plan;
}

void pack_tiles(const StackPlan& plan, const TensorView& x, std::int64_t k_padded, int kind, std::int64_t begin, std::int64_t end,
                char* memory) {
  const PackedX& packed = plan.packed[kind];
  packed.product->pack_x(x, packed.parts, k_padded, packed.tiles, begin, end, memory + packed.offset);
}

// Panels [begin, end) of the whole stack.
void multiply_panels(const StackPlan& plan, const char* x, std::int64_t begin, std::int64_t end, float* scratch) {
  for (int i = 0; i < plan.count; i++) {
    const StackPart& part = plan.parts[i];
    const std::int64_t panels = part.args.w->outputs_padded() / kPanelOutputs;
    const std::int64_t first = std::max<std::int64_t>(begin - part.first_panel, 0);
    const std::int64_t last = std::min(end - part.first_panel, panels);
    if (first >= last) continue;
    const PackedX& packed = plan.packed[part.kind];
    MatmulArgs args = part.args;
    args.out = &part.out;
    args.x = x + packed.offset;
    packed.product->multiply(args, first, last, scratch);
  }
}

void CpuOps::matmul_stack(const TensorView& x, std::span<const PackedMatrix> stack, const float* bias, const TensorView& out) {
  const StackPlan plan = plan_stack(kernels_, x, stack, bias, out);
  const std::int64_t k_padded = stack.front().k_padded();
  const std::int64_t x_floats = (plan.x_bytes + 3) / 4;

  if (plan.x_bytes <= kPrivateX) {
    float* scratch = thread_scratch(plan.tile_floats + x_floats);
    const std::int64_t stride = round_up(plan.tile_floats + x_floats, 16);
    const auto multiply = [&](std::int64_t begin, std::int64_t end, int thread) {
      float* mine = scratch + thread * stride;
      char* packed = reinterpret_cast<char*>(mine + plan.tile_floats);
      for (int kind = 0; kind < plan.kinds; kind++) pack_tiles(plan, x, k_padded, kind, 0, plan.packed[kind].tiles, packed);
      multiply_panels(plan, packed, begin, end, mine);
    };
    if (x.rows * k_padded * out.cols <= kAloneProducts) {
      multiply(0, plan.panels, 0);
    } else {
      pool_.parallel_for(plan.panels, multiply);
    }
    return;
  }

  char* packed = reinterpret_cast<char*>(x_.floats(x_floats));
  float* scratch = thread_scratch(plan.tile_floats);
  std::int64_t tiles = 0;
  for (int kind = 0; kind < plan.kinds; kind++) tiles += plan.packed[kind].tiles;
  pool_.parallel_for(tiles, [&](std::int64_t begin, std::int64_t end, int) {
    std::int64_t first = 0;
    for (int kind = 0; kind < plan.kinds; kind++) {
      const std::int64_t count = plan.packed[kind].tiles;
      const std::int64_t from = std::max<std::int64_t>(begin - first, 0);
      const std::int64_t to = std::min(end - first, count);
      if (from < to) pack_tiles(plan, x, k_padded, kind, from, to, packed);
      first += count;
    }
  });
  const std::int64_t share = plan.panels / (kTasksPerThread * pool_.threads());
  const std::int64_t task_panels = std::max(plan.group_panels, round_up(share, plan.tile_panels));
  for_tasks((plan.panels + task_panels - 1) / task_panels, [&](std::int64_t task, int thread) {
    const std::int64_t begin = task * task_panels;
    multiply_panels(plan, packed, begin, std::min(begin + task_panels, plan.panels), scratch + thread * plan.tile_floats);
  });
}

// ---- attention ----

void CpuOps::group_heads(const AttentionBatch& batch, std::int32_t kv_heads) {
  heads_.resize(static_cast<std::size_t>(batch.query_heads));
  heads_begin_.assign(static_cast<std::size_t>(kv_heads) + 1, 0);
  for (std::int32_t head = 0; head < batch.query_heads; head++) {
    heads_begin_[static_cast<std::size_t>(batch.kv_head_of_query[head]) + 1]++;
  }
  for (std::size_t i = 1; i < heads_begin_.size(); i++) heads_begin_[i] += heads_begin_[i - 1];
  std::size_t next = 0;
  for (std::int32_t kv_head = 0; kv_head < kv_heads; kv_head++) {
    for (std::int32_t head = 0; head < batch.query_heads; head++) {
      if (batch.kv_head_of_query[head] == kv_head) heads_[next++] = head;
    }
  }
}

// Tiles of virtual rows by sequence, KV head, row: neighbours share K and V in a core's cache.
void CpuOps::list_items(const AttentionBatch& batch, std::int32_t kv_heads) {
  items_.clear();
  std::int64_t partials = 0;
  for (std::int32_t s = 0; s < batch.sequences; s++) {
    const std::int64_t rows = std::int64_t{batch.query_begin[s + 1]} - batch.query_begin[s];
    for (std::int32_t kv_head = 0; kv_head < kv_heads && rows > 0; kv_head++) {
      const std::int64_t group = heads_begin_[kv_head + 1] - heads_begin_[kv_head];
      const std::int64_t tiles = tile_count(rows * group, kernels_.attention_rows);
      for (std::int64_t t = 0; t < tiles; t++) {
        AttentionItem item{s, kv_head, tile_row(rows * group, tiles, t), tile_row(rows * group, tiles, t + 1), 0, 0, 0};
        item.visible = batch.context_length[s] - rows + (item.end - 1) / group + 1;
        item.partitions = (item.visible + kPartition - 1) / kPartition;
        item.partials = partials;
        partials += (item.end - item.begin) * item.partitions;
        items_.push_back(item);
      }
    }
  }
}

AttentionUnit CpuOps::unit_of(const AttentionItem& item, const TensorView& q, const KvView& kv,
                              const AttentionBatch& batch, const TensorView& out) const {
  const std::int32_t s = item.sequence;
  const std::int32_t first = heads_begin_[static_cast<std::size_t>(item.kv_head)];
  AttentionUnit unit;
  unit.kv = &kv;
  unit.q = &q;
  unit.out = &out;
  unit.block_table = batch.block_tables + batch.block_table_begin[s];
  unit.heads = heads_.data() + first;
  unit.group = heads_begin_[static_cast<std::size_t>(item.kv_head) + 1] - first;
  unit.kv_head = item.kv_head;
  unit.first_row = batch.query_begin[s];
  unit.first_position = std::int64_t{batch.context_length[s]} - batch.query_begin[s + 1] + batch.query_begin[s];
  unit.scale = batch.scale;
  return unit;
}

// One task a tile. When that leaves threads idle (few sequences and KV heads), one task a partition of a tile; the
// partials are folded afterwards, in the same order, so the bits are the same.
void CpuOps::attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) {
  group_heads(batch, kv.layout.kv_heads);
  list_items(batch, kv.layout.kv_heads);
  const std::int64_t scratch_floats = round_up(attention_scratch_floats(kv.layout.head_dim), 16);
  float* scratch = thread_scratch(scratch_floats);
  const auto items = static_cast<std::int64_t>(items_.size());

  std::int64_t products = 0;
  for (const AttentionItem& item : items_) {
    products += (item.end - item.begin) * item.visible * 2 * kv.layout.head_dim;
  }
  const std::int64_t evenly = 4 * std::int64_t{pool_.threads()};
  const bool alone = pool_.threads() == 1 || products <= kAloneProducts;
  if (alone || items >= evenly) {
    const auto attend = [&](std::int64_t i, int thread) {
      const AttentionItem& item = items_[static_cast<std::size_t>(i)];
      const WorkMark mark(item.sequence);
      const AttentionUnit unit = unit_of(item, q, kv, batch, out);
      kernels_.attention(unit, item.begin, item.end, scratch + thread * scratch_floats);
    };
    if (alone) {
      for (std::int64_t i = 0; i < items; i++) attend(i, 0);
    } else {
      for_tasks(items, attend);
    }
    return;
  }

  const std::int64_t size = partial_floats(kv.layout.head_dim);
  std::int64_t tasks = 0;
  std::int64_t partials_count = 0;
  for (const AttentionItem& item : items_) {
    tasks += item.partitions;
    partials_count += (item.end - item.begin) * item.partitions;
  }
  float* partials = x_.floats(partials_count * size);
  for_tasks(tasks, [&](std::int64_t task, int thread) {
    std::size_t i = 0;
    while (task >= items_[i].partitions) task -= items_[i++].partitions;
    const AttentionItem& item = items_[i];
    const WorkMark mark(item.sequence);
    const AttentionUnit unit = unit_of(item, q, kv, batch, out);
    kernels_.attention_partition(unit, item.begin, item.end, task, scratch + thread * scratch_floats,
                                 partials + (item.partials + task) * size, item.partitions * size);
  });
  for (const AttentionItem& item : items_) {
    const AttentionUnit unit = unit_of(item, q, kv, batch, out);
    kernels_.attention_fold(unit, item.begin, item.end, partials + item.partials * size, item.partitions * size);
  }
}

}  // namespace

const KernelTable& kernels_of(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx2:
      return kKernelsAvx2;
    case CpuIsa::kAvx512:
      return kKernelsAvx512;
    case CpuIsa::kAvx512Vnni:
      return kKernelsAvx512Vnni;
    case CpuIsa::kAvx512Bf16:
      return kKernelsAvx512Bf16;
    case CpuIsa::kAuto:
    case CpuIsa::kReference:
      break;
  }
  HERD_UNREACHABLE("the device has chosen an instruction set");
}

std::unique_ptr<Ops> make_cpu_ops(CpuIsa isa, ThreadPool& pool, SlabMemory& memory) {
  return std::make_unique<CpuOps>(kernels_of(isa), pool, memory);
}

}  // namespace herd
