// Replicas of toy ranks that lose a rank and come back: what goes on, what is started again, what is given up, and that nothing
// piles up. Every stream is compared with what its prompt and seed must yield.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

using membership::NoteKind;
using step::FinishReason;

// What replicas say of themselves, as a log would get it.
class Notes {
 public:
  void add(const membership::Note& note) {
    const std::scoped_lock lock(mutex_);
    notes_.push_back(note);
  }
  [[nodiscard]] std::vector<membership::Note> of(NoteKind kind) const {
    const std::scoped_lock lock(mutex_);
    std::vector<membership::Note> found;
    std::ranges::copy_if(notes_, std::back_inserter(found), [kind](const membership::Note& note) { return note.kind == kind; });
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<membership::Note> notes_;
};

struct FaultyToy {
  explicit FaultyToy(std::uint32_t replicas, membership::RestartBudget budget = {.restarts = 1'000'000, .backoff_s = 0.0})
      : cluster(config_of(replicas, budget)), reader(cluster.client()) {
    faults->step_us = 2'000;
  }
  // A hang that is not over would hold its thread.
  ~FaultyToy() { faults->released = true; }
  StandaloneConfig config_of(std::uint32_t replicas, const membership::RestartBudget& budget) {
    StandaloneConfig config = toy_config(replicas, 2, faults);
    config.restart_budget = budget;
    config.on_note = [notes = notes](ReplicaId, const membership::Note& note) { notes->add(note); };
    return config;
  }
  // Sequence 1, on replica 0 as the first route is its.
  void run_one() {
    reader.submit(toy_submission(1, 40, 120));
    ASSERT_TRUE(reader.read_until(SequenceId(1), 10));
  }
  void expect_whole() {
    ASSERT_TRUE(reader.read_all());
    EXPECT_EQ(reader.violation(), "");
    EXPECT_EQ(reader.stream(1).finish(), FinishReason::kLength) << reader.error(1).message();
  }
  [[nodiscard]] routing::ReplicaView view(std::size_t replica) { return cluster.status()->view.replicas.at(replica); }
  [[nodiscard]] bool await_serving(std::size_t replicas) {
    return cluster.await([=](const ClusterStatus& status) { return status.serving_replicas() == replicas; });
  }
  [[nodiscard]] bool await_given_up(std::size_t replica) {
    return cluster.await([=](const ClusterStatus& status) {
      const routing::ReplicaView& known = status.view.replicas.at(replica);
      return known.state == routing::ReplicaState::kLost && !known.returns;
    });
  }

  std::shared_ptr<ToyFaults> faults = std::make_shared<ToyFaults>();
  std::shared_ptr<Notes> notes = std::make_shared<Notes>();
  ToyCluster cluster;
  ToyClient reader;
};

// What befalls rank 1 of the only replica, and how many ranks are made for it again.
struct Mishap {
  const char* name;
  void (*happen)(FaultyToy& toy);
  std::uint32_t made_again;
};

class OnlyReplica : public testing::TestWithParam<Mishap> {};
INSTANTIATE_TEST_SUITE_P(
    Mishaps, OnlyReplica,
    testing::Values(Mishap{"IsKilled", [](FaultyToy& toy) { EXPECT_TRUE(toy.cluster.kill_rank(ReplicaId(0), 1)); }, 1},
                    Mishap{"Throws", [](FaultyToy& toy) { toy.faults->throw_rank = 1; }, 1},
                    Mishap{"FailsAStep", [](FaultyToy& toy) { toy.faults->fail_rank = 1; }, 0},
                    Mishap{"HasOtherTokens", [](FaultyToy& toy) { toy.faults->other_tokens_rank = 1; }, 0},
                    Mishap{"HangsInACollective", [](FaultyToy& toy) { toy.faults->hang_rank = 1; }, 0}),
    [](const auto& info) { return std::string(info.param.name); });

// Nobody else could take the stream: it waits, and goes on under the replica's next generation. Ranks that live stay.
TEST_P(OnlyReplica, ComesBackAndItsStreamGoesOn) {
  FaultyToy toy(1);
  toy.run_one();
  const Epoch before = toy.view(0).route.generation.epoch;
  const std::uint32_t joined = toy.faults->joined;
  GetParam().happen(toy);
  toy.expect_whole();
  EXPECT_EQ(toy.cluster.status()->ledger.replayed, 1U);
  EXPECT_TRUE(toy.await_serving(1));
  EXPECT_GT(toy.view(0).route.generation.epoch, before);
  EXPECT_EQ(toy.faults->made, 2U + GetParam().made_again);
  EXPECT_EQ(toy.faults->joined, joined + 2) << "both ranks are in the next group";
  ASSERT_EQ(toy.notes->of(NoteKind::kServing).size(), 1U);
  EXPECT_GT(toy.notes->of(NoteKind::kServing).front().pause_s, 0.0);
  EXPECT_EQ(toy.notes->of(NoteKind::kRankLost).size(), GetParam().made_again);
}

// Of two ranks nobody knows which one is damaged.
TEST(Reforming, RanksWhoseTokensDifferForTheSecondTimeReadTheirWeightsAgain) {
  FaultyToy toy(1);
  toy.run_one();
  toy.faults->other_tokens_rank = 1;
  toy.expect_whole();
  ASSERT_TRUE(toy.await_serving(1));
  EXPECT_EQ(toy.faults->made_again, 0U);
  toy.faults->other_tokens_rank = 1;
  toy.reader.submit(toy_submission(2, 20, 60));
  toy.expect_whole();
  ASSERT_TRUE(toy.await_serving(1));
  EXPECT_EQ(toy.faults->made_again, 2U);
  EXPECT_EQ(toy.faults->made, 4U);
}

TEST(Reforming, AReplicaWithoutRestartsLeftIsGivenUpAndSaysWhy) {
  FaultyToy toy(1, {.restarts = 1, .backoff_s = 0.0});
  toy.run_one();
  ASSERT_TRUE(toy.cluster.kill_rank(ReplicaId(0), 1));
  toy.expect_whole();
  ASSERT_TRUE(toy.await_serving(1));
  toy.reader.submit(toy_submission(2, 20, 200));
  ASSERT_TRUE(toy.reader.read_until(SequenceId(2), 10));
  ASSERT_TRUE(toy.cluster.kill_rank(ReplicaId(0), 0));
  ASSERT_TRUE(toy.await_given_up(0));
  ASSERT_TRUE(toy.reader.read_all());
  EXPECT_EQ(toy.reader.stream(2).finish(), FinishReason::kFailed);
  ASSERT_EQ(toy.notes->of(NoteKind::kGivenUp).size(), 1U);
  EXPECT_TRUE(toy.cluster.shutdown(std::chrono::minutes(1))) << "no thread is left behind";
}

TEST(Reforming, ARankThatHangsInWhatItComputesCostsItsReplicaAndNoStreamOfAnother) {
  FaultyToy toy(2);
  toy.run_one();
  toy.faults->stop_rank = 1;
  toy.expect_whole();
  ASSERT_TRUE(toy.await_given_up(0));
  EXPECT_EQ(toy.cluster.status()->serving_replicas(), 1U);
  ASSERT_GE(toy.notes->of(NoteKind::kRankHangs).size(), 1U);
  EXPECT_EQ(toy.notes->of(NoteKind::kRankHangs).front().rank, 1U);
  toy.reader.submit(toy_submission(2, 20, 60));
  ASSERT_TRUE(toy.reader.read_all());
  EXPECT_EQ(toy.reader.stream(2).finish(), FinishReason::kLength);
  toy.faults->released = true;
  EXPECT_TRUE(toy.cluster.shutdown(std::chrono::minutes(1))) << "a thread that comes back ends";
}

TEST(Reforming, WithoutAnotherReplicaARankThatHangsInWhatItComputesEndsTheStream) {
  FaultyToy toy(1);
  toy.run_one();
  toy.faults->stop_rank = 0;
  ASSERT_TRUE(toy.await_given_up(0));
  ASSERT_TRUE(toy.reader.read_all());
  EXPECT_EQ(toy.reader.stream(1).finish(), FinishReason::kFailed);
  EXPECT_EQ(toy.notes->of(NoteKind::kGivenUp).size(), 1U);
}

// The documented way out: the thread cannot be ended, so the process ends.
TEST(ReformingDeathTest, ShutdownDoesNotWaitForEverForAThreadThatHangs) {
  EXPECT_EXIT(
      {
        auto toy = std::make_unique<FaultyToy>(1);
        toy->run_one();
        toy->faults->stop_rank = 0;
        const bool given_up = toy->await_given_up(0);
        const bool came_back = toy->cluster.shutdown(std::chrono::milliseconds(50));
        std::_Exit(given_up && !came_back && !toy->cluster.shutdown() ? 7 : 1);
      },
      testing::ExitedWithCode(7), "");
}

std::size_t entries(const char* folder) {
  const std::filesystem::directory_iterator begin(folder);
  return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

// A thread that ends is gone a moment after its actor.
bool await_threads(std::size_t most) {
  for (int looks = 0; looks < 2'000; ++looks) {
    if (entries("/proc/self/task") <= most) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

// Random ranks die at random steps, each as soon as the replica is back.
TEST(Reforming, TwoHundredDeathsInARowLeaveNothingBehind) {
  constexpr std::size_t kDeaths = 200;
  std::size_t more = 0;
  FaultyToy toy(1);
  toy.faults->step_us = 100;
  std::mt19937_64 random(11);
  std::size_t threads = 0;
  std::size_t files = 0;
  for (std::uint64_t death = 1; death <= kDeaths; ++death) {
    toy.reader.submit(toy_submission(death, 1 + random() % 30, 40));
    ASSERT_TRUE(toy.reader.read_until(SequenceId(death), 1 + random() % 30));
    const std::int64_t rank = static_cast<std::int64_t>(random() % 2);
    switch (random() % 3) {
      case 0: ASSERT_TRUE(toy.cluster.kill_rank(ReplicaId(0), static_cast<std::uint32_t>(rank))); break;
      case 1: toy.faults->throw_rank = rank; break;
      default: toy.faults->fail_rank = rank;
    }
    ASSERT_TRUE(toy.reader.read_all()) << "death " << death;
    if (toy.faults->throw_rank >= 0 || toy.faults->fail_rank >= 0) {  // the stream had no step left for it
      toy.reader.submit(toy_submission(kDeaths + death, 10, 10));
      ASSERT_TRUE(toy.reader.read_all()) << "death " << death;
      ++more;
    }
    ASSERT_EQ(toy.reader.violation(), "") << "death " << death;
    const Epoch lost = Epoch((std::uint64_t{1} << 20) + death);
    ASSERT_TRUE(toy.cluster.await([lost](const ClusterStatus& status) {
      return status.serving_replicas() == 1 && status.view.replicas.at(0).route.generation.epoch > lost;
    })) << "death " << death;
    if (death != 10) continue;
    threads = entries("/proc/self/task");
    files = entries("/proc/self/fd");
  }
  EXPECT_EQ(toy.reader.count(FinishReason::kLength), kDeaths + more);
  EXPECT_TRUE(await_threads(threads));
  EXPECT_LE(entries("/proc/self/fd"), files);
  EXPECT_EQ(toy.notes->of(NoteKind::kServing).size(), kDeaths);
}

}  // namespace
}  // namespace herd::actors
