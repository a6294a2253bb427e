// Paged causal attention by rule 4, decode and prefill in one: a tile of virtual rows (query rows x the heads that
// share a KV head) passes over partitions of 512 positions. Included once per instruction set, after matmul-inl.h.
//
//   scores   a K tile of 16 tokens is laid out as a weight panel, lanes are tokens: the tile kernel of matmul
//   softmax  exact maximum over visible keys, exp, P rounded, sum in lanes by position: all 16 at a time
//   P · V    lanes are dims; a chunk of 32 positions has an even and an odd chain, one after the other
//   fold     partitions in ascending order
//
// Each virtual row's bits are its own: rows only share loads. P · V runs for all rows of the tile over the chunks
// that all of them see whole; from there each query row goes on alone, and in the chunk of its last key the rows of V
// behind that key are taken from a row of zeros. Decode (R = heads of a group) is bound by reading K and V once;
// prefill by FMA.

namespace herd {
namespace HERD_ISA {
namespace {

// A tile at work. Virtual row r sees visible[r] positions of the sequence; non-decreasing.
struct AttentionTile {
  const AttentionUnit* unit;
  int rows;
  std::int64_t visible[kTileRowsMax];
  char* q;             // packed
  float* scores;       // [rows][kScoreStride], later P as store_p leaves it
  const float* zeros;  // a row of V
  std::int64_t dim;    // head_dim
  std::int64_t k_dim;  // padded to 32
  std::int64_t v_dim;  // padded to 16
};

// o[r * o_stride + d] += one chunk, `values` being its 32 rows of V, p: [R][kScoreStride].
using ValueKernel = void (*)(const char* const* values, const float* p, float* o, std::int64_t o_stride,
                             std::int64_t v_dim, bool fresh);
template <class Kv>
ValueKernel value_kernel(int rows);

// How K and V are stored, and how q and P are laid out for the kernels that multiply with them.
template <class W>
struct KvFma {
  // Row r of packed q: [k_dim][rows] floats; padding of k_dim is +0.
  HERD_SIMD void pack_query(const TensorView& q, std::int64_t at, const AttentionTile& tile, int r) {
    float* packed = reinterpret_cast<float*>(tile.q) + r;
    for (std::int64_t d = 0; d < tile.k_dim; d++) packed[d * tile.rows] = d < tile.dim ? load1(q, at + d) : 0.0F;
  }
  HERD_SIMD void store_p(float* at, V16 p) { store(at, p); }
  HERD_SIMD TileKernel key_kernel(int rows) { return tile_kernel<W>(rows); }
};
struct KvBf16 : KvFma<WeightsBf16> {
  static constexpr std::int64_t kBytes = 2;
  static constexpr bool kRoundP = true;
  HERD_SIMD V16 load_values(const char* p) { return load_bf16(reinterpret_cast<const std::uint16_t*>(p)); }
  HERD_SIMD ValueKernel values_kernel(int rows) { return value_kernel<KvBf16>(rows); }
};
struct KvF32 : KvFma<WeightsF32> {
  static constexpr std::int64_t kBytes = 4;
  static constexpr bool kRoundP = false;
  HERD_SIMD V16 load_values(const char* p) { return load(reinterpret_cast<const float*>(p)); }
  HERD_SIMD ValueKernel values_kernel(int rows) { return value_kernel<KvF32>(rows); }
};

template <class Kv>
HERD_SIMD const char* key_tile(const AttentionTile& tile, std::int64_t position) {
  const KvLayout& layout = tile.unit->kv->layout;
  const std::int64_t block = tile.unit->block_table[position / layout.block_size];
  const std::int64_t at =
      (tile.unit->kv_head * (layout.block_size / 16) + position % layout.block_size / 16) * tile.k_dim * 16;
  return static_cast<const char*>(tile.unit->kv->data) + block * layout.bytes_per_block() + at * Kv::kBytes;
}
template <class Kv>
HERD_SIMD const char* value_row(const AttentionTile& tile, std::int64_t position) {
  const KvLayout& layout = tile.unit->kv->layout;
  const std::int64_t block = tile.unit->block_table[position / layout.block_size];
  const std::int64_t at = layout.k_elements_per_token() * layout.block_size +
                          (tile.unit->kv_head * layout.block_size + position % layout.block_size) * tile.v_dim;
  return static_cast<const char*>(tile.unit->kv->data) + block * layout.bytes_per_block() + at * Kv::kBytes;
}

// Few rows wait for memory, and the blocks of a sequence lie anywhere: no hardware prefetcher follows them. So the
// scores of a tile ask for the V of the same tokens; many rows find both in L2, where the tiles before left them.
// Asking for the keys of the next partition during P · V gains nothing: runs of 2 to 8 KiB read at 13 to 14 GB/s on
// Zen 4, however early they are asked for (a core's 24 misses in flight).
constexpr int kPrefetchRows = 8;
constexpr std::int64_t kFirstKeysAhead = 3;  // tiles, in the first partition, which nothing ran before

HERD_SIMD void prefetch(const char* p, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64) _mm_prefetch(p + i, _MM_HINT_T0);
}

// Dot products of all rows with positions [base, base + seen), whole key tiles of 16.
template <class Kv>
HERD_SIMD void score_keys(const AttentionTile& tile, std::int64_t base, std::int64_t seen) {
  const std::int64_t tiles = (seen + 15) / 16;
  const std::int64_t chunks = tile.k_dim / kChunkK;
  const TileKernel kernel = Kv::key_kernel(tile.rows);
  const bool ahead = tile.rows <= kPrefetchRows;
  for (std::int64_t t = 0; t < tiles; t++) {
    const std::int64_t position = base + t * 16;
    const char* keys = key_tile<Kv>(tile, position);
    if (ahead && base == 0 && t + kFirstKeysAhead < tiles) {
      prefetch(key_tile<Kv>(tile, position + 16 * kFirstKeysAhead), tile.k_dim * 16 * Kv::kBytes);
    }
    kernel(keys, tile.q, chunks, tile.scores + t * 16, kScoreStride, true,
           ahead ? value_row<Kv>(tile, position) : keys);
  }
}

// Scores of one row become P; +0 from `seen` to the end of its chunk.
template <class Kv>
HERD_SIMD void softmax(float* scores, std::int64_t seen, float scale, float* max_out, float* sum_out) {
  const std::int64_t whole = seen / 16 * 16;
  const M16 visible = ilt(ilanes(), iset1(static_cast<std::int32_t>(seen - whole)));
  V16 highest = set1(-math::kInf);
  for (std::int64_t i = 0; i < whole; i += 16) {
    const V16 score = mul(load(scores + i), set1(scale));
    store(scores + i, score);
    highest = max(highest, score);
  }
  if (whole < seen) {
    const V16 score = mul(load(scores + whole), set1(scale));
    store(scores + whole, score);
    highest = max(highest, select(visible, score, set1(-math::kInf)));
  }
  const float max = max_lane(highest);
  V16 sum = zero();
  const std::int64_t end = round_up(seen, kChunkK);
  for (std::int64_t i = 0; i < end; i += 16) {
    if (i >= seen) {
      store(scores + i, zero());
      break;
    }
    V16 p = exp16(sub(load(scores + i), set1(max)));
    if constexpr (Kv::kRoundP) p = as_float(shl<16>(bf16_bits(p)));
    if (i == whole) p = select(visible, p, zero());
    sum = add(sum, p);  // a lane never is -0: adding +0 for what is not visible changes nothing
    Kv::store_p(scores + i, p);
  }
  *max_out = max;
  *sum_out = tree_sum(sum);
}

template <int R, class Kv>
void value_chunk(const char* const* values, const float* p, float* o, std::int64_t o_stride, std::int64_t v_dim,
                 bool fresh) {
  alignas(64) float evens[R * 16];
  for (std::int64_t d = 0; d < v_dim; d += 16) {
    V16 sum[R];
#pragma GCC unroll 2
    for (int parity = 0; parity < 2; parity++) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) sum[r] = zero();
#pragma GCC unroll 2
      for (int k = parity; k < kChunkK; k += 2) {
        const V16 value = Kv::load_values(values[k] + d * Kv::kBytes);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) sum[r] = fma(set1(p[r * kScoreStride + k]), value, sum[r]);
      }
      if (parity == 0) {
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) store(evens + r * 16, sum[r]);
        asm volatile("" ::: "memory");  // see tile()
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      float* at = o + r * o_stride + d;
      store(at, add(fresh ? zero() : load(at), add(load(evens + r * 16), sum[r])));
    }
  }
}

template <class Kv>
ValueKernel value_kernel(int rows) {
  static const ValueKernel kernels[kTileRows + 1] = {
    nullptr,
    value_chunk<1, Kv>,
    value_chunk<2, Kv>,
    value_chunk<3, Kv>,
    value_chunk<4, Kv>,
    value_chunk<5, Kv>,
    value_chunk<6, Kv>,
#if HERD_TILE_ROWS == 12
    value_chunk<7, Kv>,
    value_chunk<8, Kv>,
    value_chunk<9, Kv>,
    value_chunk<10, Kv>,
    value_chunk<11, Kv>,
    value_chunk<12, Kv>
#endif
  };
  return kernels[rows];
}

// Chunks [from, to) for `rows` rows that all see `seen` positions from `base` (or all of these chunks).
template <class Kv>
HERD_SIMD void weigh_values(const AttentionTile& tile, int first, int rows, std::int64_t base, std::int64_t seen,
                            std::int64_t from, std::int64_t to, float* partials, std::int64_t stride) {
  const ValueKernel kernel = Kv::values_kernel(rows);
  const std::int64_t row_bytes = tile.v_dim * Kv::kBytes;
  for (std::int64_t chunk = from; chunk < to; chunk++) {
    const char* values[kChunkK];
    for (std::int64_t i = 0; i < kChunkK; i += 16) {  // 16 tokens lie in one block
      const std::int64_t at = chunk * kChunkK + i;
      const char* row = at < seen ? value_row<Kv>(tile, base + at) : nullptr;
      for (std::int64_t j = 0; j < 16; j++) {
        values[i + j] = at + j < seen ? row + j * row_bytes : reinterpret_cast<const char*>(tile.zeros);
      }
    }
    kernel(values, tile.scores + first * kScoreStride + chunk * kChunkK, partials + first * stride + kPartialValues,
           stride, tile.v_dim, chunk == 0);
  }
}

// One partition: partials of the rows that see some of it, at partials + r * stride. Returns the first such row.
template <class Kv>
int attend(const AttentionTile& tile, std::int64_t partition, float* partials, std::int64_t stride) {
  const std::int64_t base = partition * kPartition;
  std::int64_t seen[kTileRowsMax];
  int first = 0;
  for (int r = 0; r < tile.rows; r++) {
    const std::int64_t left = tile.visible[r] - base;
    seen[r] = left < kPartition ? left : kPartition;
    if (left <= 0) first = r + 1;
  }
  if (first == tile.rows) return first;
  score_keys<Kv>(tile, base, seen[tile.rows - 1]);
  for (int r = first; r < tile.rows; r++) {
    float* partial = partials + r * stride;
    softmax<Kv>(tile.scores + r * kScoreStride, seen[r], tile.unit->scale, &partial[0], &partial[1]);
  }
  const std::int64_t common = seen[first] / kChunkK;
  if (common > 0) weigh_values<Kv>(tile, first, tile.rows - first, base, kPartition, 0, common, partials, stride);
  for (int r = first; r < tile.rows;) {  // heads of one query row see the same
    int end = r + 1;
    while (end < tile.rows && seen[end] == seen[r]) end++;
    const std::int64_t chunks = (seen[r] + kChunkK - 1) / kChunkK;
    if (chunks > common) weigh_values<Kv>(tile, r, end - r, base, seen[r], common, chunks, partials, stride);
    r = end;
  }
  return first;
}

HERD_SIMD void fold(float* total, const float* partial, std::int64_t v_dim) {
  const float max = partial[0] > total[0] ? partial[0] : total[0];
  const float keep = exp_f32(total[0] - max);
  const float take = exp_f32(partial[0] - max);
  for (std::int64_t d = kPartialValues; d < kPartialValues + v_dim; d += 16) {
    store(total + d, fma(load(total + d), set1(keep), mul(load(partial + d), set1(take))));
  }
  total[1] = fma_f32(total[1], keep, partial[1] * take);
  total[0] = max;
}

HERD_SIMD void store_row(const AttentionUnit& unit, std::int64_t v, const float* total) {
  const std::int64_t dim = unit.kv->layout.head_dim;
  const std::int64_t at = (unit.first_row + v / unit.group) * unit.out->row_stride + unit.heads[v % unit.group] * dim;
  for (std::int64_t d = 0; d < dim; d += 16) {
    store_act(*unit.out, at + d, div(load(total + kPartialValues + d), set1(total[1])), dim - d);
  }
}

// Lays out the scratch and packs q. Returns what is left of the scratch.
template <class Kv>
HERD_SIMD float* begin_tile(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* scratch,
                            AttentionTile* tile) {
  tile->unit = &unit;
  tile->rows = static_cast<int>(end - begin);
  tile->dim = unit.kv->layout.head_dim;
  tile->k_dim = round_up(tile->dim, 32);
  tile->v_dim = round_up(tile->dim, 16);
  tile->scores = scratch;
  scratch += kTileRowsMax * kScoreStride;
  tile->zeros = scratch;
  for (std::int64_t d = 0; d < tile->v_dim; d++) scratch[d] = 0.0F;
  scratch += tile->k_dim;
  tile->q = reinterpret_cast<char*>(scratch);
  for (int r = 0; r < tile->rows; r++) {
    const std::int64_t v = begin + r;
    const std::int64_t row = v / unit.group;
    tile->visible[r] = unit.first_position + row + 1;
    const std::int64_t at = (unit.first_row + row) * unit.q->row_stride + unit.heads[v % unit.group] * tile->dim;
    Kv::pack_query(*unit.q, at, *tile, r);
  }
  return scratch + kTileRowsMax * tile->k_dim;
}

template <class Kv>
HERD_SIMD void attention_all(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* scratch) {
  AttentionTile tile = {};
  float* totals = begin_tile<Kv>(unit, begin, end, scratch, &tile);
  const std::int64_t stride = partial_floats(tile.dim);
  float* partials = totals + kTileRowsMax * stride;
  attend<Kv>(tile, 0, totals, stride);  // every row sees position 0
  for (std::int64_t p = 1; p * kPartition < tile.visible[tile.rows - 1]; p++) {
    for (int r = attend<Kv>(tile, p, partials, stride); r < tile.rows; r++) {
      fold(totals + r * stride, partials + r * stride, tile.v_dim);
    }
  }
  for (int r = 0; r < tile.rows; r++) store_row(unit, begin + r, totals + r * stride);
}

void attention(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* scratch) {
  if (unit.kv->layout.dtype == DType::kF32) {
    attention_all<KvF32>(unit, begin, end, scratch);
  } else {
    attention_all<KvBf16>(unit, begin, end, scratch);
  }
}

template <class Kv>
HERD_SIMD void attention_one(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, std::int64_t partition,
                             float* scratch, float* partials, std::int64_t stride) {
  AttentionTile tile = {};
  begin_tile<Kv>(unit, begin, end, scratch, &tile);
  attend<Kv>(tile, partition, partials, stride);
}

void attention_partition(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, std::int64_t partition,
                         float* scratch, float* partials, std::int64_t stride) {
  if (unit.kv->layout.dtype == DType::kF32) {
    attention_one<KvF32>(unit, begin, end, partition, scratch, partials, stride);
  } else {
    attention_one<KvBf16>(unit, begin, end, partition, scratch, partials, stride);
  }
}

void attention_fold(const AttentionUnit& unit, std::int64_t begin, std::int64_t end, float* partials,
                    std::int64_t stride) {
  const std::int64_t size = partial_floats(unit.kv->layout.head_dim);
  for (std::int64_t v = begin; v < end; v++) {
    const std::int64_t visible = unit.first_position + v / unit.group + 1;
    float* total = partials + (v - begin) * stride;
    for (std::int64_t p = 1; p * kPartition < visible; p++) fold(total, total + p * size, size - kPartialValues);
    store_row(unit, v, total);
  }
}

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
