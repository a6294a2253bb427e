#pragma once
// World: what every part of the simulation shares: virtual time, the script, rows of draws, the first broken promise, a hash over
// all that clients saw, and how often each thing worth testing has happened.

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "tests/sim/chance.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/reached.h"
#include "tests/sim/script.h"
#include "tests/sim/sim_options.h"

namespace herd::sim {

class World {
 public:
  explicit World(const SimOptions& of_seed);

  Script script;
  const SimOptions options;  // with the habits that the script keeps
  EventLoop loop;

  [[nodiscard]] Instant now() const { return loop.now(); }
  // Of whoever takes part in the run.
  [[nodiscard]] Chance chance(std::string_view who) const { return {options.seed, 1 + options.salt, who}; }
  // Of what comes from outside: the same in every run of the seed.
  [[nodiscard]] Chance script_chance(std::string_view what) const { return {options.seed, 0, what}; }

  // One line of the story, when somebody wants to hear it (sim_tests --seed N --tell 1).
  static inline bool tells = false;
  void tell(const std::string& what) const;

  // Keeps the first.
  void violate(const std::string& what);
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

  void trace(std::initializer_list<std::uint64_t> seen);
  [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }

  void reach(Reached what, std::uint64_t times = 1) {
    reached_[static_cast<std::size_t>(what)] += times;
    if (options.never == what) violate("what was not to happen");
  }
  using Coverage = std::array<std::uint64_t, static_cast<std::size_t>(Reached::kCount)>;
  [[nodiscard]] const Coverage& coverage() const { return reached_; }

  // Faults still come. Afterwards nothing breaks any more.
  bool healed = false;
  // All the work of this seed, done by one replica, one row a step, everything computed again after every token: no
  // request that had a whole replica for so long can be late.
  std::int64_t work_us = 0;
  // Between replicas, each rank's share for itself.
  std::uint64_t blocks_sent = 0;
  std::uint64_t blocks_taken = 0;

 private:
  std::optional<std::string> violation_;
  std::uint64_t trace_hash_ = 0;
  Coverage reached_{};
};

}  // namespace herd::sim
