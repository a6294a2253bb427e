// Operations on rows, bound by memory: packing, embedding, norm, partial sums, RoPE, KV writes, SwiGLU. 16 lanes, a
// partial vector at a row's end. Included once per instruction set.

namespace herd {
namespace HERD_ISA {
namespace {

// The first n elements, at most 16, of an activation row, bf16 or f32.
HERD_SIMD V16 load_act(const TensorView& x, std::int64_t at, std::int64_t n) {
  if (n >= 16) return load_act(x, at);
  return x.dtype == DType::kF32 ? load_first(static_cast<const float*>(x.data) + at, n)
                                : load_bf16_first(static_cast<const std::uint16_t*>(x.data) + at, n);
}
HERD_SIMD void store_act(const TensorView& x, std::int64_t at, V16 v, std::int64_t n) {
  if (x.dtype == DType::kF32) {
    float* to = static_cast<float*>(x.data) + at;
    n >= 16 ? store(to, v) : store_first(to, v, n);
  } else {
    auto* to = static_cast<std::uint16_t*>(x.data) + at;
    n >= 16 ? store_bf16(to, v) : store_bf16_first(to, v, n);
  }
}
HERD_SIMD V16 load_f32(const float* p, std::int64_t n) { return n >= 16 ? load(p) : load_first(p, n); }

// ---- weights ----

// 16 elements of one row, in the matrix's format, as dwords of pairs in the lower 8 lanes' memory.
HERD_SIMD void to_pairs(DType dtype, V16 v, std::uint32_t* out) {
  const __m256i halves = narrow(dtype == DType::kBF16 ? bf16_bits(v) : f16_bits(v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), halves);
}

// 16 rows x 16 columns at a time: rows, `stride` dwords apart, become lanes by 4 x 4 transposition.
HERD_SIMD void store_columns(const std::uint32_t* block, std::int64_t stride, std::int64_t columns, std::uint32_t* out) {
  for (std::int64_t c = 0; c < columns; c += 4) {
    I16 four[4];  // four[i]: rows 4 j + i, columns c .. c + 3 in 128-bit lane j
    for (int i = 0; i < 4; i++) {
      alignas(64) std::uint32_t gathered[16];
      for (int j = 0; j < 4; j++) {
        _mm_store_si128(reinterpret_cast<__m128i*>(gathered + 4 * j),
                        _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + (4 * j + i) * stride + c)));
      }
      four[i] = iload(gathered);
    }
    transpose4(four);  // four[i]: column c + i, rows in order
    for (int i = 0; i < 4; i++) istore(out + (c + i) * 16, four[i]);
  }
}

void pack_panels(const PackedMatrix& w, const float* source, std::int64_t first_row, std::int64_t begin,
                 std::int64_t end) {
  const std::int64_t k_padded = w.k_padded();
  const bool wide = w.dtype() == DType::kF32;
  alignas(64) std::uint32_t block[16 * 16];
  for (std::int64_t panel = begin; panel < end; panel++) {
    auto* out =
        reinterpret_cast<std::uint32_t*>(static_cast<char*>(const_cast<void*>(w.data)) +
                                         panel * 16 * k_padded * static_cast<std::int64_t>(dtype_bytes(w.dtype())));
    for (std::int64_t k = 0; k < k_padded; k += 16) {
      const std::int64_t left = k < w.k ? w.k - k : 0;
      for (std::int64_t lane = 0; lane < 16; lane++) {
        const std::int64_t row = panel * 16 + lane;
        V16 v = zero();
        if (row < w.outputs && left > 0) v = load_f32(source + (row - first_row) * w.k + k, left < 16 ? left : 16);
        if (wide) {
          store(reinterpret_cast<float*>(block) + lane * 16, v);
        } else {
          to_pairs(w.dtype(), v, block + lane * 16);
        }
      }
      store_columns(block, 16, wide ? 16 : 8, out + k * (wide ? 16 : 8));
    }
  }
}

// Two neighbours of a row are a pair as they lie.
void pack_pairs(const PackedMatrix& w, const std::uint16_t* source, std::int64_t first_row, std::int64_t begin,
                std::int64_t end) {
  const std::int64_t k_padded = w.k_padded();
  const std::int64_t whole = w.k % 2 == 0 ? w.k / 16 * 16 : 0;  // an odd row would begin amid a pair
  alignas(64) std::uint32_t block[16 * 8];
  for (std::int64_t panel = begin; panel < end; panel++) {
    auto* out = reinterpret_cast<std::uint32_t*>(static_cast<char*>(const_cast<void*>(w.data)) + panel * 16 * k_padded * 2);
    const std::uint16_t* rows = source + (panel * 16 - first_row) * w.k;
    const bool full = panel * 16 + 16 <= w.outputs;
    for (std::int64_t k = 0; k < k_padded; k += 16) {
      if (full && k < whole) {
        store_columns(reinterpret_cast<const std::uint32_t*>(rows + k), w.k / 2, 8, out + k * 8);
        continue;
      }
      for (std::int64_t lane = 0; lane < 16; lane++) {
        for (std::int64_t pair = 0; pair < 8; pair++) {
          const std::int64_t at = k + 2 * pair;
          const bool there = panel * 16 + lane < w.outputs;
          const std::uint32_t even = there && at < w.k ? rows[lane * w.k + at] : 0;
          const std::uint32_t odd = there && at + 1 < w.k ? rows[lane * w.k + at + 1] : 0;
          block[lane * 8 + pair] = even | odd << 16;
        }
      }
      store_columns(block, 8, 8, out + k * 8);
    }
  }
}

// One output's weights lie 64 (f32: 128) bytes apart; tokens are few beside the weights a step reads.
void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out, std::int64_t begin,
           std::int64_t end) {
  const std::int64_t pairs = table.k_padded() / 2;
  for (std::int64_t t = begin; t < end; t++) {
    const std::int64_t panel = ids[t] / 16;
    const std::int64_t lane = ids[t] % 16;
    alignas(64) float values[32];
    for (std::int64_t k = 0; k < table.k; k += 32) {
      if (table.dtype() == DType::kF32) {
        const float* from = static_cast<const float*>(table.data) + (panel * pairs + k / 2) * 32 + lane;
        for (int i = 0; i < 32; i++) values[i] = from[i * 16];
      } else {
        const auto* from = static_cast<const std::uint32_t*>(table.data) + (panel * pairs + k / 2) * 16 + lane;
        alignas(64) std::uint32_t words[16];
        for (int i = 0; i < 16; i++) words[i] = from[i * 16];
        const auto* halves = reinterpret_cast<const std::uint16_t*>(words);
        const bool bf16 = table.dtype() == DType::kBF16;
        store(values, bf16 ? load_bf16(halves) : load_f16(halves));
        store(values + 16, bf16 ? load_bf16(halves + 16) : load_f16(halves + 16));
      }
      const std::int64_t at = t * out.row_stride + k;
      for (std::int64_t i = 0; i < 32 && k + i < table.k; i += 16) {
        store_act(out, at + i, load(values + i), table.k - k - i);
      }
    }
  }
}

// ---- rows ----

void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out, std::int64_t begin,
              std::int64_t end) {
  for (std::int64_t t = begin; t < end; t++) {
    const std::int64_t from = t * x.row_stride;
    const std::int64_t to = t * out.row_stride;
    V16 squares = zero();
    for (std::int64_t i = 0; i < x.cols; i += 16) {  // a lane beyond the row adds fma(0, 0, s) = s, as s is never -0
      const V16 v = load_act(x, from + i, x.cols - i);
      squares = fma(v, v, squares);
    }
    const float mean = tree_sum(squares) / static_cast<float>(x.cols);
    const float inverse = 1.0F / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
    for (std::int64_t i = 0; i < x.cols; i += 16) {
      const V16 v = mul(load_act(x, from + i, x.cols - i), set1(inverse));
      store_act(out, to + i, mul(v, load_f32(weight + i, x.cols - i)), x.cols - i);
    }
  }
}

void add_partials(const TensorView& residual, const PartialSums& partials, std::int64_t begin, std::int64_t end) {
  const auto [of_rank, count, row_stride, bias] = partials;
  for (std::int64_t t = begin; t < end; t++) {
    for (std::int64_t i = 0; i < residual.cols; i += 16) {
      const std::int64_t left = residual.cols - i;
      V16 node[kLeaves];
      bool present[kLeaves];
      for (int rank = 0; rank < count; rank++) {
        present[rank] = of_rank[rank] != nullptr;
        if (present[rank]) node[rank] = load_f32(of_rank[rank] + t * row_stride + i, left);
      }
      for (int width = count; width > 1; width /= 2) {  // neighbours: ((0 + 1) + (2 + 3)) + …
        for (int pair = 0; pair < width / 2; pair++) {
          const int l = 2 * pair;
          const int r = l + 1;
          node[pair] = present[l] && present[r] ? add(node[l], node[r]) : present[l] ? node[l] : node[r];
          present[pair] = present[l] || present[r];
        }
      }
      V16 sum = node[0];
      if (bias != nullptr) sum = add(sum, load_f32(bias + i, left));
      const std::int64_t at = t * residual.row_stride + i;
      store_act(residual, at, add(load_act(residual, at, left), sum), left);
    }
  }
}

void rope(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
          const float* table, std::int64_t begin, std::int64_t end) {
  const std::int64_t half = head_dim / 2;
  for (std::int64_t t = begin; t < end; t++) {
    const float* cosines = table + static_cast<std::int64_t>(positions[t]) * head_dim;
    const float* sines = cosines + half;
    for (std::int64_t head = 0; head < heads; head++) {
      const std::int64_t row = t * x.row_stride + head * head_dim;
      for (std::int64_t i = 0; i < half; i += 16) {
        const std::int64_t left = half - i;
        const V16 c = load_f32(cosines + i, left);
        const V16 s = load_f32(sines + i, left);
        const V16 a = load_act(x, row + i, left);
        const V16 b = load_act(x, row + half + i, left);
        store_act(x, row + i, fma(a, c, neg(mul(b, s))), left);
        store_act(x, row + half + i, fma(b, c, mul(a, s)), left);
      }
    }
  }
}

// K goes to one lane of its tile (stores 64 or 128 bytes apart), V is a row.
void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv, std::int64_t begin,
              std::int64_t end) {
  const KvLayout& layout = kv.layout;
  const std::int64_t dim = layout.head_dim;
  const std::int64_t k_dim = round_up(dim, 32);
  const std::int64_t v_dim = round_up(dim, 16);
  for (std::int64_t t = begin; t < end; t++) {
    char* block = static_cast<char*>(kv.data) + slots[t] / layout.block_size * layout.bytes_per_block();
    const std::int64_t token = slots[t] % layout.block_size;
    for (std::int64_t head = 0; head < layout.kv_heads; head++) {
      const std::int64_t from_k = t * k.row_stride + head * dim;
      const std::int64_t from_v = t * v.row_stride + head * dim;
      const std::int64_t to_k = (head * (layout.block_size / 16) + token / 16) * k_dim * 16;
      const std::int64_t to_v =
          layout.k_elements_per_token() * layout.block_size + (head * layout.block_size + token) * v_dim;
      if (layout.dtype == DType::kF32) {
        const float* in = static_cast<const float*>(k.data) + from_k;
        float* out = reinterpret_cast<float*>(block) + to_k + token % 16;
        for (std::int64_t d = 0; d < k_dim; d++) out[d * 16] = d < dim ? in[d] : 0.0F;
        float* row = reinterpret_cast<float*>(block) + to_v;
        for (std::int64_t d = 0; d < v_dim; d += 16)
          store(row + d, load_f32(static_cast<const float*>(v.data) + from_v + d, dim - d));
      } else {
        const auto* in = static_cast<const std::uint16_t*>(k.data) + from_k;
        auto* out = reinterpret_cast<std::uint32_t*>(block) + to_k / 2 + token % 16;
        for (std::int64_t d = 0; d < k_dim; d += 2) {
          const std::uint32_t even = d < dim ? in[d] : 0;
          const std::uint32_t odd = d + 1 < dim ? in[d + 1] : 0;
          out[d * 8] = even | odd << 16;
        }
        auto* row = reinterpret_cast<std::uint16_t*>(block) + to_v;
        const auto* values = static_cast<const std::uint16_t*>(v.data) + from_v;
        for (std::int64_t d = 0; d < v_dim; d++) row[d] = d < dim ? values[d] : std::uint16_t{0};
      }
    }
  }
}

void silu_mul(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out, std::int64_t begin,
              std::int64_t end, std::int64_t col_begin, std::int64_t col_end) {
  for (std::int64_t t = begin; t < end; t++) {
    const std::int64_t from = t * gate_up.row_stride;
    for (std::int64_t i = col_begin; i < col_end; i += 16) {
      const V16 gate = load_act(gate_up, from + i, col_end - i);
      const V16 up = load_act(gate_up, from + up_offset + i, col_end - i);
      store_act(out, t * out.row_stride + i, mul(silu16(gate), up), col_end - i);
    }
  }
}

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
