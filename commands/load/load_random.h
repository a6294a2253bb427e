#pragma once
// Random numbers of a load plan: Philox4x32-10 as a stream, and the few distributions that a plan needs, made of
// + - * / sqrt alone, so that a seed means the same plan with every compiler and library. Pure.

#include <cstdint>

#include "kernels/philox.h"

namespace herd::load {

// What a stream is for: streams of one seed are independent of each other.
enum class RandomUse : std::uint32_t { kArrivals = 1, kLengths = 2, kPrefix = 3, kPrompts = 4, kShuffle = 5 };

// Value. `index`: which request, where each has a stream of its own.
class LoadRandom {
 public:
  LoadRandom(std::uint64_t seed, RandomUse use, std::uint32_t index = 0) : seed_(seed), use_(use), index_(index) {}

  [[nodiscard]] std::uint32_t word();
  [[nodiscard]] double uniform();                                                // (0, 1), 53 bits
  [[nodiscard]] std::uint64_t below(std::uint64_t end);                          // [0, end), exact; end >= 1
  [[nodiscard]] std::uint64_t between(std::uint64_t first, std::uint64_t last);  // [first, last]
  [[nodiscard]] double normal();                                                 // mean 0, variance 1
  [[nodiscard]] double gamma(double shape);  // mean shape, variance shape; shape > 0

 private:
  std::uint64_t seed_;
  RandomUse use_;
  std::uint32_t index_;
  std::uint64_t drawn_ = 0;  // words
  PhiloxBlock block_{};
};

// Natural logarithm of x > 0 and e^x, x in [-700, 700]; relative error below 1e-15.
[[nodiscard]] double portable_log(double x);
[[nodiscard]] double portable_exp(double x);

}  // namespace herd::load
