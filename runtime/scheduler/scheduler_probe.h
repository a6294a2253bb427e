#pragma once
// SchedulerProbe: what tests ask of a scheduler beyond its config. Product code makes none.

#include <cstdint>
#include <functional>

namespace herd::scheduler {

struct SchedulerProbe {
  // Asked before each plan, with the number of plans made: so many more sequences are to give their blocks up. They must have
  // sampled since their admission, so some may do so only at a later plan.
  std::function<std::uint32_t(std::uint64_t plans)> preemptions{};
  std::uint32_t hash_bits = 64;  // of block hashes; fewer collide
};

}  // namespace herd::scheduler
