// The AVX-512 table (F, BW, DQ, VL). Per-ISA file: see kernel_table.h.

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/simd16_avx512.h"
#include "kernels/math.h"
#include "kernels/packed_blocks.h"
#include "kernels/philox.h"

#define HERD_ISA avx512
// 12 rows: 12 accumulators, enough for two units of four stages; broadcasts are operands. More rows gain nothing.
#define HERD_TILE_ROWS 12
// Blocks: 6 accumulators, and as many of 32 bits.
#ifndef HERD_BLOCK_ROWS
#define HERD_BLOCK_ROWS 6
#endif
namespace herd {
namespace avx512 {
namespace {
constexpr int kTileRows = HERD_TILE_ROWS;
constexpr int kBlockRows = HERD_BLOCK_ROWS;
// Panels a row or few stream side by side. Up to 4 rows both chains of 2 panels are 16 accumulators, sums 8 more.
constexpr int kStreams = 2;
constexpr int kStreamRowsWhole = 4;
constexpr int kStreamPrefetch = 4096;  // bytes; Zen 5: 98 % of the read rate, 2048 95 %, 1024 86 %; Zen 4: all alike
constexpr bool kExpandF16 = false;     // two instructions expand 16 halves: cheaper in place (107 : 94 GFLOP/s)
}  // namespace
}  // namespace avx512
}  // namespace herd

#include "kernels/cpu/panels-inl.h"

#include "kernels/cpu/matmul-inl.h"

#include "kernels/cpu/blocks-inl.h"

#include "kernels/cpu/math16-inl.h"

#include "kernels/cpu/elementwise-inl.h"

#include "kernels/cpu/attention-inl.h"

#include "kernels/cpu/dot_bf16-inl.h"

#include "kernels/cpu/sampling-inl.h"

namespace herd {
namespace avx512 {
namespace {

const Product& product(const TensorView&, const PackedMatrix& w) {
  return is_quantized(w.format) ? kBlockProduct<PairDots> : kFmaProduct;
}
const Product& vnni_product(const TensorView&, const PackedMatrix& w) {
  return is_quantized(w.format) ? kVnniBlocks : kFmaProduct;
}
// A few rows wait for memory, and streams read it better than tiles.
const Product& dot_product(const TensorView& x, const PackedMatrix& w) {
  if (is_quantized(w.format)) return kVnniBlocks;
  const bool bf16 = x.dtype == DType::kBF16 && w.format == WeightFormat::kBF16;
  return bf16 && x.rows > kStreamRowsWhole ? kDotProduct : kFmaProduct;
}

}  // namespace
}  // namespace avx512

const KernelTable kKernelsAvx512 = {
    "avx512", avx512::kTileRows, avx512::pack_panels, avx512::pack_pairs, avx512::embed, avx512::product,
    avx512::rms_norm, avx512::add_partials, avx512::rope, avx512::write_kv, avx512::silu_mul,
    avx512::attention, avx512::attention_partition, avx512::attention_fold, avx512::leaf_max_sum, avx512::best_logit,
    avx512::best_draw, avx512::draw_score, avx512::select_above,
    avx512::logit_range, avx512::weigh, avx512::select,
};

const KernelTable kKernelsAvx512Vnni = {
    "avx512-vnni", avx512::kTileRows, avx512::pack_panels, avx512::pack_pairs, avx512::embed, avx512::vnni_product,
    avx512::rms_norm, avx512::add_partials, avx512::rope, avx512::write_kv, avx512::silu_mul,
    avx512::attention, avx512::attention_partition, avx512::attention_fold, avx512::leaf_max_sum, avx512::best_logit,
    avx512::best_draw, avx512::draw_score, avx512::select_above,
    avx512::logit_range, avx512::weigh, avx512::select,
};

const KernelTable kKernelsAvx512Bf16 = {
    "avx512-bf16", avx512::kTileRows, avx512::pack_panels, avx512::pack_pairs, avx512::embed, avx512::dot_product,
    avx512::rms_norm, avx512::add_partials, avx512::rope, avx512::write_kv, avx512::silu_mul,
    avx512::dot_attention, avx512::dot_attention_partition, avx512::attention_fold, avx512::leaf_max_sum, avx512::best_logit,
    avx512::best_draw, avx512::draw_score, avx512::select_above,
    avx512::logit_range, avx512::weigh, avx512::select,
};

}  // namespace herd
