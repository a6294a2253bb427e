#include "kernels/reference/ops_reference.h"

#include <vector>

#include "kernels/check.h"
#include "kernels/philox.h"
#include "kernels/reference/attention_reference.h"
#include "kernels/reference/quantized_reference.h"
#include "kernels/reference/reference_math.h"

namespace herd {
namespace {

using reference::LaneSum;
using reference::load;
using reference::packed_index;
using reference::store;

constexpr float kNegativeInf = -math::kInf;

// The better of two candidates comes first: higher score, then lower id. +0 and -0 are equal.
bool better(float score, float than) { return score > than; }

bool any_nan(const float* values, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; i++) {
    if (values[i] != values[i]) return true;
  }
  return false;
}

constexpr Candidate kNobody{kNegativeInf, kNegativeInf, -1};
constexpr Candidate kNotANumber{math::kNan, math::kNan, -1};

class ReferenceOps final : public Ops {
 public:
  const char* name() const override { return "reference"; }

  void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) override {
    void* data = const_cast<void*>(w.data);
    const std::int64_t end = row + rows == w.outputs ? w.outputs_padded() : row + rows;
    for (std::int64_t n = row; n < end; n++) {
      for (std::int64_t k = 0; k < w.k_padded(); k++) {
        const bool padding = n >= w.outputs || k >= w.k;
        store(data, w.dtype(), packed_index(w, n, k), padding ? 0.0F : source[(n - row) * w.k + k]);
      }
    }
  }

  void pack_blocks(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const std::byte* source) override {
    pack_block_panels(w, source, row, row / kPanelOutputs, (row + rows + kPanelOutputs - 1) / kPanelOutputs);
  }

  bool takes_blocks() const override { return true; }

  void embed(const PackedMatrix& table, const std::int32_t* ids, const TensorView& out) override {
    std::vector<float> row(is_quantized(table.format) ? static_cast<std::size_t>(table.k_padded()) : 0);
    for (std::int64_t t = 0; t < out.rows; t++) {
      if (is_quantized(table.format)) {
        unpack_row(table, ids[t], row.data());
        for (std::int64_t k = 0; k < out.cols; k++) store(out, t, k, row[static_cast<std::size_t>(k)]);
        continue;
      }
      for (std::int64_t k = 0; k < out.cols; k++) {
        store(out, t, k, load(table.data, table.dtype(), packed_index(table, ids[t], k)));
      }
    }
  }

  // mean = Σ x² / hidden with Σ in rule 2's lanes (lane = fma(x, x, lane)); inv = 1 / sqrt(mean + eps);
  // out = round((x · inv) · weight).
  void rms_norm(const TensorView& x, const float* weight, float eps, const TensorView& out) override {
    for (std::int64_t t = 0; t < x.rows; t++) {
      LaneSum squares;
      for (std::int64_t i = 0; i < x.cols; i++) {
        squares.lane[i % 16] = fma_f32(load(x, t, i), load(x, t, i), squares.lane[i % 16]);
      }
      const float mean = squares.total() / static_cast<float>(x.cols);
      const float inverse = 1.0F / __builtin_sqrtf(mean + eps);
      for (std::int64_t i = 0; i < x.cols; i++) store(out, t, i, (load(x, t, i) * inverse) * weight[i]);
    }
  }

  void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) override {
    is_quantized(w.format) ? multiply_blocks(x, w, bias, out) : multiply_numbers(x, w, bias, out);
  }

  // residual = round(residual + (tree + bias)); without a bias residual + tree.
  void add_partials(const TensorView& residual, const PartialSums& partials) override {
    for (std::int64_t t = 0; t < residual.rows; t++) {
      for (std::int64_t i = 0; i < residual.cols; i++) {
        const auto present = [&](int rank) { return partials.of_rank[rank] != nullptr; };
        const auto value = [&](int rank) { return partials.of_rank[rank][t * partials.row_stride + i]; };
        float sum = 0.0F;
        reference::tree_sum(0, partials.count, present, value, &sum);
        if (partials.bias != nullptr) sum = sum + partials.bias[i];
        store(residual, t, i, load(residual, t, i) + sum);
      }
    }
  }

  void rope(const TensorView& x, std::int32_t heads, std::int32_t head_dim, const std::int32_t* positions,
            const float* table) override {
    const std::int32_t half = head_dim / 2;
    for (std::int64_t t = 0; t < x.rows; t++) {
      const float* cosines = table + static_cast<std::int64_t>(positions[t]) * head_dim;
      const float* sines = cosines + half;
      for (std::int32_t head = 0; head < heads; head++) {
        for (std::int32_t i = 0; i < half; i++) {
          const std::int64_t at = static_cast<std::int64_t>(head) * head_dim + i;
          const float a = load(x, t, at);
          const float b = load(x, t, at + half);
          store(x, t, at, fma_f32(a, cosines[i], -(b * sines[i])));
          store(x, t, at + half, fma_f32(b, cosines[i], a * sines[i]));
        }
      }
    }
  }

  // Padding dims (head_dim to its round_up) of the written token become +0.
  void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) override {
    const KvLayout& layout = kv.layout;
    for (std::int64_t t = 0; t < k.rows; t++) {
      char* block = static_cast<char*>(kv.data) + slots[t] / layout.block_size * layout.bytes_per_block();
      const std::int64_t token = slots[t] % layout.block_size;
      for (std::int32_t head = 0; head < layout.kv_heads; head++) {
        const std::int64_t at = static_cast<std::int64_t>(head) * layout.head_dim;
        for (std::int64_t d = 0; d < round_up(layout.head_dim, 32); d++) {
          const float value = d < layout.head_dim ? load(k, t, at + d) : 0.0F;
          store(block, layout.dtype, reference::k_index(layout, head, token, d), value);
        }
        for (std::int64_t d = 0; d < round_up(layout.head_dim, 16); d++) {
          const float value = d < layout.head_dim ? load(v, t, at + d) : 0.0F;
          store(block, layout.dtype, reference::v_index(layout, head, token, d), value);
        }
      }
    }
  }

  void attention(const TensorView& q, const KvView& kv, const AttentionBatch& batch, const TensorView& out) override {
    reference::attention(q, kv, batch, out);
  }

  void silu_mul(const TensorView& gate_up, std::int64_t up_offset, const TensorView& out) override {
    for (std::int64_t t = 0; t < out.rows; t++) {
      for (std::int64_t i = 0; i < out.cols; i++) {
        store(out, t, i, silu_f32(load(gate_up, t, i)) * load(gate_up, t, up_offset + i));
      }
    }
  }

  void gather_rows(const TensorView& x, const std::int32_t* rows, const TensorView& out) override {
    for (std::int64_t i = 0; i < out.rows; i++) {
      for (std::int64_t c = 0; c < out.cols; c++) store(out, i, c, load(x, rows[i], c));
    }
  }

  void leaf_max_sum(const TensorView& logits, std::int64_t begin, std::int64_t end, MaxSum* out) override {
    for (std::int64_t row = 0; row < logits.rows; row++) {
      const float* values = static_cast<const float*>(logits.data) + row * logits.row_stride;
      out[row] = row_max_sum(values, begin, end);
    }
  }

  void draw(const float* logits, std::int64_t cols, std::int32_t id_base, float temperature, float floor,
            const DrawKey& key, Candidate* out) override {
    *out = kNobody;
    if (any_nan(logits, 0, cols)) {
      *out = kNotANumber;
      return;
    }
    for (std::int64_t c = 0; c < cols; c++) {
      const auto id = static_cast<std::int32_t>(id_base + c);
      float score = logits[c];
      if (temperature > 0.0F) {
        const float scaled = logits[c] / temperature;
        if (scaled == kNegativeInf || !(scaled >= floor)) continue;
        score = scaled + gumbel_of(draw_word(key.seed, key.choice, key.output_index, key.purpose,
                                             static_cast<std::uint32_t>(id)));
      }
      if (better(score, out->score)) *out = Candidate{score, logits[c], id};
    }
  }

  void top_k(const float* logits, std::int64_t cols, std::int32_t id_base, std::int32_t k, Candidate* out) override {
    const bool nan = any_nan(logits, 0, cols);
    for (std::int32_t i = 0; i < k; i++) out[i] = nan ? kNotANumber : kNobody;
    if (nan) return;
    for (std::int64_t c = 0; c < cols; c++) {  // insertion: later columns go behind equal ones
      if (!better(logits[c], out[k - 1].score)) continue;
      std::int32_t at = k - 1;
      for (; at > 0 && better(logits[c], out[at - 1].score); at--) out[at] = out[at - 1];
      out[at] = Candidate{logits[c], logits[c], static_cast<std::int32_t>(id_base + c)};
    }
  }

  void logit_range(const TensorView& logits, LogitRange* out) override {
    for (std::int64_t row = 0; row < logits.rows; row++) {
      const float* values = static_cast<const float*>(logits.data) + row * logits.row_stride;
      out[row] = LogitRange{kNegativeInf, math::kInf};
      for (std::int64_t c = 0; c < logits.cols; c++) {
        if (values[c] > out[row].max) out[row].max = values[c] + 0.0F;
        if (values[c] > kNegativeInf && values[c] < out[row].min) out[row].min = values[c] + 0.0F;
      }
      if (any_nan(values, 0, logits.cols)) out[row] = LogitRange{math::kNan, math::kNan};
    }
  }

  void weigh(const float* logits, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins) override {
    for (std::int32_t bin = 0; bin < kNucleusBins; bin++) bins[bin] = NucleusBin{0, 0};
    for (std::int64_t c = 0; c < cols; c++) {
      const float t = logits[c] / scale.temperature;
      if (!(t >= scale.floor)) continue;
      NucleusBin& bin = bins[nucleus_bin(t, scale)];
      bin.weight += nucleus_weight(t, scale.max);
      bin.columns++;
    }
  }

  void select(const float* logits, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
              std::int32_t* columns, float* values) override {
    for (std::int64_t c = 0; c < cols; c++) {
      const float t = logits[c] / scale.temperature;
      if (!(t >= scale.floor) || nucleus_bin(t, scale) < first || nucleus_bin(t, scale) > last) continue;
      *columns++ = static_cast<std::int32_t>(c);
      *values++ = logits[c];
    }
  }

 private:
  static MaxSum row_max_sum(const float* values, std::int64_t begin, std::int64_t end) {
    if (any_nan(values, begin, end)) return {math::kNan, math::kNan};
    float max = kNegativeInf;
    for (std::int64_t c = begin; c < end; c++) max = values[c] > max ? values[c] : max;
    if (max == kNegativeInf) return {kNegativeInf, 0.0F};
    max = max + 0.0F;  // -0 becomes +0, so that the order of comparisons does not show
    LaneSum sum;
    for (std::int64_t c = begin; c < end; c++) sum.lane[c % 16] = sum.lane[c % 16] + exp_f32(values[c] - max);
    return {max, sum.total()};
  }

  // out[t, n] = leaves of w added by rule 3's tree, + bias. leaf_sum(t, n, chunk_begin, chunk_end): what one of them is.
  template <class LeafSum>
  static void add_leaves(std::int64_t n, const PackedMatrix& w, const float* bias, const TensorView& out, const LeafSum& leaf_sum) {
    for (std::int64_t t = 0; t < out.rows; t++) {
      const auto present = [&](int leaf) { return w.leaf_chunk[leaf] < w.leaf_chunk[leaf + 1]; };
      const auto leaf_value = [&](int leaf) { return leaf_sum(t, w.leaf_chunk[leaf], w.leaf_chunk[leaf + 1]); };
      float sum = 0.0F;
      reference::tree_sum(0, w.leaf_count, present, leaf_value, &sum);
      store(out, t, n, bias == nullptr ? sum : sum + bias[n]);
    }
  }

  // x as fp32, k padded with +0: [rows, k_padded].
  static std::vector<float> padded_rows(const TensorView& x, std::size_t k_padded) {
    std::vector<float> rows(static_cast<std::size_t>(x.rows) * k_padded, 0.0F);
    for (std::int64_t t = 0; t < x.rows; t++) {
      for (std::int64_t k = 0; k < x.cols; k++) rows[static_cast<std::size_t>(t) * k_padded + static_cast<std::size_t>(k)] = load(x, t, k);
    }
    return rows;
  }

  static void multiply_numbers(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) {
    const auto k_padded = static_cast<std::size_t>(w.k_padded());
    const std::vector<float> x_rows = padded_rows(x, k_padded);
    std::vector<float> w_row(k_padded);
    for (std::int64_t n = 0; n < w.outputs; n++) {
      for (std::size_t k = 0; k < k_padded; k++) w_row[k] = load(w.data, w.dtype(), packed_index(w, n, static_cast<std::int64_t>(k)));
      add_leaves(n, w, bias, out, [&](std::int64_t t, std::int64_t begin, std::int64_t end) {
        const float* const x_row = x_rows.data() + static_cast<std::size_t>(t) * k_padded;
        return reference::canonical_dot(
            begin, end, [&](std::int64_t k) { return x_row[k]; }, [&](std::int64_t k) { return w_row[static_cast<std::size_t>(k)]; });
      });
    }
  }

  static void multiply_blocks(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) {
    const std::int64_t chunks = w.chunks();
    const std::vector<float> x_rows = padded_rows(x, static_cast<std::size_t>(w.k_padded()));
    HERD_CHECK(w.x_parts == 1 || w.leaf_count == 1, "x is taken in parts by a matrix that is whole along k");
    std::vector<reference::QuantizedActivations> parts[2];  // of x
    for (std::int64_t i = 0; i < x.rows * chunks; i++) {
      const float* const values = x_rows.data() + i * kChunkK;
      parts[0].push_back(reference::quantize_activations(values));
      if (w.x_parts == 2) parts[1].push_back(reference::quantize_rest(values, parts[0].back()));
    }
    for (std::int64_t n = 0; n < w.outputs; n++) {
      add_leaves(n, w, bias, out, [&](std::int64_t t, std::int64_t begin, std::int64_t end) {
        const auto sum_of = [&](const std::vector<reference::QuantizedActivations>& part) {
          return reference::quantized_dot(w, n, begin, end, [&](std::int64_t chunk) -> const reference::QuantizedActivations& {
            return part[static_cast<std::size_t>(t * chunks + chunk)];
          });
        };
        return w.x_parts == 2 ? sum_of(parts[0]) + sum_of(parts[1]) : sum_of(parts[0]);
      });
    }
  }
};

}  // namespace

std::unique_ptr<Ops> make_reference_ops() { return std::make_unique<ReferenceOps>(); }

}  // namespace herd
