// Products with weights in blocks (packed_blocks.h), by rule 9: x becomes int8 with a scale of each 32, dot products of bytes are
// exact integers, so no order of theirs shows; scales enter chunk by chunk, in ascending order. Included after panels-inl.h.
//
//   few rows    straight from the packed nibbles, of one row panels side by side in memory: bound by memory
//   more rows   a K block of a panel is expanded to bytes in L1 once, then all row tiles pass over it

namespace herd {
namespace HERD_ISA {
namespace {

// ---- activations ----

// x of a tile of R rows, of each chunk: [8][R] dwords, dword i = elements 4i … 4i + 3 as int8; then [kBlockFacts][R] dwords:
enum BlockFact {
  kFactScale,      // float
  kFactScaleSum,   // float: scale ⊗ float(Σ)
  kFactPairs8,     // −8·Σ of elements 4i, 4i + 1 in the low half, of 4i + 2, 4i + 3 in the high one
  kFactMinusLow,   // −Σ of elements 0 … 15
  kFactMinusHigh,  // −Σ of elements 16 … 31
  kBlockFacts,
};
constexpr std::int64_t kBlockXBytes = kChunkK + 4 * kBlockFacts;

// Sums of the dwords' 16-bit halves, apart, in every dword.
HERD_SIMD __m128i sum_dwords16(__m128i v) {
  v = _mm_add_epi16(v, _mm_shuffle_epi32(v, 0x4e));
  return _mm_add_epi16(v, _mm_shuffle_epi32(v, 0xb1));
}
HERD_SIMD std::int32_t sum_halves(__m128i v) { return _mm_cvtsi128_si32(_mm_madd_epi16(v, _mm_set1_epi16(1))); }

// 32 numbers as int8; the scale.
HERD_SIMD float quantize(V16 low, V16 high, __m128i* bytes) {
  bytes[0] = bytes[1] = _mm_setzero_si128();
  const I16 magnitude = iset1(0x7fffffff);
  const std::int32_t largest = imax_lane(imax(iand(as_int(low), magnitude), iand(as_int(high), magnitude)));
  if (largest >= 0x7f800000) return __builtin_nanf("");
  if (largest < 0x0d800000) return 0.0F;  // 2^-100
  const float absmax = __builtin_bit_cast(float, largest);
  const V16 inverse = set1(127.0F / absmax);  // two roundings away from 127 at most: nothing has to be cut there
  bytes[0] = round_to_bytes(mul(low, inverse));
  bytes[1] = round_to_bytes(mul(high, inverse));
  return absmax / 127.0F;
}

// One part of a chunk of one row, to column r of R. `at`: of its first element.
HERD_SIMD void quantize_chunk(const TensorView& x, std::int64_t at, std::int64_t part, std::int32_t* out, std::int64_t r,
                              std::int64_t rows) {
  const V16 low = load_act(x, at);
  const V16 high = load_act(x, at + 16);
  __m128i bytes[2];
  float scale = quantize(low, high, bytes);
  if (part == 1) {  // what the first part leaves over
    const V16 minus = set1(-scale);
    scale = quantize(fma(minus, load_i8(&bytes[0]), low), fma(minus, load_i8(&bytes[1]), high), bytes);
  }
  alignas(32) std::int32_t dwords[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(dwords), bytes[0]);
  _mm_store_si128(reinterpret_cast<__m128i*>(dwords) + 1, bytes[1]);
  for (int i = 0; i < 8; i++) out[i * rows + r] = dwords[i];

  const __m128i ones = _mm_set1_epi8(1);
  const __m128i sums_low = sum_dwords16(_mm_maddubs_epi16(ones, bytes[0]));
  const __m128i sums_high = sum_dwords16(_mm_maddubs_epi16(ones, bytes[1]));
  const std::int32_t sum_low = sum_halves(sums_low);
  const std::int32_t sum_high = sum_halves(sums_high);
  const __m128i pairs = _mm_mullo_epi16(_mm_add_epi16(sums_low, sums_high), _mm_set1_epi16(-8));
  const std::int64_t facts = 8 * rows + r;
  out[facts + kFactScale * rows] = __builtin_bit_cast(std::int32_t, scale);
  out[facts + kFactScaleSum * rows] = __builtin_bit_cast(std::int32_t, scale * static_cast<float>(sum_low + sum_high));
  out[facts + kFactPairs8 * rows] = _mm_cvtsi128_si32(pairs);
  out[facts + kFactMinusLow * rows] = -sum_low;
  out[facts + kFactMinusHigh * rows] = -sum_high;
}

void blocks_pack_x(const TensorView& x, int parts, std::int64_t k_padded, std::int64_t tiles, std::int64_t begin,
                   std::int64_t end, char* packed) {
  for (std::int64_t t = begin; t < end; t++) {
    const std::int64_t row = tile_row(x.rows * parts, tiles, t);
    const std::int64_t rows = tile_row(x.rows * parts, tiles, t + 1) - row;
    for (std::int64_t r = 0; r < rows; r++) {
      char* out = packed + row * (k_padded / kChunkK) * kBlockXBytes;
      const std::int64_t at = (row + r) / parts * x.row_stride;
      for (std::int64_t k = 0; k < k_padded; k += kChunkK) {
        quantize_chunk(x, at + k, (row + r) % parts, reinterpret_cast<std::int32_t*>(out), r, rows);
        out += rows * kBlockXBytes;
      }
    }
  }
}

HERD_SIMD I16 dword(const char* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, 4);
  return iset1(four);
}
HERD_SIMD V16 factor(const char* x) {
  float one;
  __builtin_memcpy(&one, x, 4);
  return set1(one);
}

// ---- formats ----

// Dwords of numbers of a format, out of a packed chunk. kBits: of a number; 8: it is signed, else from 0.
template <WeightFormat Format, int Bits>
struct Blocks {
  static constexpr WeightFormat kFormat = Format;
  static constexpr int kBits = Bits;
  static constexpr int kOffset = block_offset(Format);
  static constexpr bool kMinimum = has_minimum(Format);
  static constexpr bool kSuper = has_super_blocks(Format);        // scales of chunks are whole numbers, d is the super-block's
  static constexpr bool kGroups = Format == WeightFormat::kQ6_K;  // two scales a chunk
  static constexpr ChunkLayout kAt = chunk_layout(Format);

  // Dword half * 4 + i.
  HERD_SIMD I16 dwords(const char* chunk, int half, int i) {
    if constexpr (kBits == 8) return iload(chunk + kAt.q + (half * 4 + i) * 64);
    const I16 both = iload(chunk + kAt.q + i * 64);
    I16 numbers = iand(half == 0 ? both : shr<4>(both), iset1(0x0f0f0f0f));
    if constexpr (kBits == 5) numbers = ior(numbers, iand(to_bit_4(iload(chunk + kAt.h), half * 4 + i), iset1(0x10101010)));
    if constexpr (kBits == 6) numbers = ior(numbers, iand(to_bit_4(iload(chunk + kAt.h + half * 64), 2 * i), iset1(0x30303030)));
    return numbers;
  }

 private:
  // Bit `from` of each byte moved to bit 4, among others that the caller cuts off.
  HERD_SIMD I16 to_bit_4(I16 v, int from) {
    switch (from) {
      case 0:
        return shl<4>(v);
      case 1:
        return shl<3>(v);
      case 2:
        return shl<2>(v);
      case 3:
        return shl<1>(v);
      case 4:
        return v;
      case 5:
        return shr<1>(v);
      case 6:
        return shr<2>(v);
      default:
        return shr<3>(v);
    }
  }
};
using BlocksQ8 = Blocks<WeightFormat::kQ8_0, 8>;
using BlocksQ40 = Blocks<WeightFormat::kQ4_0, 4>;
using BlocksQ41 = Blocks<WeightFormat::kQ4_1, 4>;
using BlocksQ50 = Blocks<WeightFormat::kQ5_0, 5>;
using BlocksQ51 = Blocks<WeightFormat::kQ5_1, 5>;
using BlocksQ4K = Blocks<WeightFormat::kQ4_K, 4>;
using BlocksQ5K = Blocks<WeightFormat::kQ5_K, 5>;
using BlocksQ6K = Blocks<WeightFormat::kQ6_K, 6>;

// The integer dot product of a chunk (of a group of 16, where a format has them) in the making: lanes are outputs. How it is
// made, and from what form of the numbers, is for Dots to say:
//   Form<F>                    what an expanded block of F is; F itself where its numbers are taken as they are
//   expanded<F>(dwords)        into that form
//   begin<E>(facts, stride, half), add<E>(sum, i, w, x), end<E>(sum, half), total<E>(sum)
// Halves are dwords 0 … 3 and 4 … 7; facts + fact * stride: of the row.
struct ByteSum {
  I16 dot;      // 32 bits
  I16 pending;  // 16 bits, twice
};

HERD_SIMD I16 izero() { return iset1(0); }
HERD_SIMD I16 minus_sum(const char* facts, std::int64_t stride, bool groups, int half) {
  if (groups) return dword(facts + (half == 0 ? kFactMinusLow : kFactMinusHigh) * stride);
  return iadd(dword(facts + kFactMinusLow * stride), dword(facts + kFactMinusHigh * stride));
}

// One instruction adds two products of an unsigned and a signed byte in 16 bits, where it saturates: two of 8 bits stay below 2^15
// (128 · 127 · 2 = 32,512). Such pairs are added on in 16 bits as long as they cannot get there, either: eight of 4 bits
// (15 · 127 · 2 · 8 = 30,480), four of 5, two of 6.
struct PairDots {
  template <class F>
  using Form = F;
  template <class F>
  HERD_SIMD I16 expanded(I16 dwords) {
    return dwords;
  }
  template <class E>
  HERD_SIMD void begin(ByteSum* sum, const char* facts, std::int64_t stride, int half) {
    if constexpr (E::kBits == 4) {
      // Sums of (n - 8)·a stay below 2^15 however far those of n·a are off: 16 bits wrap around.
      if (half == 0) sum->pending = E::kOffset == 8 ? dword(facts + kFactPairs8 * stride) : izero();
    } else if (E::kGroups || half == 0) {
      sum->dot = izero();
      if constexpr (E::kOffset == 16) sum->dot = shl<4>(minus_sum(facts, stride, false, half));
      if constexpr (E::kOffset == 32) sum->dot = shl<5>(minus_sum(facts, stride, true, half));
    }
  }
  template <class E>
  HERD_SIMD void add(ByteSum* sum, int i, I16 w, I16 x) {
    if constexpr (E::kBits == 8) {
      sum->dot = iadd(sum->dot, add_halves(maddubs(abs8(w), sign8(x, w))));
      hold(&sum->dot);
      return;
    }
    const I16 pairs = maddubs(w, x);
    const bool alone = (E::kBits == 5 && i == 0) || (E::kBits == 6 && i % 2 == 0);
    sum->pending = alone ? pairs : add16(sum->pending, pairs);
    hold(&sum->pending);
    if (E::kBits == 6 && i % 2 == 1) {
      sum->dot = iadd(sum->dot, add_halves(sum->pending));
      hold(&sum->dot);
    }
  }
  template <class E>
  HERD_SIMD void end(ByteSum* sum, int) {
    if constexpr (E::kBits == 5) sum->dot = iadd(sum->dot, add_halves(sum->pending));
  }
  template <class E>
  HERD_SIMD I16 total(const ByteSum& sum) {
    return E::kBits == 4 ? add_halves(sum.pending) : sum.dot;
  }
};

HERD_SIMD V16 scales(const char* at) { return load_f16(reinterpret_cast<const std::uint16_t*>(at)); }

// ---- few rows ----

// R rows, or parts of one, with P panels.
template <class F, class Dots, int R, int P>
HERD_SIMD void stream_blocks(const MatmulArgs& args, const std::int64_t* panels, float* scratch) {
  using Form = typename Dots::template Form<F>;
  const PackedMatrix& w = *args.w;
  const std::int64_t panel_bytes = w.panel_bytes();
  constexpr std::int64_t kChunkBytes = packed_chunk_bytes(F::kFormat);
  LeafStack stack;
  stack.depth = 0;
  for (int level = 0; level < kTreeLevels; level++) stack.buffer[level] = scratch + level * P * R * 16;
  for (int leaf = 0; leaf < w.leaf_count; leaf++) {
    const std::int64_t begin = w.leaf_chunk[leaf];
    const std::int64_t end = w.leaf_chunk[leaf + 1];
    stack.present[stack.depth] = begin < end;
    const char* head[P];
    const char* at[P];
    V16 sum[P][R];
    V16 within[P][R];  // of the super-block: sums in units of d
    V16 taken[P][R];   // in units of dmin
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) {
      head[p] = static_cast<const char*>(w.data) + panels[p] * panel_bytes;
      at[p] = head[p] + w.head_bytes() + begin * kChunkBytes;
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) sum[p][r] = within[p][r] = taken[p][r] = zero();
    }
    const char* x = args.x + begin * kBlockXBytes * R;
    for (std::int64_t chunk = begin; chunk < end; chunk++) {
      const char* const facts = x + kChunkK * R;
      const auto fact = [facts](int number, int r) { return factor(facts + (number * R + r) * 4); };
      const std::int64_t in_row = w.chunks_before + chunk;
      const bool closes = chunk + 1 == end || (in_row + 1) % kChunksPerSuperBlock == 0;
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) {
        for (std::int64_t line = 0; line < kChunkBytes; line += 64) _mm_prefetch(at[p] + kStreamPrefetch + line, _MM_HINT_T0);
        ByteSum dots[R];
#pragma GCC unroll 4
        for (int half = 0; half < 2; half++) {
#pragma GCC unroll 4
          for (int r = 0; r < R; r++) Dots::template begin<Form>(&dots[r], facts + r * 4, R * 4, half);
#pragma GCC unroll 4
          for (int i = 0; i < 4; i++) {
            const I16 numbers = Dots::template expanded<F>(F::dwords(at[p], half, i));
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) Dots::template add<Form>(&dots[r], i, numbers, dword(x + ((half * 4 + i) * R + r) * 4));
          }
#pragma GCC unroll 4
          for (int r = 0; r < R; r++) {
            Dots::template end<Form>(&dots[r], half);
            if constexpr (F::kGroups) {
              const V16 group = mul(load_i8(at[p] + F::kAt.d + half * 16), fact(kFactScale, r));
              within[p][r] = fma(to_f32(Dots::template total<Form>(dots[r])), group, within[p][r]);
            }
          }
        }
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          if constexpr (F::kSuper) {
            if constexpr (F::kMinimum) {
              const V16 scale = mul(load_u8(at[p] + F::kAt.d), fact(kFactScale, r));
              within[p][r] = fma(to_f32(Dots::template total<Form>(dots[r])), scale, within[p][r]);
              taken[p][r] = fma(load_u8(at[p] + F::kAt.m), fact(kFactScaleSum, r), taken[p][r]);
            }
            if (closes) {
              const char* const super = head[p] + in_row / kChunksPerSuperBlock * packed_super_bytes(F::kFormat);
              sum[p][r] = fma(scales(super), within[p][r], sum[p][r]);
              if constexpr (F::kMinimum) sum[p][r] = fma(scales(super + 32), taken[p][r], sum[p][r]);
              within[p][r] = taken[p][r] = zero();
            }
          } else {
            const V16 both = mul(scales(at[p] + F::kAt.d), fact(kFactScale, r));
            sum[p][r] = fma(to_f32(Dots::template total<Form>(dots[r])), both, sum[p][r]);
            if constexpr (F::kMinimum) sum[p][r] = fma(scales(at[p] + F::kAt.m), fact(kFactScaleSum, r), sum[p][r]);
          }
        }
        at[p] += kChunkBytes;
      }
      x += kBlockXBytes * R;
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) store(stack.buffer[stack.depth] + (p * R + r) * 16, sum[p][r]);
    }
    close_leaf(&stack, leaf, P * R * 16);
  }
  for (int p = 0; p < P; p++) {
    for (int r = 0; r < R; r += w.x_parts) finish(args, r / w.x_parts, panels[p], stack.buffer[0] + (p * R + r) * 16);
  }
}

// ---- tiles ----

// A chunk of an expanded block: 8 vectors of dwords, then two of floats: d and m, sc and mc, or the scales of the two groups.
constexpr std::int64_t kExpandedBytes = 8 * 64 + 2 * 64;
constexpr std::int64_t kExpandedChunks = 16;
constexpr std::int64_t kExpandedSupers = kExpandedChunks / kChunksPerSuperBlock + 1;  // behind the chunks: d, −dmin of super-blocks
constexpr std::int64_t kExpandedSuperBytes = 2 * 64;
static_assert(kExpandedChunks * kExpandedBytes + kExpandedSupers * kExpandedSuperBytes <= kBlockFloats * 4);

// acc[r * 16 …] += the chunks of a block. in_super: the place of the first chunk in its super-block.
using BlockTile = void (*)(const char* w, const char* x, std::int64_t chunks, float* acc, bool fresh, std::int64_t in_super);

template <int R, class E, class Dots>
void block_tile(const char* w, const char* x, std::int64_t chunks, float* acc, bool fresh, std::int64_t in_super) {
  const char* super = w + kExpandedChunks * kExpandedBytes;
  V16 within[R];  // of the super-block
  V16 taken[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; r++) within[r] = taken[r] = zero();
  for (std::int64_t chunk = 0; chunk < chunks; chunk++) {
    const char* const facts = x + kChunkK * R;
    ByteSum sum[R];
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) Dots::template begin<E>(&sum[r], facts + r * 4, R * 4, half);
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const I16 numbers = iload(w + (half * 4 + i) * 64);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) Dots::template add<E>(&sum[r], i, numbers, dword(x + ((half * 4 + i) * R + r) * 4));
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) Dots::template end<E>(&sum[r], half);
      if constexpr (E::kGroups) {
        const V16 scale = load(reinterpret_cast<const float*>(w + 512 + half * 64));
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
          const V16 group = mul(scale, factor(facts + (kFactScale * R + r) * 4));
          within[r] = fma(to_f32(Dots::template total<E>(sum[r])), group, within[r]);
        }
      }
    }
    if constexpr (E::kSuper && E::kMinimum) {
      const V16 scale = load(reinterpret_cast<const float*>(w + 512));
      const V16 minimum = load(reinterpret_cast<const float*>(w + 576));
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
        within[r] = fma(to_f32(Dots::template total<E>(sum[r])), mul(scale, factor(facts + (kFactScale * R + r) * 4)), within[r]);
        taken[r] = fma(minimum, factor(facts + (kFactScaleSum * R + r) * 4), taken[r]);
      }
    }
    if constexpr (E::kSuper) {
      in_super++;
      if (in_super % kChunksPerSuperBlock == 0 || chunk + 1 == chunks) {
        const V16 d = load(reinterpret_cast<const float*>(super));
        const V16 minimum = load(reinterpret_cast<const float*>(super + 64));
        super += kExpandedSuperBytes;
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
          V16 total = fma(d, within[r], fresh ? zero() : load(acc + r * 16));
          if constexpr (E::kMinimum) total = fma(minimum, taken[r], total);
          store(acc + r * 16, total);
          within[r] = taken[r] = zero();
        }
        fresh = false;
      }
    } else {
      const V16 d = load(reinterpret_cast<const float*>(w + 512));
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
        const V16 both = mul(d, factor(facts + (kFactScale * R + r) * 4));
        V16 total = fma(to_f32(Dots::template total<E>(sum[r])), both, fresh ? zero() : load(acc + r * 16));
        if constexpr (E::kMinimum) {
          total = fma(load(reinterpret_cast<const float*>(w + 576)), factor(facts + (kFactScaleSum * R + r) * 4), total);
        }
        store(acc + r * 16, total);
      }
      fresh = false;
    }
    w += kExpandedBytes;
    x += kBlockXBytes * R;
  }
}

template <class E, class Dots>
BlockTile block_tile_of(int rows) {
  static constexpr BlockTile kTiles[kBlockRows + 1] = {
      nullptr,
      block_tile<1, E, Dots>,
      block_tile<2, E, Dots>,
#if HERD_BLOCK_ROWS >= 4
      block_tile<3, E, Dots>,
      block_tile<4, E, Dots>,
#endif
#if HERD_BLOCK_ROWS >= 6
      block_tile<5, E, Dots>,
      block_tile<6, E, Dots>,
#endif
#if HERD_BLOCK_ROWS >= 12
      block_tile<7, E, Dots>,
      block_tile<8, E, Dots>,
      block_tile<9, E, Dots>,
      block_tile<10, E, Dots>,
      block_tile<11, E, Dots>,
      block_tile<12, E, Dots>,
#endif
  };
  return kTiles[rows];
}

constexpr std::int64_t kFewRows = 16;

template <class F, class Dots>
struct BlockTiles {
  static constexpr int kRows = kBlockRows;
  static constexpr int kPanels = 1;
  static constexpr std::int64_t kXChunkBytes = kBlockXBytes;
  // A block ends where a super-block does, or a leaf. Few rows are multiplied soon after the weights came, so that the next ones
  // are on their way meanwhile.
  HERD_SIMD std::int64_t block_chunks(const MatmulArgs& args, std::int64_t chunk) {
    if (F::kSuper) {
      const std::int64_t most = args.rows <= kFewRows ? kChunksPerSuperBlock : kExpandedChunks;
      return most - (args.w->chunks_before + chunk) % kChunksPerSuperBlock;
    }
    return args.rows <= kFewRows ? 4 : kExpandedChunks;
  }

  HERD_SIMD const char* prepare(const TileBlock& block, float* room) {
    char* out = reinterpret_cast<char*>(room);
    constexpr std::int64_t kChunkBytes = packed_chunk_bytes(F::kFormat);
    const char* in = block.w;
    for (std::int64_t chunk = 0; chunk < block.chunks; chunk++) {
      for (std::int64_t line = 0; line < kChunkBytes; line += 64) _mm_prefetch(in + kStreamPrefetch + line, _MM_HINT_T0);
#pragma GCC unroll 2
      for (int half = 0; half < 2; half++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) istore(out + (half * 4 + i) * 64, Dots::template expanded<F>(F::dwords(in, half, i)));
      }
      float* const floats = reinterpret_cast<float*>(out + 512);
      if constexpr (F::kGroups) {
        store(floats, load_i8(in + F::kAt.d));
        store(floats + 16, load_i8(in + F::kAt.d + 16));
      } else if constexpr (F::kSuper) {
        store(floats, load_u8(in + F::kAt.d));
        store(floats + 16, load_u8(in + F::kAt.m));
      } else {
        store(floats, scales(in + F::kAt.d));
        if constexpr (F::kMinimum) store(floats + 16, scales(in + F::kAt.m));
      }
      in += kChunkBytes;
      out += kExpandedBytes;
    }
    if constexpr (F::kSuper) {
      const PackedMatrix& w = *block.matrix;
      const std::int64_t first = w.chunks_before + block.chunk;
      const char* const head = block.w - block.chunk * kChunkBytes - w.head_bytes();
      float* super = room + kExpandedChunks * kExpandedBytes / 4;
      for (std::int64_t s = first / kChunksPerSuperBlock; s * kChunksPerSuperBlock < first + block.chunks; s++) {
        store(super, scales(head + s * packed_super_bytes(F::kFormat)));
        if constexpr (F::kMinimum) store(super + 16, scales(head + s * packed_super_bytes(F::kFormat) + 32));
        super += kExpandedSuperBytes / 4;
      }
    }
    return reinterpret_cast<const char*>(room);
  }

  HERD_SIMD void multiply(const TileBlock& block, int rows, const char* x, const TileSums& sums, std::int64_t, std::int64_t) {
    const std::int64_t in_super = (block.matrix->chunks_before + block.chunk) % kChunksPerSuperBlock;
    block_tile_of<typename Dots::template Form<F>, Dots>(rows)(block.ready, x, block.chunks, sums.data, sums.fresh, in_super);
  }
};

template <class F, class Dots, int R, int P>
HERD_SIMD void stream_block_panels(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  const std::int64_t run = P == 1 ? 0 : (end - begin) / P;
  std::int64_t panels[P];
  for (std::int64_t i = 0; i < run; i++) {
    for (int p = 0; p < P; p++) panels[p] = begin + p * run + i;
    stream_blocks<F, Dots, R, P>(args, panels, scratch);
  }
  for (std::int64_t panel = begin + P * run; panel < end; panel++) stream_blocks<F, Dots, R, 1>(args, &panel, scratch);
}

template <class F, class Dots>
HERD_SIMD void block_panels(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  switch (args.rows) {
    case 1:
      return stream_block_panels<F, Dots, 1, kStreams>(args, begin, end, scratch);
    case 2:
      return stream_block_panels<F, Dots, 2, kStreams / 2>(args, begin, end, scratch);
#if HERD_BLOCK_ROWS >= 4  // x of all rows is one tile
    case 3:
      return stream_block_panels<F, Dots, 3, 1>(args, begin, end, scratch);
    case 4:
      return stream_block_panels<F, Dots, 4, 1>(args, begin, end, scratch);
#endif
    default:
      return tile_panels<BlockTiles<F, Dots>>(args, begin, end, scratch);
  }
}

template <class Dots>
void multiply_blocks(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  switch (args.w->format) {
    case WeightFormat::kQ8_0:
      return block_panels<BlocksQ8, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ4_0:
      return block_panels<BlocksQ40, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ4_1:
      return block_panels<BlocksQ41, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ5_0:
      return block_panels<BlocksQ50, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ5_1:
      return block_panels<BlocksQ51, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ4_K:
      return block_panels<BlocksQ4K, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ5_K:
      return block_panels<BlocksQ5K, Dots>(args, begin, end, scratch);
    case WeightFormat::kQ6_K:
      return block_panels<BlocksQ6K, Dots>(args, begin, end, scratch);
    default:
      return;
  }
}

template <class Dots>
constexpr Product kBlockProduct = {kBlockRows, 1, kBlockXBytes, blocks_pack_x, multiply_blocks<Dots>};

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
