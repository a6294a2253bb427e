#include "tests/sim/world.h"

#include <iostream>

namespace herd::sim {

World::World(const SimOptions& of_seed) : script(of_seed.only), options(script.with_habits(of_seed)) {}

void World::tell(const std::string& what) const {
  std::cerr << loop.now().ns / 1000 << " us: " << what << '\n';
}

void World::violate(const std::string& what) {
  if (tells) tell("VIOLATION " + what);
  if (!violation_) violation_ = "at " + std::to_string(loop.now().ns / 1000) + " us: " + what;
}

void World::trace(std::initializer_list<std::uint64_t> seen) {
  for (const std::uint64_t value : seen) trace_hash_ = (trace_hash_ ^ value) * 0x100000001B3;
}

}  // namespace herd::sim
