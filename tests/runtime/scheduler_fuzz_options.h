#pragma once
// Flags of the random tests: --operations N (of the scheduler; the block manager runs as many) and --seed S.

#include <cstdint>

namespace herd {

struct FuzzOptions {
  std::uint64_t operations = 100000;
  std::uint64_t seed = 1;
};

inline FuzzOptions& fuzz_options() {
  static FuzzOptions options;
  return options;
}

}  // namespace herd
