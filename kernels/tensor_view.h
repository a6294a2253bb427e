#pragma once
// Views: pointers with shapes, owned by someone else (memory of one Device). Plain data; safe in per-ISA files, and
// passed to CUDA kernels by value. The layouts of packed weights and of KV blocks drawn here are those of the CPU
// backends, and of float32 and float16 on a GPU; a GPU lays bf16 out for its tensor cores, in the same number of bytes
// (kernels/cuda/layouts.h). Nobody but the kernels of the device that filled them looks inside.

#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/inline.h"
#include "kernels/weight_format.h"

namespace herd {

// [rows, cols], row-major; `row_stride` in elements, >= cols. A vector is [1, cols].
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;
};

// Columns [begin, begin + cols) of a view.
HERD_INLINE constexpr TensorView columns_of(const TensorView& view, std::int64_t begin, std::int64_t cols) {
  TensorView part = view;
  part.data = static_cast<char*>(view.data) + begin * static_cast<std::int64_t>(dtype_bytes(view.dtype));
  part.cols = cols;
  return part;
}

inline constexpr std::int64_t kPanelOutputs = 16;  // outputs per weight panel
inline constexpr std::int64_t kChunkK = 32;        // rule 1: K per chunk
inline constexpr int kLeaves = 8;                  // rule 3: leaves of a row-parallel product, of the vocabulary

HERD_INLINE constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Bytes of 16 outputs × 32 elements of k in packed memory.
HERD_INLINE constexpr std::int64_t packed_chunk_bytes(WeightFormat format) {
  if (format == WeightFormat::kQ4_K) return kPanelOutputs * (2 + 16);  // scale and minimum of a group, quants; d and dmin apart
  if (format == WeightFormat::kQ5_K) return kPanelOutputs * (2 + 20);
  if (format == WeightFormat::kQ6_K) return kPanelOutputs * (2 + 24);  // scales of two groups
  if (is_quantized(format)) return kPanelOutputs * block_bytes(format);
  return kPanelOutputs * kChunkK * static_cast<std::int64_t>(dtype_bytes(plain_dtype(format)));
}

// Bytes of what 16 outputs have of a super-block: d, and dmin.
HERD_INLINE constexpr std::int64_t packed_super_bytes(WeightFormat format) {
  return !has_super_blocks(format) ? 0 : has_minimum(format) ? kPanelOutputs * 4 : kPanelOutputs * 2;
}

// Weights of y = x · Wᵀ, packed once at load for the kernels that read them: panels of 16 outputs, one after the other, each of
// them all of k, in chunks of 32.
//   logical W: [outputs, k]; outputs padded to 16 and k to 32 with +0.
//   bf16, f16: [outputs/16][k/2][16] dwords, low half = even k, high half = odd k   (f16 as raw binary16)
//   f32:       [outputs/16][k/2][2][16] floats, even k first
//   blocks:    [outputs/16][k/32] chunks, packed_blocks.h draws them; before the chunks of a panel the scales of its super-blocks
// `data` is 64-byte aligned. Leaves: half-open ranges of chunks [leaf_chunk[i], leaf_chunk[i+1]); a matrix
// that is not row-parallel has one leaf. The leaves of one matrix are a whole subtree of rule 3's tree
// (leaf_count is 1, 2, 4 or 8); an empty leaf is skipped in the tree, it is not a zero.
struct PackedMatrix {
  const void* data = nullptr;
  WeightFormat format = WeightFormat::kBF16;
  std::int64_t outputs = 0;
  std::int64_t k = 0;
  int leaf_count = 1;
  std::int32_t leaf_chunk[kLeaves + 1] = {};
  // Of a format with super-blocks: how many chunks of the first one lie before column 0, because the matrix is a slice.
  std::int32_t chunks_before = 0;
  // Of blocks: in how many parts a product takes x, each of them as int8 (rule 9). 1; the head has 2, so that logits are nearer.
  std::int32_t x_parts = 1;

  [[nodiscard]] HERD_INLINE constexpr std::int64_t outputs_padded() const { return round_up(outputs, kPanelOutputs); }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t k_padded() const { return round_up(k, kChunkK); }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t chunks() const { return k_padded() / kChunkK; }
  [[nodiscard]] HERD_INLINE constexpr DType dtype() const { return plain_dtype(format); }  // of plain numbers
  // Bytes of a panel before its first chunk; of one chunk of a panel; of a whole panel.
  [[nodiscard]] HERD_INLINE constexpr std::int64_t head_bytes() const {
    return round_up((chunks_before + chunks() + 7) / 8 * packed_super_bytes(format), 64);
  }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t chunk_bytes() const { return packed_chunk_bytes(format); }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t panel_bytes() const {
    return round_up(head_bytes() + chunks() * chunk_bytes(), 64);
  }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t bytes() const { return outputs_padded() / kPanelOutputs * panel_bytes(); }
};

// One KV block of one layer. Opaque bytes to everyone but the attention kernels:
//   K, bf16: [kv_heads][block_size/16][head_dim_padded/2][16 tokens] dwords (low = even dim), lanes are tokens
//   K, f32:  [kv_heads][block_size/16][head_dim_padded/2][2][16 tokens] floats
//   V:       [kv_heads][block_size][head_dim_padded16] elements, lanes are dims
// head_dim_padded = round_up(head_dim, 32), head_dim_padded16 = round_up(head_dim, 16); padding of K is +0.
struct KvLayout {
  DType dtype = DType::kBF16;
  std::int32_t block_size = 16;  // tokens; a multiple of 16 that divides 512
  std::int32_t kv_heads = 0;     // of this rank
  std::int32_t head_dim = 0;

  [[nodiscard]] HERD_INLINE constexpr std::int64_t k_elements_per_token() const {
    return kv_heads * round_up(head_dim, 32);
  }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t v_elements_per_token() const {
    return kv_heads * round_up(head_dim, 16);
  }
  [[nodiscard]] HERD_INLINE constexpr std::int64_t bytes_per_block() const {
    return (k_elements_per_token() + v_elements_per_token()) * block_size *
           static_cast<std::int64_t>(dtype_bytes(dtype));
  }
  bool operator==(const KvLayout&) const = default;
};

// The pool of one layer: block b at data + b * layout.bytes_per_block().
struct KvView {
  void* data = nullptr;
  KvLayout layout;
  std::int64_t blocks = 0;
};

// How a GPU cuts the attention of a step into items (kernels/plans/attention_work.h fills it; a CPU cuts for itself).
struct AttentionWork {
  const std::int32_t* split_begin = nullptr;  // [sequences + 1] items of one partition each: short queries
  const std::int32_t* tile_begin = nullptr;   // [sequences + 1] items of one row tile each: long queries
  bool tiles = false;                         // whether there is any of the second kind
};

// Ragged rows of a step against paged context. Row r of sequence s (r in [query_begin[s], query_begin[s+1]))
// has absolute position context_length[s] - query_begin[s+1] + r and sees keys [0, position].
struct AttentionBatch {
  std::int32_t sequences = 0;
  const std::int32_t* query_begin = nullptr;     // [sequences + 1]
  const std::int32_t* context_length = nullptr;  // [sequences], this step's rows included
  const std::uint32_t* block_tables = nullptr;      // one after the other
  const std::int32_t* block_table_begin = nullptr;  // [sequences + 1] where each begins
  std::int32_t query_heads = 0;                     // of this rank
  const std::int32_t* kv_head_of_query = nullptr;   // [query_heads], local kv head index; ascending on a GPU
  std::int32_t group_max = 0;                       // most query heads that share a kv head
  float scale = 0.0F;
  AttentionWork work;  // null where the device does not ask for it
};

}  // namespace herd
