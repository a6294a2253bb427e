#pragma once
// The orders of summation of rules 1 to 3, in one place, as plain loops. Only the reference uses it.

#include <cstdint>

#include "kernels/math.h"
#include "kernels/tensor_view.h"

namespace herd::reference {

// Rule 1. Σ a(k) · b(k) over chunks [chunk_begin, chunk_end) of 32: within a chunk the even and the odd elements
// are two chains of fused multiply-adds from +0, the chunk is even + odd, chunks are added in ascending order to an
// accumulator that starts at +0. a(k), b(k) give +0 in the padding: fma(0, 0, -0) is +0, so padding is not skipped.
template <class A, class B>
float canonical_dot(std::int64_t chunk_begin, std::int64_t chunk_end, const A& a, const B& b) {
  float sum = 0.0F;
  for (std::int64_t chunk = chunk_begin; chunk < chunk_end; chunk++) {
    float even = 0.0F;
    float odd = 0.0F;
    for (std::int64_t k = chunk * kChunkK; k < (chunk + 1) * kChunkK; k += 2) {
      even = fma_f32(a(k), b(k), even);
      odd = fma_f32(a(k + 1), b(k + 1), odd);
    }
    sum = sum + (even + odd);
  }
  return sum;
}

// Rule 2. 16 lanes, element i in lane i mod 16, each ascending from +0; then a fixed tree:
// lane[i] += lane[i + 8], then + 4, + 2, + 1.
struct LaneSum {
  float lane[16] = {};

  [[nodiscard]] float total() const {
    float sum[16];
    for (int i = 0; i < 16; i++) sum[i] = lane[i];
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; i++) sum[i] = sum[i] + sum[i + half];
    }
    return sum[0];
  }
};

// Rule 3. Balanced binary tree over nodes [begin, end), a power of two of them: left half + right half. An absent
// node is skipped: its parent takes the value of the other child (x + 0 could change the sign of a zero).
// value(i) is called for present nodes only. False when no node is present.
template <class Present, class Value>
bool tree_sum(int begin, int end, const Present& present, const Value& value, float* sum) {
  if (end - begin == 1) {
    if (!present(begin)) return false;
    *sum = value(begin);
    return true;
  }
  const int middle = (begin + end) / 2;
  float left = 0.0F;
  float right = 0.0F;
  const bool has_left = tree_sum(begin, middle, present, value, &left);
  const bool has_right = tree_sum(middle, end, present, value, &right);
  *sum = has_left && has_right ? left + right : has_left ? left : right;
  return has_left || has_right;
}

// One element of a tensor in memory, as fp32 and back (rounding to nearest even).
inline float load(const void* data, DType dtype, std::int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(data)[index];
    case DType::kBF16:
      return to_float(static_cast<const BFloat16*>(data)[index]);
    case DType::kF16:
      return f16_to_float(static_cast<const std::uint16_t*>(data)[index]);
  }
  return 0.0F;
}

inline void store(void* data, DType dtype, std::int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      static_cast<float*>(data)[index] = value;
      break;
    case DType::kBF16:
      static_cast<BFloat16*>(data)[index] = to_bf16(value);
      break;
    case DType::kF16:
      static_cast<std::uint16_t*>(data)[index] = to_f16_bits(value);
      break;
  }
}

inline float load(const TensorView& x, std::int64_t row, std::int64_t col) {
  return load(x.data, x.dtype, row * x.row_stride + col);
}
inline void store(const TensorView& x, std::int64_t row, std::int64_t col, float value) {
  store(x.data, x.dtype, row * x.row_stride + col, value);
}

// Where element (output, k) of a packed matrix lies, in elements: tensor_view.h draws it.
inline std::int64_t packed_index(const PackedMatrix& w, std::int64_t output, std::int64_t k) {
  const std::int64_t panel = output / kPanelOutputs;
  const std::int64_t lane = output % kPanelOutputs;
  const std::int64_t pair = panel * (w.k_padded() / 2) + k / 2;
  if (w.dtype() == DType::kF32) return (pair * 2 + k % 2) * kPanelOutputs + lane;
  return (pair * kPanelOutputs + lane) * 2 + k % 2;
}

// Where K and V of one token lie in their block, in elements of the layout's dtype from the start of the block.
inline std::int64_t k_index(const KvLayout& layout, std::int64_t head, std::int64_t token, std::int64_t dim) {
  const std::int64_t group = head * (layout.block_size / 16) + token / 16;
  const std::int64_t pair = group * (round_up(layout.head_dim, 32) / 2) + dim / 2;
  if (layout.dtype == DType::kF32) return (pair * 2 + dim % 2) * 16 + token % 16;
  return (pair * 16 + token % 16) * 2 + dim % 2;
}
inline std::int64_t v_index(const KvLayout& layout, std::int64_t head, std::int64_t token, std::int64_t dim) {
  return layout.k_elements_per_token() * layout.block_size +
         (head * layout.block_size + token) * round_up(layout.head_dim, 16) + dim;
}

}  // namespace herd::reference
