// The AVX-512 loops of bench_machine: loads of a cache line and more per stream, 24 chains of fused multiply-adds (two
// units, four stages: 8 would do, 24 hide the rest) or of dot products. Per-ISA file: intrinsics and plain data only.

#include <immintrin.h>

#include "kernels/cpu/bench_kernels.h"

namespace herd {
namespace {

std::uint64_t read(const void* data, std::size_t bytes, int streams) {
  constexpr std::size_t kStep = 4 * sizeof(__m512i);
  const std::size_t run = bytes / static_cast<std::size_t>(streams);
  __m512i digest[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  for (std::size_t at = 0; at < run; at += kStep) {
    for (int s = 0; s < streams; s++) {
      const auto* line =
          reinterpret_cast<const __m512i*>(static_cast<const char*>(data) + static_cast<std::size_t>(s) * run + at);
      for (int i = 0; i < 4; i++) digest[i] = _mm512_xor_si512(digest[i], _mm512_load_si512(line + i));
    }
  }
  const __m512i all = _mm512_xor_si512(_mm512_xor_si512(digest[0], digest[1]), _mm512_xor_si512(digest[2], digest[3]));
  alignas(64) std::uint64_t words[sizeof(__m512i) / 8];
  _mm512_store_si512(reinterpret_cast<__m512i*>(words), all);
  std::uint64_t result = 0;
  for (const std::uint64_t word : words) result ^= word;
  return result;
}

constexpr int kChains = 24;

void multiply_add(std::int64_t rounds) {
  const __m512 factor = _mm512_set1_ps(0.999999F);
  const __m512 term = _mm512_set1_ps(1e-6F);
  __m512 sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm512_set1_ps(static_cast<float>(c));
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      sum[c] = _mm512_fmadd_ps(sum[c], factor, term);
      asm volatile("" : "+v"(sum[c]));  // the round is neither merged with the next nor dropped
    }
  }
}

// Two products a lane and instruction.
[[gnu::target("avx512bf16")]] void dot_bf16(std::int64_t rounds) {
  const auto halves = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f003f00));
  __m512 sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm512_set1_ps(static_cast<float>(c));
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      sum[c] = _mm512_dpbf16_ps(sum[c], halves, halves);
      asm volatile("" : "+v"(sum[c]));
    }
  }
}

// Four products a lane and instruction.
[[gnu::target("avx512vnni")]] void dot_int8(std::int64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm512_set1_epi32(c);
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      sum[c] = _mm512_dpbusd_epi32(sum[c], ones, ones);
      asm volatile("" : "+v"(sum[c]));
    }
  }
}

// Four products a lane, added by twos.
void pairs_int8(std::int64_t rounds) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm512_set1_epi16(static_cast<short>(c));
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      __m512i numbers = ones;
      asm volatile("" : "+v"(numbers));  // not known to be the same as in the last round
      sum[c] = _mm512_add_epi16(sum[c], _mm512_maddubs_epi16(numbers, ones));
      asm volatile("" : "+v"(sum[c]));
    }
  }
}

constexpr std::int64_t kFlops = 2 * kChains * sizeof(__m512) / sizeof(float);

}  // namespace

const BenchKernels kBenchKernelsAvx512{
    "avx512", read, {multiply_add, kFlops}, {dot_bf16, 2 * kFlops}, {dot_int8, 4 * kFlops}, {pairs_int8, 4 * kFlops}};

}  // namespace herd
