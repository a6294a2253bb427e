// Products with packed weights in rule 1's order, included once per instruction set (kernels_*.cc).
//
// Lanes are the 16 outputs of a panel. Within a chunk of 32 the even and the odd elements are two chains; nothing
// ties them together, so a register tile may run them one after the other: that halves its accumulators. The even
// sums and the sums over chunks wait in L1, touched once per 32 K.
//
//   stream (one row or two, bound by memory): both chains at once, so that each weight is loaded once; several runs of
//     panels side by side in memory, software prefetch ahead; sums in registers over a whole leaf.
//   tile   (more rows, bound by FMA): up to kTileRows rows x 1 panel; a K block of the panel stays in L1 while all row
//     tiles pass over it.
//
// The bits do not depend on any of this: each output is one fixed sequence of operations.
//
// Lost on Zen 4: tiles of 2 panels (one broadcast for two multiply-adds; 107 against 113 GFLOP/s, with 12 accumulators
// 79); 4 streams (75 % of read bandwidth, 2 streams 95 %, 1 stream 84 %).

namespace herd {
namespace HERD_ISA {
namespace {

// Weight formats: 16 outputs x one pair of k.
struct WeightsBf16 {
  static constexpr std::int64_t kPairBytes = 64;
  HERD_SIMD V16 even(const char* pair) { return bf16_even(iload(pair)); }
  HERD_SIMD V16 odd(const char* pair) { return bf16_odd(iload(pair)); }
  HERD_SIMD void both(const char* pair, V16* e, V16* o) {
    const I16 v = iload(pair);
    *e = bf16_even(v);
    *o = bf16_odd(v);
  }
};
struct WeightsF16 {
  static constexpr std::int64_t kPairBytes = 64;
  HERD_SIMD V16 even(const char* pair) { return f16_even(iload(pair)); }
  HERD_SIMD V16 odd(const char* pair) { return f16_odd(iload(pair)); }
  HERD_SIMD void both(const char* pair, V16* e, V16* o) { f16_even_odd(iload(pair), e, o); }
};
struct WeightsF32 {
  static constexpr std::int64_t kPairBytes = 128;
  HERD_SIMD V16 even(const char* pair) { return load(reinterpret_cast<const float*>(pair)); }
  HERD_SIMD V16 odd(const char* pair) { return load(reinterpret_cast<const float*>(pair) + 16); }
  HERD_SIMD void both(const char* pair, V16* e, V16* o) {
    *e = even(pair);
    *o = odd(pair);
  }
};

constexpr std::int64_t kPairsPerChunk = kChunkK / 2;

// ---- tile ----

// acc[r * acc_stride ...] += Σ over `chunks` chunks; `fresh`: the sums start at +0.
//   w: first pair of the panel; x: [k][R] floats; ahead: what is asked for while w is read, as many bytes
using TileKernel = void (*)(const char* w, const char* x, std::int64_t chunks, float* acc, std::int64_t acc_stride,
                            bool fresh, const char* ahead);

template <int R, class W>
void tile(const char* w, const char* packed_x, std::int64_t chunks, float* acc, std::int64_t acc_stride, bool fresh,
          const char* ahead) {
  const auto* x = reinterpret_cast<const float*>(packed_x);
  const std::int64_t prefetch = ahead - w;
  alignas(64) float evens[R * 16];
  for (std::int64_t chunk = 0; chunk < chunks; chunk++) {
    V16 sum[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) sum[r] = zero();
#pragma GCC unroll 4
    for (int k = 0; k < kPairsPerChunk; k++) {
      const V16 weight = W::even(w + k * W::kPairBytes);
      for (int line = 0; line < W::kPairBytes; line += 64)
        _mm_prefetch(w + k * W::kPairBytes + prefetch + line, _MM_HINT_T0);
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) sum[r] = fma(weight, set1(x[2 * k * R + r]), sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      store(evens + r * 16, sum[r]);
      sum[r] = zero();
    }
    asm volatile("" ::: "memory");  // the even sums wait in memory, not in the registers the odd ones need
#pragma GCC unroll 4
    for (int k = 0; k < kPairsPerChunk; k++) {
      const V16 weight = W::odd(w + k * W::kPairBytes);
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) sum[r] = fma(weight, set1(x[(2 * k + 1) * R + r]), sum[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      float* at = acc + r * acc_stride;
      const V16 before = fresh ? zero() : load(at);
      store(at, add(before, add(load(evens + r * 16), sum[r])));
    }
    fresh = false;
    x += kChunkK * R;
    w += kPairsPerChunk * W::kPairBytes;
  }
}

template <class W>
TileKernel tile_kernel(int rows) {
  static const TileKernel kernels[kTileRows + 1] = {
    nullptr,
    tile<1, W>,
    tile<2, W>,
    tile<3, W>,
    tile<4, W>,
    tile<5, W>,
    tile<6, W>,
#if HERD_TILE_ROWS == 12
    tile<7, W>,
    tile<8, W>,
    tile<9, W>,
    tile<10, W>,
    tile<11, W>,
    tile<12, W>
#endif
  };
  return kernels[rows];
}

template <class W, bool Expand>
struct TileWeights {
  using Type = W;
};
template <class W>
struct TileWeights<W, true> {
  using Type = WeightsF32;
};

// Tiles of multiply-adds. Expand: of weights turned into fp32, once a block.
template <class W, bool Expand>
struct FmaTiles {
  using Tile = typename TileWeights<W, Expand>::Type;
  static constexpr int kRows = kTileRows;
  static constexpr int kPanels = 1;
  static constexpr std::int64_t kXChunkBytes = kChunkK * 4;
  // Weights of a block are 16 KiB, half of L1; the other half is for x, which passes through, and sums.
  static constexpr std::int64_t kBlockChunks = 16384 / (kPairsPerChunk * Tile::kPairBytes);
  static_assert(kBlockChunks * kChunkK * 16 <= kBlockFloats || !Expand);
  HERD_SIMD std::int64_t block_chunks(const MatmulArgs&, std::int64_t) { return kBlockChunks; }

  HERD_SIMD const char* prepare(const TileBlock& block, float* room) {
    if constexpr (!Expand) return block.w;
    for (std::int64_t k = 0; k < block.chunks * kPairsPerChunk; k++) {
      V16 e;
      V16 o;
      W::both(block.w + k * W::kPairBytes, &e, &o);
      _mm_prefetch(block.w + k * W::kPairBytes + kStreamPrefetch, _MM_HINT_T0);
      store(room + k * 32, e);
      store(room + k * 32 + 16, o);
    }
    return reinterpret_cast<const char*>(room);
  }

  // Only the first tile finds the weights in memory; it asks for what the next block will read (one tile in all:
  // kStreamPrefetch ahead).
  HERD_SIMD void multiply(const TileBlock& block, int rows, const char* x, const TileSums& sums, std::int64_t tile,
                          std::int64_t tiles) {
    const char* ahead = Expand || tile > 0 ? block.ready : tiles == 1 ? block.w + kStreamPrefetch : block.next;
    tile_kernel<Tile>(rows)(block.ready, x, block.chunks, sums.data, 16, sums.fresh, ahead);
  }
};

// ---- stream ----

// Chunks [0, chunks) of P panels x R rows, sums in registers, results to sums[(r * P + p) * 16].
// Split: the even chains of a chunk, then the odd ones (weights come from L1 the second time): half the accumulators.
template <int R, int P, bool Split, class W>
HERD_SIMD void stream_leaf(const char* const* w, const float* x, std::int64_t chunks, float* sums) {
  const char* panel[P];
  V16 total[R][P];
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) panel[p] = w[p];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) total[r][p] = zero();
  }
  for (std::int64_t chunk = 0; chunk < chunks; chunk++) {
    V16 even[R][P];
    V16 odd[R][P];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) even[r][p] = odd[r][p] = zero();
    }
#pragma GCC unroll 4
    for (int k = 0; k < kPairsPerChunk; k++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) {
        V16 e;
        V16 o;
        if constexpr (Split) {
          e = W::even(panel[p] + k * W::kPairBytes);
        } else {
          W::both(panel[p] + k * W::kPairBytes, &e, &o);
        }
        for (int line = 0; line < W::kPairBytes; line += 64)
          _mm_prefetch(panel[p] + k * W::kPairBytes + kStreamPrefetch + line, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          even[r][p] = fma(e, set1(x[2 * k * R + r]), even[r][p]);
          if constexpr (!Split) odd[r][p] = fma(o, set1(x[(2 * k + 1) * R + r]), odd[r][p]);
        }
      }
    }
    if constexpr (Split) {
#pragma GCC unroll 4
      for (int k = 0; k < kPairsPerChunk; k++) {
#pragma GCC unroll 4
        for (int p = 0; p < P; p++) {
          const V16 o = W::odd(panel[p] + k * W::kPairBytes);
#pragma GCC unroll 4
          for (int r = 0; r < R; r++) odd[r][p] = fma(o, set1(x[(2 * k + 1) * R + r]), odd[r][p]);
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) total[r][p] = add(total[r][p], add(even[r][p], odd[r][p]));
    }
    x += kChunkK * R;
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) panel[p] += kPairsPerChunk * W::kPairBytes;
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) store(sums + (r * P + p) * 16, total[r][p]);
  }
}

template <int R, int P, bool Split, class W>
HERD_SIMD void stream_group(const MatmulArgs& args, const std::int64_t* panels, float* scratch) {
  const PackedMatrix& w = *args.w;
  const std::int64_t panel_bytes = w.k_padded() / 2 * W::kPairBytes;
  LeafStack stack;
  stack.depth = 0;
  for (int level = 0; level < kTreeLevels; level++) stack.buffer[level] = scratch + level * R * P * 16;
  for (int leaf = 0; leaf < w.leaf_count; leaf++) {
    const std::int64_t chunk = w.leaf_chunk[leaf];
    const std::int64_t chunks = w.leaf_chunk[leaf + 1] - chunk;
    stack.present[stack.depth] = chunks > 0;
    if (chunks > 0) {
      const char* in_panel[P];
      for (int p = 0; p < P; p++) {
        in_panel[p] =
            static_cast<const char*>(w.data) + panels[p] * panel_bytes + chunk * kPairsPerChunk * W::kPairBytes;
      }
      const auto* x = reinterpret_cast<const float*>(args.x) + chunk * kChunkK * R;
      stream_leaf<R, P, Split, W>(in_panel, x, chunks, stack.buffer[stack.depth]);
    }
    close_leaf(&stack, leaf, R * P * 16);
  }
  for (int r = 0; r < R; r++) {
    for (int p = 0; p < P; p++) finish(args, r, panels[p], stack.buffer[0] + (r * P + p) * 16);
  }
}

template <int R, int P, bool Split, class W>
void stream_panels(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  const std::int64_t run = (end - begin) / P;
  std::int64_t panels[P];
  for (std::int64_t i = 0; i < run; i++) {
    for (int p = 0; p < P; p++) panels[p] = begin + p * run + i;
    stream_group<R, P, Split, W>(args, panels, scratch);
  }
  for (std::int64_t panel = begin + P * run; panel < end; panel++) stream_group<R, 1, false, W>(args, &panel, scratch);
}

template <class W>
HERD_SIMD void matmul_panels(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  switch (args.rows) {
    case 1:
      stream_panels<1, kStreams, false, W>(args, begin, end, scratch);
      return;
    case 2:
      stream_panels<2, kStreams, (kStreamRowsWhole < 2), W>(args, begin, end, scratch);
      return;
    case 3:
      if constexpr (kStreamRowsWhole >= 3) {
        stream_panels<3, kStreams, false, W>(args, begin, end, scratch);
        return;
      }
      break;
    case 4:
      if constexpr (kStreamRowsWhole >= 4) {
        stream_panels<4, kStreams, false, W>(args, begin, end, scratch);
        return;
      }
      break;
    default:
      break;
  }
  if constexpr (kExpandF16 && __is_same(W, WeightsF16)) {
    if (args.rows > 2 * kTileRows) {  // from three tiles on it pays
      tile_panels<FmaTiles<W, true>>(args, begin, end, scratch);
      return;
    }
  }
  tile_panels<FmaTiles<W, false>>(args, begin, end, scratch);
}

void fma_multiply(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  switch (args.w->dtype()) {
    case DType::kBF16:
      matmul_panels<WeightsBf16>(args, begin, end, scratch);
      break;
    case DType::kF16:
      matmul_panels<WeightsF16>(args, begin, end, scratch);
      break;
    case DType::kF32:
      matmul_panels<WeightsF32>(args, begin, end, scratch);
      break;
  }
}

// ---- activations ----

HERD_SIMD __m128 load4(const TensorView& x, std::int64_t at) {
  if (x.dtype == DType::kF32) return _mm_loadu_ps(static_cast<const float*>(x.data) + at);
  const auto* p = static_cast<const std::uint16_t*>(x.data) + at;
  return _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))), 16));
}
HERD_SIMD float load1(const TensorView& x, std::int64_t at) {
  if (x.dtype == DType::kF32) return static_cast<const float*>(x.data)[at];
  return __builtin_bit_cast(float, std::uint32_t{static_cast<const std::uint16_t*>(x.data)[at]} << 16);
}

// To fp32, [k_padded][rows of the tile]. Turns rows into columns, 4 x 4 at a time: stores of 4 rows side by side. K's
// padding is +0.
void fma_pack_x(const TensorView& x, int, std::int64_t k_padded, std::int64_t tiles, std::int64_t begin, std::int64_t end,
                char* packed) {
  const std::int64_t fours = x.cols / 4 * 4;
  for (std::int64_t t = begin; t < end; t++) {
    const std::int64_t row = tile_row(x.rows, tiles, t);
    const std::int64_t rows = tile_row(x.rows, tiles, t + 1) - row;
    float* out = reinterpret_cast<float*>(packed) + row * k_padded;
    std::int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      const std::int64_t at = (row + r) * x.row_stride;
      for (std::int64_t k = 0; k < fours; k += 4) {
        __m128 a = load4(x, at + k);
        __m128 b = load4(x, at + x.row_stride + k);
        __m128 c = load4(x, at + 2 * x.row_stride + k);
        __m128 d = load4(x, at + 3 * x.row_stride + k);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(out + k * rows + r, a);
        _mm_storeu_ps(out + (k + 1) * rows + r, b);
        _mm_storeu_ps(out + (k + 2) * rows + r, c);
        _mm_storeu_ps(out + (k + 3) * rows + r, d);
      }
      for (std::int64_t k = fours; k < x.cols; k++) {
        for (int i = 0; i < 4; i++) out[k * rows + r + i] = load1(x, at + i * x.row_stride + k);
      }
    }
    for (; r < rows; r++) {
      const std::int64_t at = (row + r) * x.row_stride;
      if (rows == 1) {
        for (std::int64_t k = 0; k < fours; k += 4) _mm_storeu_ps(out + k, load4(x, at + k));
      } else {
        for (std::int64_t k = 0; k < fours; k++) out[k * rows + r] = load1(x, at + k);
      }
      for (std::int64_t k = fours; k < x.cols; k++) out[k * rows + r] = load1(x, at + k);
    }
    for (std::int64_t i = x.cols * rows; i < k_padded * rows; i++) out[i] = 0.0F;
  }
}

constexpr Product kFmaProduct = {kTileRows, 1, kChunkK * 4, fma_pack_x, fma_multiply};

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
