// Seeds through the simulated cluster. --seed N runs one and says what happened; --seeds N runs that many from 1.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "tests/sim/sim_cluster.h"

namespace herd::sim {
namespace {

std::uint64_t first_seed = 1;
std::uint64_t seeds = 300;

SimReport run_seed(std::uint64_t seed) { return SimCluster(draw_options(seed)).run(); }

TEST(Simulation, EverySeedKeepsItsPromises) {
  SimReport total;
  std::uint64_t failures = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds && failures < 10; ++seed) {
    const SimReport report = run_seed(seed);
    if (report.violation) {
      ++failures;
      ADD_FAILURE() << "seed " << seed << ": " << *report.violation << "\n  replay: sim_tests --seed " << seed;
    }
    total.events += report.events;
    total.replicas_lost += report.replicas_lost;
    total.preemptions += report.preemptions;
    total.held_back += report.held_back;
    total.prompt_logprobs += report.prompt_logprobs;
    total.ledger.accepted += report.ledger.accepted;
    total.ledger.finished += report.ledger.finished;
    total.ledger.aborted += report.ledger.aborted;
    total.ledger.failed += report.ledger.failed;
    total.ledger.replayed += report.ledger.replayed;
    total.ledger.tokens_delivered += report.ledger.tokens_delivered;
    total.ledger.stale_deltas += report.ledger.stale_deltas;
    total.ledger.duplicate_deltas += report.ledger.duplicate_deltas;
  }
  std::cout << seeds << " seeds, " << total.events << " events: " << total.ledger.accepted << " sequences accepted, "
            << total.ledger.finished << " finished, " << total.ledger.aborted << " aborted, " << total.ledger.failed
            << " failed; " << total.replicas_lost << " replicas lost, " << total.ledger.replayed << " replays, "
            << total.preemptions << " preemptions, " << total.held_back << " held back for a prefix; "
            << total.ledger.tokens_delivered << " tokens, " << total.prompt_logprobs << " prompt log-probabilities, "
            << total.ledger.stale_deltas << " stale and " << total.ledger.duplicate_deltas << " duplicate deltas\n";
  if (seeds >= 300) {
    // What the seeds do not reach, they do not test.
    EXPECT_GT(total.replicas_lost, 100U);
    EXPECT_GT(total.ledger.replayed, 100U);
    EXPECT_GT(total.ledger.stale_deltas, 100U);
    EXPECT_GT(total.ledger.duplicate_deltas, 100U);
    EXPECT_GT(total.ledger.aborted, 100U);
    EXPECT_GT(total.preemptions, 100U);
    EXPECT_GT(total.held_back, 100U);
    EXPECT_GT(total.prompt_logprobs, 1000U);
    EXPECT_GT(total.ledger.finished, total.ledger.failed);
  }
}

TEST(Simulation, ASeedIsTheWholeStory) {
  for (std::uint64_t seed = first_seed; seed < first_seed + std::min<std::uint64_t>(seeds, 10); ++seed)
    EXPECT_EQ(run_seed(seed).trace_hash, run_seed(seed).trace_hash) << "seed " << seed;
}

}  // namespace
}  // namespace herd::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::string_view(argv[i]) == "--seed") {
      herd::sim::first_seed = number;
      herd::sim::seeds = 1;
    } else if (std::string_view(argv[i]) == "--seeds") {
      herd::sim::seeds = number;
    } else {
      std::cerr << "usage: sim_tests [--seed N | --seeds N]\n";
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
