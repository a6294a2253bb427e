#include "tests/kernels/cuda/emulator/emulated_mma.h"

#include <immintrin.h>

#include <bit>
#include <cstring>

namespace herd::emulator {
namespace {

constexpr int kRows = 16, kCols = 8, kDepth = 16, kGroup = 8;
constexpr unsigned kTowardZero = 0x1f80U | 0x6000U;  // all exceptions masked, subnormals kept

struct alignas(32) Tile {
  double a[kRows][kDepth];
  double b[kDepth][kCols];
  float c[kRows][kCols];
};

double widen(std::uint32_t bits) { return std::bit_cast<float>(bits); }
void widen2(double* to, std::uint32_t pair) {  // two bf16, the low half first
  to[0] = widen(pair << 16);
  to[1] = widen(pair & 0xffff0000U);
}

// Own functions, so that no arithmetic moves out of the section with another rounding mode.
[[gnu::noinline]] void gather(const MmaOperands& operands, Tile& tile) {
  for (int lane = 0; lane < 32; lane++) {
    const int g = lane / 4, t = lane % 4;
    const std::uint32_t* a = operands.a[lane];
    const std::uint32_t* b = operands.b[lane];
    const float* c = operands.c[lane];
    widen2(&tile.a[g][2 * t], a[0]);
    widen2(&tile.a[g + 8][2 * t], a[1]);
    widen2(&tile.a[g][2 * t + 8], a[2]);
    widen2(&tile.a[g + 8][2 * t + 8], a[3]);
    for (int i = 0; i < 2; i++) {
      tile.b[2 * t + i * 8][g] = widen(b[i] << 16);
      tile.b[2 * t + i * 8 + 1][g] = widen(b[i] & 0xffff0000U);
    }
    std::memcpy(&tile.c[g][2 * t], c, 8);
    std::memcpy(&tile.c[g + 8][2 * t], c + 2, 8);
  }
}

using Doubles = double __attribute__((vector_size(32), may_alias));
using Floats = float __attribute__((vector_size(16), may_alias));
constexpr int kParts = kCols / 4;

// The same operations in the same order whatever the width of the machine's vectors.
[[gnu::always_inline]] inline void accumulate(Tile& tile) {
  for (int row = 0; row < kRows; row++) {
    for (int begin = 0; begin < kDepth; begin += kGroup) {
      Doubles sum[kParts] = {};
      for (int k = begin; k < begin + kGroup; k++) {
        const auto* b = reinterpret_cast<const Doubles*>(tile.b[k]);
        for (int part = 0; part < kParts; part++) sum[part] += tile.a[row][k] * b[part];
      }
      auto* c = reinterpret_cast<Floats*>(tile.c[row]);
      for (int part = 0; part < kParts; part++)
        c[part] = __builtin_convertvector(__builtin_convertvector(c[part], Doubles) + sum[part], Floats);
    }
  }
}
[[gnu::noinline]] void accumulate_sse2(Tile& tile) { accumulate(tile); }
[[gnu::noinline, gnu::target("avx2")]] void accumulate_avx2(Tile& tile) { accumulate(tile); }

[[gnu::noinline]] void scatter(const Tile& tile, const MmaOperands& operands) {
  for (int lane = 0; lane < 32; lane++) {
    const int g = lane / 4, t = lane % 4;
    std::memcpy(operands.c[lane], &tile.c[g][2 * t], 8);
    std::memcpy(operands.c[lane] + 2, &tile.c[g + 8][2 * t], 8);
  }
}

}  // namespace

void multiply(const MmaOperands& operands) {
  static const bool wide = __builtin_cpu_supports("avx2") != 0;
  Tile tile;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kTowardZero);
  gather(operands, tile);
  if (wide)
    accumulate_avx2(tile);
  else
    accumulate_sse2(tile);
  scatter(tile, operands);
  _mm_setcsr(before);
}

}  // namespace herd::emulator
