#pragma once
// Chance: a row of draws. Whoever draws in a seed has a row of its own, named after it, so that leaving an event out of a run
// changes nothing of what the others draw.

#include <cstdint>
#include <string_view>

#include "kernels/splitmix64.h"

namespace herd::sim {

class Chance {
 public:
  // `salt`: another run of the same seed.
  Chance(std::uint64_t seed, std::uint64_t salt, std::string_view who) : state_(splitmix64_finish(seed + kSplitMix64Step * (salt + 1))) {
    for (const char c : who) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  }

  std::uint64_t operator()() { return splitmix64_finish(state_ += kSplitMix64Step); }
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return (*this)() % bound; }
  [[nodiscard]] std::int64_t us_up_to(std::int64_t max) {  // [1, max]
    return 1 + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(max)));
  }
  [[nodiscard]] bool percent(std::uint32_t share) { return below(100) < share; }

 private:
  std::uint64_t state_;
};

}  // namespace herd::sim
