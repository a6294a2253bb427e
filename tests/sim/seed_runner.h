#pragma once
// SeedRunner: runs of one seed, each in a process of its own, as a broken invariant of a core ends that; and the search for the
// fewest events with which the seed still breaks the same promise.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/clock.h"
#include "tests/sim/script.h"
#include "tests/sim/sim_options.h"

namespace herd::sim {

struct RunOutcome {
  std::string violation;  // empty: every promise was kept
  Instant ended;
  std::vector<Script::Event> events;
};

// A core that ends its process is a broken promise too.
[[nodiscard]] RunOutcome run_apart(const SimOptions& options);
// A violation without its numbers: two runs that break the same promise have it in common.
[[nodiscard]] std::string kind_of(const std::string& violation);

struct ShrunkSeed {
  std::uint64_t salt = 0;
  EventNumbers events;
  RunOutcome outcome;       // of the run with these
  std::size_t of = 0;       // events of the whole seed
  std::size_t runs = 0;
};

// A failing run that somebody can read. Where it has more events than that, runs with other delays are tried, too.
inline constexpr std::size_t kReadableEvents = 20;

// nullopt: the seed keeps its promises.
[[nodiscard]] std::optional<ShrunkSeed> shrink_seed(const SimOptions& options);

}  // namespace herd::sim
