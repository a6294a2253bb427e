// Products of bf16 by vdpbf16ps, in rule 1's order: the bits of matmul-inl.h and attention-inl.h, sooner where the CPU
// does two such products in the time of one multiply-add (Zen 4, Zen 5). Included in kernels_avx512.cc, after these.
//
// acc = vdpbf16ps(acc, a, b) is fma(a.low, b.low, fma(a.high, b.high, acc)) with DAZ and FTZ, to nearest even, whatever
// MXCSR says: two steps of one chain, when a dword holds k in its high half and k + 2 in its low one. No CPU is trusted
// to do so before dot_check.h has tried it.
//
//   x        [k_padded/4][2][rows of the tile] dwords: (k, k+2), then (k+1, k+3)
//   weights  packed pairs (tensor_view.h) of a K block, rearranged alike
//   tile     8 rows x 2 panels: 10 loads for 16 products. 12 x 1 takes 13 for 12, which is too many where a CPU loads and
//            multiplies twice a cycle (Zen 5: 440 against 495 GFLOP/s)
//
// Only the functions that hold the instruction are compiled for it: the others are those of every AVX-512 CPU.

#define HERD_DOT [[gnu::target("avx512bf16")]]

namespace herd {
namespace HERD_ISA {
namespace {

constexpr int kDotRows = 8;
constexpr int kDotPanels = 2;
constexpr std::int64_t kQuadsPerChunk = kChunkK / 4;
constexpr std::int64_t kPanelChunkBytes = kChunkK * kPanelOutputs * 2;

// (k, k+2) and (k+1, k+3), from 16 dwords that hold (k: low, k+1: high) and 16 of (k+2: low, k+3: high).
HERD_SIMD __m512i even_pairs(const char* at) {
  return _mm512_mask_blend_epi16(0x55555555, _mm512_slli_epi32(_mm512_load_si512(at), 16), _mm512_load_si512(at + 64));
}
HERD_SIMD __m512i odd_pairs(const char* at) {
  return _mm512_mask_blend_epi16(0x55555555, _mm512_load_si512(at), _mm512_srli_epi32(_mm512_load_si512(at + 64), 16));
}

HERD_DOT [[gnu::always_inline]] static inline __m512 dot(__m512 sum, __m512i pairs, const char* x) {
  std::uint32_t pair;
  __builtin_memcpy(&pair, x, 4);
  return _mm512_dpbf16_ps(sum, (__m512bh)pairs, (__m512bh)_mm512_set1_epi32(static_cast<int>(pair)));
}

// ---- matmul ----

// Where a tile finds the pairs of its panels. Few tiles share a block: they rearrange it in registers, each for itself,
// and ask for the weights to come line by line. Many read what was rearranged once for all (512 rows: 5 % sooner).
struct InRegisters {
  HERD_SIMD const char* panel(const TileBlock& block, int p) { return block.w + p * block.panel_bytes; }
  HERD_SIMD std::int64_t chunk_bytes(int) { return kPanelChunkBytes; }
  HERD_SIMD __m512i pairs(const char* at, int parity) { return parity == 0 ? even_pairs(at) : odd_pairs(at); }
  HERD_SIMD void ask(const char* at) { _mm_prefetch(at, _MM_HINT_T0); }
};
struct Rearranged {
  HERD_SIMD const char* panel(const TileBlock& block, int p) { return block.ready + p * kPanelChunkBytes; }
  HERD_SIMD std::int64_t chunk_bytes(int panels) { return panels * kPanelChunkBytes; }
  HERD_SIMD __m512i pairs(const char* at, int parity) { return _mm512_load_si512(at + parity * 64); }
  HERD_SIMD void ask(const char*) {}
};

// What a tile asks for while it reads: the lines that lie so many bytes behind those of its chunks first, first + stride, …
struct DotAhead {
  std::int64_t bytes;
  std::int64_t first;
  std::int64_t stride;
};
// A block of P panels x R rows.
using DotKernel = void (*)(const TileBlock& block, const char* x, const TileSums& sums, const DotAhead& ahead);

template <int R, int P, class Pairs>
HERD_DOT void dot_tile(const TileBlock& block, const char* x, const TileSums& sums, const DotAhead& ahead) {
  alignas(64) float evens[R * P * 16];
  const char* panel[P];
  float* out[P];  // read from `sums` once: for all the compiler knows, the stores below may change it
#pragma GCC unroll 2
  for (int p = 0; p < P; p++) {
    panel[p] = Pairs::panel(block, p);
    out[p] = sums.data + p * sums.panel_floats;
  }
  const std::int64_t chunks = block.chunks;
  const std::int64_t ahead_bytes = ahead.bytes;
  const std::int64_t stride = ahead.stride;
  std::int64_t asks_in = ahead.first;
  bool fresh = sums.fresh;
  for (std::int64_t chunk = 0; chunk < chunks; chunk++) {
    std::int64_t offset = 0;
    if (chunk == asks_in) {
      offset = ahead_bytes;
      asks_in += stride;
    }
    const char* asked[P];
#pragma GCC unroll 2
    for (int p = 0; p < P; p++) asked[p] = panel[p] + offset;
    __m512 sum[R][P];
#pragma GCC unroll 2
    for (int parity = 0; parity < 2; parity++) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
        for (int p = 0; p < P; p++) sum[r][p] = _mm512_setzero_ps();
      }
#pragma GCC unroll 8
      for (int quad = 0; quad < kQuadsPerChunk; quad++) {
        __m512i pairs[P];
#pragma GCC unroll 2
        for (int p = 0; p < P; p++) {
          pairs[p] = Pairs::pairs(panel[p] + quad * 128, parity);
          Pairs::ask(asked[p] + quad * 128 + parity * 64);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
          for (int p = 0; p < P; p++) sum[r][p] = dot(sum[r][p], pairs[p], x + ((quad * 2 + parity) * R + r) * 4);
        }
      }
      if (parity == 0) {
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
          for (int p = 0; p < P; p++) _mm512_store_ps(evens + (r * P + p) * 16, sum[r][p]);
        }
        asm volatile("" ::: "memory");  // see tile()
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int p = 0; p < P; p++) {
        float* at = out[p] + r * 16;
        const __m512 before = fresh ? _mm512_setzero_ps() : _mm512_load_ps(at);
        const __m512 both = _mm512_add_ps(_mm512_load_ps(evens + (r * P + p) * 16), sum[r][p]);
        _mm512_store_ps(at, _mm512_add_ps(before, both));
      }
    }
    fresh = false;
    for (int p = 0; p < P; p++) panel[p] += Pairs::chunk_bytes(P);
    x += kChunkK / 2 * R * 4;
  }
}

template <int P, class Pairs>
DotKernel dot_kernel(int rows) {
  static constexpr DotKernel kKernels[kDotRows + 1] = {
      nullptr,
      dot_tile<1, P, Pairs>,
      dot_tile<2, P, Pairs>,
      dot_tile<3, P, Pairs>,
      dot_tile<4, P, Pairs>,
      dot_tile<5, P, Pairs>,
      dot_tile<6, P, Pairs>,
      dot_tile<7, P, Pairs>,
      dot_tile<8, P, Pairs>,
  };
  return kKernels[rows];
}

template <class Pairs>
HERD_SIMD void dot_run(const TileBlock& block, int rows, const char* x, const TileSums& sums,
                       const DotAhead& ahead) {
  (block.panels == kDotPanels ? dot_kernel<kDotPanels, Pairs> : dot_kernel<1, Pairs>)(rows)(block, x, sums, ahead);
}

struct DotTiles {
  static constexpr int kRows = kDotRows;
  static constexpr int kPanels = kDotPanels;
  static constexpr std::int64_t kXChunkBytes = kChunkK * 2;
  static constexpr std::int64_t kBlockChunks = 8;  // 16 KiB of two panels, half of the smallest L1
  HERD_SIMD std::int64_t block_chunks(const MatmulArgs&, std::int64_t) { return kBlockChunks; }
};

// Up to kDotTilesFew tiles. With one or two, memory is the bound.
struct FewDotTiles : DotTiles {
  HERD_SIMD const char* prepare(const TileBlock& block, float*) { return block.w; }

  // One tile asks for what it reads itself a little later: 2 KiB are too near for 8 rows (1,230 us for 32 MiB, 4 KiB
  // 1,000, 8 KiB 1,040). Of several, each asks for its share of the next block's chunks.
  HERD_SIMD void multiply(const TileBlock& block, int rows, const char* x, const TileSums& sums, std::int64_t tile,
                          std::int64_t tiles) {
    dot_run<InRegisters>(block, rows, x, sums, {tiles == 1 ? 4096 : block.next - block.w, tile, tiles});
  }
};

struct ManyDotTiles : DotTiles {
  static_assert(kBlockChunks * kPanels * kPanelChunkBytes <= kBlockFloats * 4);

  HERD_SIMD const char* prepare(const TileBlock& block, float* room) {
    char* out = reinterpret_cast<char*>(room);
    for (std::int64_t chunk = 0; chunk < block.chunks; chunk++) {
      for (int p = 0; p < block.panels; p++) {
        const char* in = block.w + p * block.panel_bytes + chunk * kPanelChunkBytes;
#pragma GCC unroll 8
        for (int quad = 0; quad < kQuadsPerChunk; quad++) {
          _mm512_store_si512(out + quad * 128, even_pairs(in + quad * 128));
          _mm512_store_si512(out + quad * 128 + 64, odd_pairs(in + quad * 128));
        }
        out += kPanelChunkBytes;
      }
    }
    return reinterpret_cast<const char*>(room);
  }

  // Each of the first tiles asks for a chunk of the next block.
  HERD_SIMD void multiply(const TileBlock& block, int rows, const char* x, const TileSums& sums, std::int64_t tile,
                          std::int64_t) {
    if (tile < kBlockChunks) {
      for (int p = 0; p < block.panels; p++) {
        prefetch(block.next + p * block.panel_bytes + tile * kPanelChunkBytes, kPanelChunkBytes);
      }
    }
    dot_run<Rearranged>(block, rows, x, sums, {0, 0, 1});
  }
};

constexpr std::int64_t kDotTilesFew = 8;  // at 12 both take the same time

void dot_multiply(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  if (tile_count(args.rows, kDotRows) <= kDotTilesFew) {
    tile_panels<FewDotTiles>(args, begin, end, scratch);
  } else {
    tile_panels<ManyDotTiles>(args, begin, end, scratch);
  }
}

// The dwords (k, k+2), (k+1, k+3), (k+4, k+6) … of a row's chunk; +0 from element `left` on.
HERD_SIMD __m512i chunk_pairs(const std::uint16_t* in, std::int64_t left) {
  const __mmask32 there = left >= kChunkK ? 0xffffffffU : (1U << left) - 1U;
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(4, 5, 0, 1, 6, 7, 2, 3, 12, 13, 8, 9, 14, 15, 10, 11));
  return _mm512_shuffle_epi8(_mm512_maskz_loadu_epi16(there, in), order);
}

// v[i] = 8 words of 64 bits of row i becomes v[i] = word i of 8 rows.
HERD_SIMD void transpose8(__m512i v[8]) {
  __m512i words[8];  // of rows 2i and 2i + 1, beside each other: even words in [i], odd ones in [4 + i]
  for (int i = 0; i < 4; i++) {
    words[i] = _mm512_unpacklo_epi64(v[2 * i], v[2 * i + 1]);
    words[4 + i] = _mm512_unpackhi_epi64(v[2 * i], v[2 * i + 1]);
  }
  for (int odd = 0; odd < 2; odd++) {
    const __m512i* w = words + 4 * odd;
    const __m512i low01 = _mm512_shuffle_i64x2(w[0], w[1], 0x44);
    const __m512i high01 = _mm512_shuffle_i64x2(w[0], w[1], 0xee);
    const __m512i low23 = _mm512_shuffle_i64x2(w[2], w[3], 0x44);
    const __m512i high23 = _mm512_shuffle_i64x2(w[2], w[3], 0xee);
    v[0 + odd] = _mm512_shuffle_i64x2(low01, low23, 0x88);
    v[2 + odd] = _mm512_shuffle_i64x2(low01, low23, 0xdd);
    v[4 + odd] = _mm512_shuffle_i64x2(high01, high23, 0x88);
    v[6 + odd] = _mm512_shuffle_i64x2(high01, high23, 0xdd);
  }
}

// A chunk of all rows of a tile at a time; rows that are not there and K's padding are +0.
void dot_pack_x(const TensorView& x, int, std::int64_t k_padded, std::int64_t tiles, std::int64_t begin, std::int64_t end,
                char* packed) {
  for (std::int64_t t = begin; t < end; t++) {
    const std::int64_t row = tile_row(x.rows, tiles, t);
    const std::int64_t rows = tile_row(x.rows, tiles, t + 1) - row;
    const auto* in = static_cast<const std::uint16_t*>(x.data) + row * x.row_stride;
    char* out = packed + row * k_padded * 2;
    // Dwords (row 0, first), (row 0, second), (row 1, first) … become all first ones, then all second ones.
    const __m512i lanes = ilanes().v;
    const __m512i second = _mm512_sub_epi32(lanes, _mm512_set1_epi32(static_cast<int>(rows)));
    const __mmask16 is_second = _mm512_cmpge_epi32_mask(second, _mm512_setzero_si512());
    __m512i order = _mm512_add_epi32(lanes, lanes);
    order = _mm512_mask_add_epi32(order, is_second, _mm512_add_epi32(second, second), _mm512_set1_epi32(1));
    for (std::int64_t k = 0; k < k_padded; k += kChunkK) {
      __m512i v[8];
#pragma GCC unroll 8
      for (int r = 0; r < kDotRows; r++) {
        v[r] = r < rows ? chunk_pairs(in + r * x.row_stride + k, x.cols - k) : _mm512_setzero_si512();
      }
      transpose8(v);
#pragma GCC unroll 8
      for (int quad = 0; quad < kQuadsPerChunk; quad++) {
        _mm512_mask_storeu_epi32(out, first(2 * rows), _mm512_permutexvar_epi32(order, v[quad]));
        out += 2 * rows * 4;
      }
    }
  }
}

constexpr Product kDotProduct = {kDotRows, kDotPanels, kChunkK * 2, dot_pack_x, dot_multiply};

// ---- attention ----

// Few rows wait for memory, and every tile rearranges K and V for itself: 4, 6 and 8 rows take a quarter longer by dot
// products than by multiply-adds, 12 three quarters of the time.
constexpr int kDotAttentionRows = kPrefetchRows + 1;

// Scores of R rows: dims of a key tile are pairs of weights.
template <int R>
HERD_DOT void dot_keys(const char* keys, const char* q, std::int64_t chunks, float* acc, std::int64_t acc_stride,
                       bool fresh, const char* ahead) {
  const std::int64_t prefetch = ahead - keys;
  alignas(64) float evens[R * 16];
  for (std::int64_t chunk = 0; chunk < chunks; chunk++) {
    __m512 sum[R];
#pragma GCC unroll 2
    for (int parity = 0; parity < 2; parity++) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) sum[r] = _mm512_setzero_ps();
#pragma GCC unroll 8
      for (int quad = 0; quad < kQuadsPerChunk; quad++) {
        if (parity == 0) {
          _mm_prefetch(keys + quad * 128 + prefetch, _MM_HINT_T0);
          _mm_prefetch(keys + quad * 128 + 64 + prefetch, _MM_HINT_T0);
        }
        const __m512i pairs = parity == 0 ? even_pairs(keys + quad * 128) : odd_pairs(keys + quad * 128);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) sum[r] = dot(sum[r], pairs, q + ((quad * 2 + parity) * R + r) * 4);
      }
      if (parity == 0) {
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) _mm512_store_ps(evens + r * 16, sum[r]);
        asm volatile("" ::: "memory");  // see tile()
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      float* at = acc + r * acc_stride;
      const __m512 before = fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(at);
      _mm512_storeu_ps(at, _mm512_add_ps(before, _mm512_add_ps(_mm512_load_ps(evens + r * 16), sum[r])));
    }
    fresh = false;
    keys += kChunkK * 32;
    q += kChunkK / 2 * R * 4;
  }
}

// As value_chunk; p holds pairs, see KvDot::store_p.
template <int R>
HERD_DOT void dot_values(const char* const* values, const float* p, float* o, std::int64_t o_stride, std::int64_t v_dim,
                         bool fresh) {
  alignas(64) float evens[R * 16];
  for (std::int64_t d = 0; d < v_dim; d += 16) {
    __m512 sum[R];
#pragma GCC unroll 2
    for (int parity = 0; parity < 2; parity++) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) sum[r] = _mm512_setzero_ps();
#pragma GCC unroll 8
      for (int k = parity; k < kChunkK; k += 4) {
        const auto* high = reinterpret_cast<const __m256i*>(values[k] + d * 2);
        const auto* low = reinterpret_cast<const __m256i*>(values[k + 2] + d * 2);
        const __m512i pairs = _mm512_or_si512(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(high)), 16),
                                              _mm512_cvtepu16_epi32(_mm256_loadu_si256(low)));
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
          sum[r] = dot(sum[r], pairs, reinterpret_cast<const char*>(p + r * kScoreStride + k));
        }
      }
      if (parity == 0) {
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) _mm512_store_ps(evens + r * 16, sum[r]);
        asm volatile("" ::: "memory");  // see tile()
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      float* at = o + r * o_stride + d;
      const __m512 before = fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(at);
      _mm512_storeu_ps(at, _mm512_add_ps(before, _mm512_add_ps(_mm512_load_ps(evens + r * 16), sum[r])));
    }
  }
}

struct KvDot {
  static constexpr std::int64_t kBytes = 2;
  static constexpr bool kRoundP = true;
  // Row r of packed q: [k_dim/4][2][rows] dwords, as x.
  HERD_SIMD void pack_query(const TensorView& q, std::int64_t at, const AttentionTile& tile, int r) {
    auto* packed = reinterpret_cast<std::uint32_t*>(tile.q) + r;
    for (std::int64_t d = 0; d < tile.k_dim; d += kChunkK) {
      alignas(64) std::uint32_t pairs[16];
      _mm512_store_si512(pairs, chunk_pairs(static_cast<const std::uint16_t*>(q.data) + at + d, tile.dim - d));
      for (int i = 0; i < 16; i++) packed[i * tile.rows] = pairs[i];
      packed += 16 * tile.rows;
    }
  }
  // Of 4 positions k … k+3: the dwords (k, k+2), (k+1, k+3) and two that nobody reads.
  HERD_SIMD void store_p(float* at, V16 p) {
    const __m512i bits = as_int(p).v;
    const __m512i later = _mm512_srli_epi32(_mm512_shuffle_epi32(bits, static_cast<_MM_PERM_ENUM>(0x0e)), 16);
    _mm512_storeu_si512(at, _mm512_or_si512(bits, later));
  }
  HERD_SIMD TileKernel key_kernel(int rows) {
    static constexpr TileKernel kKernels[] = {dot_keys<9>, dot_keys<10>, dot_keys<11>, dot_keys<12>};
    static_assert(kDotAttentionRows == 9 && kTileRows == 12);
    return kKernels[rows - kDotAttentionRows];
  }
  HERD_SIMD ValueKernel values_kernel(int rows) {
    static constexpr ValueKernel kKernels[kTileRows + 1] = {
        nullptr,       dot_values<1>, dot_values<2>, dot_values<3>,  dot_values<4>,  dot_values<5>,  dot_values<6>,
        dot_values<7>, dot_values<8>, dot_values<9>, dot_values<10>, dot_values<11>, dot_values<12>,
    };
    return kKernels[rows];
  }
};

HERD_SIMD bool dots(const AttentionUnit& unit, std::int64_t rows) {
  return unit.kv->layout.dtype == DType::kBF16 && rows >= kDotAttentionRows;
}

void dot_attention(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* scratch) {
  if (dots(unit, end - begin)) {
    attention_all<KvDot>(unit, begin, end, scratch);
  } else {
    attention(unit, begin, end, scratch);
  }
}

void dot_attention_partition(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, std::int64_t partition,
                             float* scratch, float* partials, std::int64_t stride) {
  if (dots(unit, end - begin)) {
    attention_one<KvDot>(unit, begin, end, partition, scratch, partials, stride);
  } else {
    attention_partition(unit, begin, end, partition, scratch, partials, stride);
  }
}

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
