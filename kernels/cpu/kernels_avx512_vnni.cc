// Products of blocks by vpdpbusd: AVX-512 (F, BW, DQ, VL) and VNNI. Per-ISA file: see kernel_table.h; it exports a product.

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/simd16_avx512.h"
#include "kernels/packed_blocks.h"

#define HERD_ISA avx512
// 12 rows: 12 accumulators of integers; broadcasts are operands. What a super-block adds up is 12 registers more.
#ifndef HERD_BLOCK_ROWS
#define HERD_BLOCK_ROWS 12
#endif
namespace herd {
namespace avx512 {
namespace {
constexpr int kBlockRows = HERD_BLOCK_ROWS;
constexpr int kStreams = 2;            // panels side by side
constexpr int kStreamPrefetch = 1024;  // bytes
}  // namespace
}  // namespace avx512
}  // namespace herd

#include "kernels/cpu/panels-inl.h"

#include "kernels/cpu/blocks-inl.h"

namespace herd {
namespace avx512 {
namespace {

// Numbers as an expanded block holds them for vpdpbusd: unsigned, 128 too large.
template <bool Minimum, bool Super, bool Groups>
struct RaisedBlocks {
  static constexpr bool kMinimum = Minimum;
  static constexpr bool kSuper = Super;
  static constexpr bool kGroups = Groups;
};

// Four products of unsigned with signed bytes are added to 32 bits, exactly.
struct QuadDots {
  template <class F>
  using Form = RaisedBlocks<F::kMinimum, F::kSuper, F::kGroups>;
  template <class F>
  HERD_SIMD I16 expanded(I16 dwords) {
    constexpr std::uint32_t kRaise = F::kBits == 8 ? 128 : 128 - F::kOffset;
    const I16 raise = iset1(static_cast<std::int32_t>(kRaise * 0x01010101U));
    return F::kBits == 8 ? ixor(dwords, raise) : iadd(dwords, raise);
  }
  template <class E>
  HERD_SIMD void begin(ByteSum* sum, const char* facts, std::int64_t stride, int half) {
    if (E::kGroups || half == 0) sum->dot = shl<7>(minus_sum(facts, stride, E::kGroups, half));
  }
  template <class E>
  HERD_SIMD void add(ByteSum* sum, int, I16 w, I16 x) {
    sum->dot.v = _mm512_dpbusd_epi32(sum->dot.v, w.v, x.v);
  }
  template <class E>
  HERD_SIMD void end(ByteSum*, int) {}
  template <class E>
  HERD_SIMD I16 total(const ByteSum& sum) {
    return sum.dot;
  }
};

}  // namespace
}  // namespace avx512

const Product kVnniBlocks = avx512::kBlockProduct<avx512::QuadDots>;

}  // namespace herd
