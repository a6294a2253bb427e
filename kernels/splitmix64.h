#pragma once
// SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): its finaliser makes any 64 bits
// look drawn, a bijection in which every bit of the input reaches every bit of the output. Its counter rises by a step.

#include <cstdint>

#include "kernels/inline.h"

namespace herd {

inline constexpr std::uint64_t kSplitMix64Step = 0x9e3779b97f4a7c15ULL;  // 2^64 / the golden ratio, odd

HERD_INLINE std::uint64_t splitmix64_finish(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace herd
