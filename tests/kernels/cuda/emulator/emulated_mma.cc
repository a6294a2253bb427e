#include "tests/kernels/cuda/emulator/emulated_mma.h"

#include <immintrin.h>

#include <bit>

namespace herd::emulator {
namespace {

constexpr int kRows = 16, kCols = 8, kDepth = 16, kGroup = 8;
constexpr unsigned kTowardZero = 0x1f80U | 0x6000U;  // all exceptions masked, subnormals kept

struct alignas(32) Tile {
  double a[kRows][kDepth];
  double b[kDepth][kCols];
  float c[kRows][kCols];
};

double widen(std::uint32_t bf16) { return std::bit_cast<float>(bf16 << 16); }

// Own functions, so that no arithmetic moves out of the section with another rounding mode.
[[gnu::noinline]] void gather(const MmaOperands& operands, Tile& tile) {
  for (int lane = 0; lane < 32; lane++) {
    const int g = lane / 4, t = lane % 4;
    const std::uint32_t* a = operands.a[lane];
    const std::uint32_t* b = operands.b[lane];
    for (int i = 0; i < 4; i++) {
      const int row = g + i % 2 * 8, k = 2 * t + i / 2 * 8;
      tile.a[row][k] = widen(a[i] & 0xffffU);
      tile.a[row][k + 1] = widen(a[i] >> 16);
    }
    for (int i = 0; i < 2; i++) {
      const int k = 2 * t + i * 8;
      tile.b[k][g] = widen(b[i] & 0xffffU);
      tile.b[k + 1][g] = widen(b[i] >> 16);
    }
    for (int i = 0; i < 4; i++) tile.c[g + i / 2 * 8][2 * t + i % 2] = operands.c[lane][i];
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
    for (int i = 0; i < 4; i++) operands.c[lane][i] = tile.c[g + i / 2 * 8][2 * t + i % 2];
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
