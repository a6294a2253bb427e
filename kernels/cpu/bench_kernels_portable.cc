// Plain C++: what is left without AVX2. The compiler vectorises for the baseline; there is no fused multiply-add.

#include "kernels/cpu/bench_kernels.h"

namespace herd {
namespace {

std::uint64_t read(const void* data, std::size_t bytes, int streams) {
  const std::size_t words = bytes / sizeof(std::uint64_t) / static_cast<std::size_t>(streams);
  std::uint64_t digest[8] = {};
  for (std::size_t i = 0; i < words; i += 8) {
    for (int s = 0; s < streams; s++) {
      const auto* run = static_cast<const std::uint64_t*>(data) + static_cast<std::size_t>(s) * words;
      for (std::size_t j = 0; j < 8; j++) digest[j] ^= run[i + j];
    }
  }
  std::uint64_t all = 0;
  for (const std::uint64_t part : digest) all ^= part;
  return all;
}

constexpr int kChains = 48;

void multiply_add(std::int64_t rounds) {
  float sum[kChains];
  for (int c = 0; c < kChains; c++) sum[c] = static_cast<float>(c);
  for (std::int64_t round = 0; round < rounds; round++) {
    for (float& chain : sum) chain = chain * 0.999999F + 1e-6F;
  }
  volatile float sink = 0.0F;
  for (const float chain : sum) sink = sink + chain;
}

}  // namespace

const BenchKernels kBenchKernelsPortable{"portable", read, {multiply_add, 2 * kChains}, {}, {}, {}};

}  // namespace herd
