#pragma once
// KernelTable: what one instruction set offers the launchers (ops_cpu.cc): functions that do a range of the work of
// an operation on plain data. No threads, no memory of their own, no checks.
//
// The files behind it (kernels_avx2.cc, kernels_avx512.cc, the *-inl.h they include) are poisoned ground, compiled
// for more than the baseline: intrinsics, plain data and always-inlined functions only, everything in a namespace of
// its own with internal linkage; this table is all they export. They never construct a type with member
// initialisers (its constructor would be an ordinary inline function).

#include <cstdint>

#include "kernels/ops.h"
#include "kernels/tensor_view.h"

namespace herd {

// ---- matmul ----

inline constexpr int kTileRowsMax = 12;  // rows of a register tile, of the widest instruction set
inline constexpr int kTilePanelsMax = 2;  // weight panels beside each other in one

// Rows are cut into tiles of nearly equal height, none above `tile_rows`: tile t of `tiles` holds rows
// [rows * t / tiles, rows * (t + 1) / tiles).
HERD_INLINE constexpr std::int64_t tile_count(std::int64_t rows, int tile_rows) {
  return (rows + tile_rows - 1) / tile_rows;
}
HERD_INLINE constexpr std::int64_t tile_row(std::int64_t rows, std::int64_t tiles, std::int64_t t) {
  return rows * t / tiles;
}

struct MatmulArgs {
  const PackedMatrix* w;
  const char* x;  // packed by the pack_x of the product
  std::int64_t rows;  // of x as packed: those of out, w->x_parts of each
  const float* bias;  // may be null
  const TensorView* out;
  std::int64_t group_panels;  // panels that take turns on one K block of x (see matmul-inl.h)
};

// One way to compute a product. What x becomes for it is its own business: a launcher reserves the memory and hands the
// packed tiles on, unread.
struct Product {
  int tile_rows;               // of a register tile
  int tile_panels;             // beside each other in one; ranges of panels begin at a multiple where they can
  std::int64_t x_chunk_bytes;  // of kChunkK elements of one row, packed
  // Tiles [begin, end) of x.rows * parts rows, the parts of one (PackedMatrix::x_parts) after the other. The tile that begins with
  // row r lies at packed + r * (k_padded / kChunkK) * x_chunk_bytes.
  void (*pack_x)(const TensorView& x, int parts, std::int64_t k_padded, std::int64_t tiles, std::int64_t begin, std::int64_t end,
                 char* packed);
  void (*multiply)(const MatmulArgs& args, std::int64_t panel_begin, std::int64_t panel_end, float* scratch);
};

// Floats of scratch that one thread needs for a product: sums of the panels in work, one for each open level of rule
// 3's tree (8 leaves: at most 3 waiting and 1 in work), and a block of weights as the tiles want them.
inline constexpr int kTreeLevels = 4;
inline constexpr std::int64_t kBlockFloats = 4096;
HERD_INLINE constexpr std::int64_t matmul_scratch_floats(std::int64_t rows, std::int64_t group_panels) {
  return kTreeLevels * group_panels * rows * kPanelOutputs + kBlockFloats + kTileRowsMax * kPanelOutputs;
}

// ---- attention ----

inline constexpr std::int64_t kPartition = 512;  // rule 4: absolute positions

// Query rows that share one KV head of one sequence. "Virtual row" v = (row v / group of the sequence's rows, head
// heads[v % group]): the heads of a row side by side, so that one read of K and V serves them all.
struct AttentionUnit {
  const KvView* kv;
  const TensorView* q;
  const TensorView* out;
  const std::uint32_t* block_table;
  const std::int32_t* heads;  // [group] query heads of this KV head
  std::int32_t group;
  std::int32_t kv_head;
  std::int64_t first_row;       // row of q where the sequence begins
  std::int64_t first_position;  // its absolute position
  float scale;
};

// Partial result of one virtual row, of a partition or of partitions folded: max, denominator, 14 unused floats (so
// that values stay aligned), then round_up(head_dim, 16) values.
inline constexpr std::int64_t kPartialValues = 16;
HERD_INLINE constexpr std::int64_t partial_floats(std::int64_t head_dim) {
  return kPartialValues + round_up(head_dim, 16);
}
// A row of scores: a partition and one cache line, so that rows do not fall into the same sets of the cache.
inline constexpr std::int64_t kScoreStride = kPartition + 16;
// Packed q, scores, zeros for what is not visible, totals and partials of a tile.
HERD_INLINE constexpr std::int64_t attention_scratch_floats(std::int64_t head_dim) {
  const std::int64_t dim = round_up(head_dim, 32);
  return kTileRowsMax * dim + kTileRowsMax * kScoreStride + dim + 2 * kTileRowsMax * partial_floats(head_dim);
}

// ---- sampling ----

struct DrawArgs {
  const float* logits;
  std::int32_t id_base;
  float temperature;
  float floor;
  DrawKey key;
  float at_least;  // a score that some column of the row reaches: below it nobody wins
};

struct KernelTable {
  const char* name;
  int attention_rows;  // virtual rows of an attention tile

  // Weights. Panels [begin, end) of the matrix from source rows (panel * 16 - first_row).
  void (*pack_panels)(const PackedMatrix& w, const float* source, std::int64_t first_row, std::int64_t begin,
                      std::int64_t end);
  // The same from rows of the matrix's own type, which has 16 bits: bit for bit what the floats they stand for give.
  void (*pack_pairs)(const PackedMatrix& w, const std::uint16_t* source, std::int64_t first_row, std::int64_t begin,
                     std::int64_t end);
  void (*embed)(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out, std::int64_t begin,
                std::int64_t end);

  // The fastest product of x with w here. They differ in speed alone.
  const Product& (*product)(const TensorView& x, const PackedMatrix& w);

  // Rows [begin, end), or (row, column) ranges where said.
  void (*rms_norm)(const TensorView& x, const float* weight, float eps, const TensorView& out, std::int64_t begin,
                   std::int64_t end);
  void (*add_partials)(const TensorView& residual, const PartialSums& partials, std::int64_t begin, std::int64_t end);
  void (*rope)(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
               const float* table, std::int64_t begin, std::int64_t end);
  void (*write_kv)(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv,
                   std::int64_t begin, std::int64_t end);
  // Columns [col_begin, col_end) of rows [begin, end).
  void (*silu_mul)(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out, std::int64_t begin,
                   std::int64_t end, std::int64_t col_begin, std::int64_t col_end);

  // Virtual rows [begin, end) (at most attention_rows) over all their keys, rounded to out.
  void (*attention)(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* scratch);
  // The same over partition `partition` alone: virtual row v's partial goes to partials + (v - begin) * stride. Rows
  // that see nothing of it are left alone.
  void (*attention_partition)(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, std::int64_t partition,
                              float* scratch, float* partials, std::int64_t stride);
  // Folds the partials of each virtual row, partials + (v - begin) * stride + partition * partial_floats, rounds to
  // out.
  void (*attention_fold)(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* partials,
                         std::int64_t stride);

  // Logits.
  void (*leaf_max_sum)(const TensorView& logits, std::int64_t leaf_begin, std::int64_t leaf_end, MaxSum* out,
                       std::int64_t begin, std::int64_t end);
  // Best column of [begin, end) by logit; false when it holds a NaN.
  bool (*best_logit)(const float* logits, std::int64_t begin, std::int64_t end, std::int32_t id_base, Candidate* out);
  void (*best_draw)(const DrawArgs& args, std::int64_t begin, std::int64_t end, Candidate* out);
  float (*draw_score)(const DrawArgs& args, std::int64_t column);  // of one column; -inf when it takes no part
  // Columns of [begin, end) above `threshold`, as (ordered logit, ~column) keys, until `capacity` could be exceeded;
  // *next is where to go on. Returns how many; *nan is set when a NaN was met.
  std::int64_t (*select_above)(const float* logits, std::int64_t begin, std::int64_t end, float threshold,
                               std::uint64_t* keys, std::int64_t capacity, std::int64_t* next, bool* nan);
  // Of columns [begin, end) of one row: the range; sums added to bins; columns in bins [first, last] and their logits, of which
  // there are as many as is returned. begin is a multiple of 16.
  void (*logit_range)(const float* logits, std::int64_t begin, std::int64_t end, LogitRange* out);
  void (*weigh)(const float* logits, const NucleusScale& scale, std::int64_t begin, std::int64_t end, NucleusBin* bins);
  std::int64_t (*select)(const float* logits, const NucleusScale& scale, std::int32_t first, std::int32_t last,
                         std::int64_t begin, std::int64_t end, std::int32_t* columns, float* values);
};

extern const KernelTable kKernelsAvx2;
extern const KernelTable kKernelsAvx512;
extern const KernelTable kKernelsAvx512Vnni;  // and vpdpbusd for blocks (kernels_avx512_vnni.cc)
extern const KernelTable kKernelsAvx512Bf16;  // and vdpbf16ps, where it gives the same bits sooner (dot_bf16-inl.h)

extern const Product kVnniBlocks;

}  // namespace herd
