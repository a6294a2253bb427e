// Seeds through the simulated cluster. --seed N runs one, and --tell 1 tells its story; --seeds N runs that many, from --from on.
// --shrink N looks for the fewest events with which seed N still fails, and says how to see them: --only and --salt.

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "tests/sim/seed_runner.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_goals.h"

namespace herd::sim {
namespace {

std::uint64_t first_seed = 1;
std::uint64_t seeds = 1000;
std::uint64_t failures_max = 10;
std::uint64_t running_seed = 0;
std::uint64_t salt = 0;
std::shared_ptr<const EventNumbers> only;

// A broken invariant of a core ends the process: at least say where.
void say_seed(int signal) {
  std::cerr << "seed " << running_seed << ": a check of a core failed, as told above\n  replay: sim_tests --seed "
            << running_seed << "\n  the fewest events: sim_tests --shrink " << running_seed << std::endl;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

SimOptions options_of(std::uint64_t seed) {
  SimOptions options = draw_options(seed);
  options.salt = salt;
  options.only = only;
  return options;
}

SimReport run_seed(std::uint64_t seed) {
  running_seed = seed;
  return SimCluster(options_of(seed)).run();
}

EventNumbers read_numbers(const std::string& text) {
  EventNumbers numbers;
  std::istringstream all(text);
  for (std::string number; std::getline(all, number, ',');) numbers.insert(static_cast<std::uint32_t>(std::stoul(number)));
  return numbers;
}

int say_shrunk(std::uint64_t seed) {
  const std::optional<ShrunkSeed> shrunk = shrink_seed(options_of(seed));
  if (!shrunk) {
    std::cout << "seed " << seed << " keeps its promises\n";
    return 0;
  }
  std::cout << "seed " << seed << ": " << shrunk->outcome.violation << "\n  " << shrunk->events.size() << " of " << shrunk->of
            << " events are enough, found in " << shrunk->runs << " runs:\n";
  std::string numbers;
  for (const std::uint32_t number : shrunk->events) {
    const Script::Event& event = shrunk->outcome.events[number];
    std::cout << "  " << number << "  at " << event.at.ns / 1000 << " us: " << event.what << '\n';
    if (!numbers.empty()) numbers += ',';
    numbers += std::to_string(number);
  }
  std::cout << "  replay: sim_tests --seed " << seed << " --salt " << shrunk->salt << " --only " << (numbers.empty() ? "," : numbers) << " --tell 1\n";
  return 1;
}

TEST(Simulation, EverySeedKeepsItsPromises) {
  World::Coverage total{};
  std::uint64_t failures = 0, events = 0, ran = 0;
  double virtual_s = 0;
  for (; ran < seeds && failures < failures_max; ++ran) {
    const std::uint64_t seed = first_seed + ran;
    const SimReport report = run_seed(seed);
    if (report.violation) {
      ++failures;
      ADD_FAILURE() << "seed " << seed << ": " << *report.violation << "\n  replay: sim_tests --seed " << seed
                      << "; the fewest events: --shrink " << seed;
    }
    events += report.steps;
    virtual_s += report.virtual_s;
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += report.reached[i];
  }
  std::cout << ran << " seeds, " << failures << " with a broken promise, " << events << " events, "
            << static_cast<std::uint64_t>(virtual_s) << " virtual seconds:";
  for (const Goal& goal : kGoals) std::cout << ' ' << total[static_cast<std::size_t>(goal.what)] << ' ' << goal.name << ';';
  std::cout << '\n';
  if (ran < 1000) return;
  for (const Goal& goal : kGoals)
    EXPECT_GE(total[static_cast<std::size_t>(goal.what)], goal.at_least) << goal.name << ": the seeds do not reach enough";
}

TEST(Simulation, ASeedIsTheWholeStory) {
  for (std::uint64_t seed = first_seed; seed < first_seed + std::min<std::uint64_t>(seeds, 20); ++seed)
    EXPECT_EQ(run_seed(seed).trace_hash, run_seed(seed).trace_hash) << "seed " << seed;
}

}  // namespace
}  // namespace herd::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::signal(SIGABRT, herd::sim::say_seed);
  std::optional<std::uint64_t> shrinks;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    const std::string_view flag = argv[i];
    if (flag == "--seed") {
      herd::sim::first_seed = number;
      herd::sim::seeds = 1;
    } else if (flag == "--seeds") {
      herd::sim::seeds = number;
    } else if (flag == "--from") {
      herd::sim::first_seed = number;
    } else if (flag == "--tell") {
      herd::sim::World::tells = number > 0;
    } else if (flag == "--failures") {
      herd::sim::failures_max = number;
    } else if (flag == "--salt") {
      herd::sim::salt = number;
    } else if (flag == "--only") {
      herd::sim::only = std::make_shared<const herd::sim::EventNumbers>(herd::sim::read_numbers(argv[i + 1]));
    } else if (flag == "--shrink") {
      shrinks = number;
    } else {
      std::cerr << "usage: sim_tests [--seed N | --seeds N | --shrink N] [--from N] [--failures N] [--only N,N...] [--salt N] [--tell 1]\n";
      return 2;
    }
  }
  if (shrinks) return herd::sim::say_shrunk(*shrinks);
  return RUN_ALL_TESTS();
}
