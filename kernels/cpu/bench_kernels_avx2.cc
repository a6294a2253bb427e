// The AVX2 loops of bench_machine: loads of a cache line and more per stream, 12 chains of fused multiply-adds (two
// units, four stages: 8 would do, 12 hide the rest). Per-ISA file: intrinsics and plain data only.

#include <immintrin.h>

#include "kernels/cpu/bench_kernels.h"

namespace herd {
namespace {

std::uint64_t read(const void* data, std::size_t bytes, int streams) {
  constexpr std::size_t kStep = 4 * sizeof(__m256i);
  const std::size_t run = bytes / static_cast<std::size_t>(streams);
  __m256i digest[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (std::size_t at = 0; at < run; at += kStep) {
    for (int s = 0; s < streams; s++) {
      const auto* line =
          reinterpret_cast<const __m256i*>(static_cast<const char*>(data) + static_cast<std::size_t>(s) * run + at);
      for (int i = 0; i < 4; i++) digest[i] = _mm256_xor_si256(digest[i], _mm256_load_si256(line + i));
    }
  }
  const __m256i all = _mm256_xor_si256(_mm256_xor_si256(digest[0], digest[1]), _mm256_xor_si256(digest[2], digest[3]));
  alignas(64) std::uint64_t words[sizeof(__m256i) / 8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), all);
  std::uint64_t result = 0;
  for (const std::uint64_t word : words) result ^= word;
  return result;
}

constexpr int kChains = 12;

void multiply_add(std::int64_t rounds) {
  const __m256 factor = _mm256_set1_ps(0.999999F);
  const __m256 term = _mm256_set1_ps(1e-6F);
  __m256 sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm256_set1_ps(static_cast<float>(c));
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      sum[c] = _mm256_fmadd_ps(sum[c], factor, term);
      asm volatile("" : "+x"(sum[c]));  // the round is neither merged with the next nor dropped
    }
  }
}

// Four products a lane and instruction.
[[gnu::target("avxvnni")]] void dot_int8(std::int64_t rounds) {
  const __m256i ones = _mm256_set1_epi8(1);
  __m256i sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm256_set1_epi32(c);
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      sum[c] = _mm256_dpbusd_avx_epi32(sum[c], ones, ones);
      asm volatile("" : "+x"(sum[c]));
    }
  }
}

// Four products a lane, added by twos.
void pairs_int8(std::int64_t rounds) {
  const __m256i ones = _mm256_set1_epi8(1);
  __m256i sum[kChains];
#pragma GCC unroll 32
  for (int c = 0; c < kChains; c++) sum[c] = _mm256_set1_epi16(static_cast<short>(c));
  for (std::int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 32
    for (int c = 0; c < kChains; c++) {
      __m256i numbers = ones;
      asm volatile("" : "+x"(numbers));  // not known to be the same as in the last round
      sum[c] = _mm256_add_epi16(sum[c], _mm256_maddubs_epi16(numbers, ones));
      asm volatile("" : "+x"(sum[c]));
    }
  }
}

constexpr std::int64_t kFlops = 2 * kChains * sizeof(__m256) / sizeof(float);

}  // namespace

const BenchKernels kBenchKernelsAvx2{"avx2", read, {multiply_add, kFlops}, {}, {dot_int8, 4 * kFlops}, {pairs_int8, 4 * kFlops}};

}  // namespace herd
