#pragma once
// Rule 9, in plain loops: activations as int8 with a scale of their block of 32, exact integer dot products, the order in which
// scales enter. Only the reference uses it.

#include <cstdint>

#include "kernels/math.h"
#include "kernels/packed_blocks.h"

namespace herd::reference {

// 32 activations: x ≈ scale·q.
struct QuantizedActivations {
  float scale = 0.0F;
  int q[32] = {};

  // Σ q over [begin, end)
  [[nodiscard]] int sum(int begin, int end) const {
    int total = 0;
    for (int i = begin; i < end; i++) total += q[i];
    return total;
  }
};

// scale = absmax / 127, q = x · (127 / absmax) rounded to nearest even, at most 127 either way. A block below 2^-100 is zeros with
// scale +0; one that holds an infinity or a NaN is zeros with scale NaN.
inline QuantizedActivations quantize_activations(const float* x) {
  QuantizedActivations block;
  std::uint32_t largest = 0;  // of the magnitudes' bits, which are ordered like the magnitudes
  for (int i = 0; i < 32; i++) {
    const std::uint32_t magnitude = __builtin_bit_cast(std::uint32_t, x[i]) & 0x7fffffffU;
    largest = magnitude > largest ? magnitude : largest;
  }
  if (largest >= 0x7f800000U) {
    block.scale = math::kNan;
    return block;
  }
  const auto absmax = __builtin_bit_cast(float, largest);
  if (absmax < 0x1p-100F) return block;
  block.scale = absmax / 127.0F;
  const float inverse = 127.0F / absmax;
  for (int i = 0; i < 32; i++) {
    const int rounded = static_cast<int>(__builtin_nearbyintf(x[i] * inverse));
    block.q[i] = rounded > 127 ? 127 : rounded < -127 ? -127 : rounded;
  }
  return block;
}

// The second part of x: what the first one leaves over, x − scale·q in one rounding, quantised alike.
inline QuantizedActivations quantize_rest(const float* x, const QuantizedActivations& first) {
  float rest[32];
  for (int i = 0; i < 32; i++) rest[i] = fma_f32(-first.scale, static_cast<float>(first.q[i]), x[i]);
  return quantize_activations(rest);
}

inline int exact_dot(const UnpackedChunk& w, const QuantizedActivations& x, int begin, int end) {
  int dot = 0;
  for (int i = begin; i < end; i++) dot += w.q[i] * x.q[i];
  return dot;
}

// Σ over chunks [begin, end) of one output of w, from +0, in ascending order. Of each block
//   acc = fma(float(dot), d ⊗ scale, acc); with a minimum then acc = fma(m, scale ⊗ float(Σq), acc)   (⊗: one rounded product)
// and of a format with super-blocks, over the blocks of one that lie in [begin, end), from t = u = +0
//   t = fma(float(dot), float(sc) ⊗ scale, t), of q6_k twice a block, its dots being of 16; u = fma(float(mc), scale ⊗ float(Σq), u);
//   at the end acc = fma(d, t, acc); with a minimum then acc = fma(m, u, acc), m = −dmin.
// block(chunk): the activations of a chunk.
template <class Block>
float quantized_dot(const PackedMatrix& w, std::int64_t output, std::int64_t begin, std::int64_t end, const Block& block) {
  const bool minimum = has_minimum(w.format);
  const int groups = w.format == WeightFormat::kQ6_K ? 2 : 1;
  float sum = 0.0F;
  float within = 0.0F;  // t
  float taken = 0.0F;   // u
  for (std::int64_t chunk = begin; chunk < end; chunk++) {
    const UnpackedChunk weights = unpack_chunk(w, output, chunk);
    const QuantizedActivations& x = block(chunk);
    const float scaled_sum = x.scale * static_cast<float>(x.sum(0, 32));
    if (!has_super_blocks(w.format)) {
      sum = fma_f32(static_cast<float>(exact_dot(weights, x, 0, 32)), weights.d * x.scale, sum);
      if (minimum) sum = fma_f32(weights.m, scaled_sum, sum);
      continue;
    }
    for (int group = 0; group < groups; group++) {
      const int dot = exact_dot(weights, x, group * 16, groups == 2 ? group * 16 + 16 : 32);
      within = fma_f32(static_cast<float>(dot), static_cast<float>(weights.sc[group]) * x.scale, within);
    }
    if (minimum) taken = fma_f32(static_cast<float>(weights.mc), scaled_sum, taken);
    if (chunk + 1 == end || (w.chunks_before + chunk + 1) % kChunksPerSuperBlock == 0) {
      sum = fma_f32(weights.d, within, sum);
      if (minimum) sum = fma_f32(weights.m, taken, sum);
      within = taken = 0.0F;
    }
  }
  return sum;
}

}  // namespace herd::reference
