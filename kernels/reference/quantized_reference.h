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
// and of q6_k, over the blocks of a super-block that lie in [begin, end), from t = +0
//   t = fma(float(dot of 16), float(sc) ⊗ scale, t), twice a block; at the end acc = fma(d, t, acc).
// block(chunk): the activations of a chunk.
template <class Block>
float quantized_dot(const PackedMatrix& w, std::int64_t output, std::int64_t begin, std::int64_t end, const Block& block) {
  float sum = 0.0F;
  float within = 0.0F;  // t
  for (std::int64_t chunk = begin; chunk < end; chunk++) {
    const UnpackedChunk weights = unpack_chunk(w, output, chunk);
    const QuantizedActivations& x = block(chunk);
    if (w.format != WeightFormat::kQ6_K) {
      sum = fma_f32(static_cast<float>(exact_dot(weights, x, 0, 32)), weights.d * x.scale, sum);
      if (has_minimum(w.format)) sum = fma_f32(weights.m, x.scale * static_cast<float>(x.sum(0, 32)), sum);
      continue;
    }
    for (int group = 0; group < 2; group++) {
      const int dot = exact_dot(weights, x, group * 16, group * 16 + 16);
      within = fma_f32(static_cast<float>(dot), static_cast<float>(weights.sc[group]) * x.scale, within);
    }
    if (chunk + 1 == end || (w.chunks_before + chunk + 1) % kChunksPerSuperBlock == 0) {
      sum = fma_f32(weights.d, within, sum);
      within = 0.0F;
    }
  }
  return sum;
}

}  // namespace herd::reference
