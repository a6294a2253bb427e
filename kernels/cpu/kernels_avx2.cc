// The AVX2 table (with FMA and F16C). Per-ISA file: see kernel_table.h.

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/simd16_avx2.h"
#include "kernels/math.h"
#include "kernels/packed_blocks.h"
#include "kernels/philox.h"

#define HERD_ISA avx2
// 6 rows x 16 outputs: 12 accumulators, 2 weights, 1 broadcast of 16 registers.
#define HERD_TILE_ROWS 6
// 4 rows x 16 outputs of blocks: 8 accumulators, 2 weights, 1 broadcast, constants.
#ifndef HERD_BLOCK_ROWS
#define HERD_BLOCK_ROWS 4
#endif
namespace herd {
namespace avx2 {
namespace {
constexpr int kTileRows = HERD_TILE_ROWS;
constexpr int kBlockRows = HERD_BLOCK_ROWS;
// Panels a row or few stream side by side. One row: both chains of 2 panels are 8 accumulators, sums 4 more; two
// rows run the chains one after the other.
constexpr int kStreams = 2;
constexpr int kStreamRowsWhole = 1;
constexpr int kStreamPrefetch = 2048;  // bytes; 1024 to 4096 measure alike
constexpr bool kExpandF16 = true;      // eight instructions expand 16 halves: once per K block
}  // namespace
}  // namespace avx2
}  // namespace herd

#include "kernels/cpu/panels-inl.h"

#include "kernels/cpu/matmul-inl.h"

#include "kernels/cpu/blocks-inl.h"

#include "kernels/cpu/math16-inl.h"

#include "kernels/cpu/elementwise-inl.h"

#include "kernels/cpu/attention-inl.h"

#include "kernels/cpu/sampling-inl.h"

namespace herd {
namespace avx2 {
namespace {
const Product& product(const TensorView&, const PackedMatrix& w) {
  return is_quantized(w.format) ? kBlockProduct<PairDots> : kFmaProduct;
}
}  // namespace
}  // namespace avx2

const KernelTable kKernelsAvx2 = {
    "avx2", avx2::kTileRows, avx2::pack_panels, avx2::pack_pairs, avx2::embed, avx2::product,
    avx2::rms_norm, avx2::add_partials, avx2::rope, avx2::write_kv, avx2::silu_mul,
    avx2::attention, avx2::attention_partition, avx2::attention_fold, avx2::leaf_max_sum, avx2::best_logit,
    avx2::best_draw, avx2::draw_score, avx2::select_above,
    avx2::logit_range, avx2::weigh, avx2::select,
};

}  // namespace herd
