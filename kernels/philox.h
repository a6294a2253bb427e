#pragma once
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") and the Gumbel
// noise of rule 6 (docs/numerics.md). Counter based: no state, any word of any draw on its own.

#include <cstdint>

#include "kernels/inline.h"
#include "kernels/math.h"

namespace herd {

struct PhiloxBlock {
  std::uint32_t word[4];
};

inline constexpr std::uint32_t kPhiloxM0 = 0xd2511f53U;
inline constexpr std::uint32_t kPhiloxM1 = 0xcd9e8d57U;
inline constexpr std::uint32_t kPhiloxW0 = 0x9e3779b9U;
inline constexpr std::uint32_t kPhiloxW1 = 0xbb67ae85U;
inline constexpr int kPhiloxRounds = 10;

HERD_INLINE PhiloxBlock philox4x32(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1) {
  PhiloxBlock c = counter;
  for (int round = 0; round < kPhiloxRounds; round++) {
    const std::uint64_t p0 = std::uint64_t{kPhiloxM0} * c.word[0];
    const std::uint64_t p1 = std::uint64_t{kPhiloxM1} * c.word[2];
    c = PhiloxBlock{{static_cast<std::uint32_t>(p1 >> 32) ^ c.word[1] ^ key0, static_cast<std::uint32_t>(p1),
                     static_cast<std::uint32_t>(p0 >> 32) ^ c.word[3] ^ key1, static_cast<std::uint32_t>(p0)}};
    key0 += kPhiloxW0;
    key1 += kPhiloxW1;
  }
  return c;
}

// Word of token `id` in one draw: counter = (choice, output_index, purpose, id >> 2), word = id & 3,
// key = (low half of seed, high half).
HERD_INLINE std::uint32_t draw_word(std::uint64_t seed, std::uint32_t choice, std::uint32_t output_index,
                                    std::uint32_t purpose, std::uint32_t id) {
  const PhiloxBlock block = philox4x32(PhiloxBlock{{choice, output_index, purpose, id >> 2}},
                                       static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  return block.word[id & 3U];
}

// u = (x + ½) · 2^-32 in [2^-33, 1 - 2^-24]. float(x) is the nearest fp32 (SIMD without an unsigned conversion:
// fma(float(x >> 16), 65536, float(x & 0xffff))). The bound matters: fp32 rounds the largest x up to 1, whose g
// is +inf and would win over every logit.
HERD_INLINE float uniform_of(std::uint32_t x) {
  const float u = fma_f32(static_cast<float>(x), 0x1p-32F, 0x1p-33F);
  return u < 1.0F - 0x1p-24F ? u : 1.0F - 0x1p-24F;
}

// g = -log(-log1p(-u)): between -2.81 and 22.88.
HERD_INLINE float gumbel_of(std::uint32_t x) { return -log_f32(-log1p_small_f32(-uniform_of(x))); }

}  // namespace herd
