#include "tests/kernels/cuda/emulator/emulated_mma.h"

#include <immintrin.h>

#include <bit>

namespace herd::emulator {
namespace {

constexpr int kRows = 16, kCols = 8, kDepth = 16, kGroup = 8;
constexpr unsigned kTowardZero = 0x1f80U | 0x6000U;  // all exceptions masked, subnormals kept

struct Tile {
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

[[gnu::noinline]] void accumulate(Tile& tile) {
  for (int row = 0; row < kRows; row++) {
    for (int begin = 0; begin < kDepth; begin += kGroup) {
      __m128d sum[kCols / 2];
      for (__m128d& pair : sum) pair = _mm_setzero_pd();
      for (int k = begin; k < begin + kGroup; k++) {
        const __m128d a = _mm_set1_pd(tile.a[row][k]);
        for (int pair = 0; pair < kCols / 2; pair++)
          sum[pair] = _mm_add_pd(sum[pair], _mm_mul_pd(a, _mm_loadu_pd(&tile.b[k][2 * pair])));
      }
      for (int col = 0; col < kCols; col++) {
        const double group = col % 2 == 0 ? _mm_cvtsd_f64(sum[col / 2])
                                          : _mm_cvtsd_f64(_mm_unpackhi_pd(sum[col / 2], sum[col / 2]));
        tile.c[row][col] = static_cast<float>(static_cast<double>(tile.c[row][col]) + group);
      }
    }
  }
}

[[gnu::noinline]] void scatter(const Tile& tile, const MmaOperands& operands) {
  for (int lane = 0; lane < 32; lane++) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++) operands.c[lane][i] = tile.c[g + i / 2 * 8][2 * t + i % 2];
  }
}

}  // namespace

void multiply(const MmaOperands& operands) {
  Tile tile;
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kTowardZero);
  gather(operands, tile);
  accumulate(tile);
  scatter(tile, operands);
  _mm_setcsr(before);
}

}  // namespace herd::emulator
