// The loops of bench_machine over AMX tiles: 4 sums of 16 x 16, each the product of one of 2 left tiles with one of 2 right
// tiles, which uses all 8 registers and keeps the sums independent. Per-ISA file: intrinsics and plain data only.

#include <immintrin.h>

#include "kernels/cpu/bench_kernels.h"

namespace herd {
namespace {

constexpr int kRows = 16;
constexpr int kRowBytes = 64;

// The 64 bytes that ldtilecfg reads: palette 1, all tiles 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  std::uint8_t palette;
  std::uint8_t start_row;
  std::uint8_t reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};

[[gnu::target("amx-tile")]] void set_tiles() {
  TileConfig config = {};
  config.palette = 1;
  for (int tile = 0; tile < 8; tile++) {
    config.row_bytes[tile] = kRowBytes;
    config.rows[tile] = kRows;
  }
  asm volatile("" : : "r"(&config) : "memory");  // GCC 12 tells the compiler of 8 of the 64 bytes that the instruction reads
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

[[gnu::target("amx-tile,amx-bf16")]] void amx_bf16(std::int64_t rounds) {
  set_tiles();
  for (std::int64_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

[[gnu::target("amx-tile,amx-int8")]] void amx_int8(std::int64_t rounds) {
  set_tiles();
  for (std::int64_t round = 0; round < rounds; round++) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
}

constexpr std::int64_t kTileProducts = std::int64_t{kRows} * kRows * kRowBytes;  // of bytes

}  // namespace

const PeakLoop kBenchAmxBf16{amx_bf16, 4 * kTileProducts};
const PeakLoop kBenchAmxInt8{amx_int8, 4 * 2 * kTileProducts};

}  // namespace herd
