#include "kernels/local_collective.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/futex.h"

namespace herd {
namespace {

// One thread per rank, each running body(rank's collective).
template <class Body>
void on_every_rank(const std::vector<std::unique_ptr<Collective>>& group, const Body& body) {
  std::vector<std::thread> threads;
  for (const auto& rank : group) threads.emplace_back([&] { body(*rank); });
  for (std::thread& thread : threads) thread.join();
}

TEST(LocalCollective, GathersInRankOrderRoundAfterRound) {
  for (const int size : {1, 2, 3, 8}) {
    const auto group = make_local_group(size);
    on_every_rank(group, [&](Collective& rank) {
      std::vector<std::int64_t> send(100);  // reused at once: the others must be done with it
      std::vector<std::int64_t> receive(100 * static_cast<std::size_t>(size));
      for (std::int64_t round = 0; round < 300; round++) {
        const std::size_t count = 1 + static_cast<std::size_t>(round) % 100;
        for (std::size_t i = 0; i < count; i++) send[i] = round * 1000 + rank.rank();
        rank.all_gather(CollectiveName::kTest, send.data(), receive.data(), count * sizeof(std::int64_t));
        for (int from = 0; from < size; from++) {
          for (std::size_t i = 0; i < count; i++) {
            ASSERT_EQ(receive[static_cast<std::size_t>(from) * count + i], round * 1000 + from);
          }
        }
      }
      EXPECT_TRUE(rank.status().ok());
      EXPECT_EQ(rank.size(), size);
    });
  }
}

TEST(LocalCollective, DeadlineEndsTheWaitAndNamesWhoIsMissing) {
  const auto group = make_local_group(3, {.deadline_ms = 30});
  int value = 0;
  int receive[3] = {};
  std::thread other([&] {
    int mine = 0;
    int all[3] = {};
    group[2]->all_gather(CollectiveName::kTest, &mine, all, sizeof(int));
  });
  group[0]->all_gather(CollectiveName::kTest, &value, receive, sizeof(int));  // rank 1 never comes
  other.join();
  for (const auto& rank : group) {
    EXPECT_EQ(rank->status().code(), StatusCode::kAborted);
    EXPECT_NE(rank->status().message().find("rank 1 did not come within 30 ms"), std::string::npos)
        << rank->status().message();
  }
}

TEST(LocalCollective, AbortWakesWaitingRanks) {
  const auto group = make_local_group(2);
  std::thread waiting([&] {
    int value = 0;
    int receive[2] = {};
    group[0]->all_gather(CollectiveName::kTest, &value, receive, sizeof(int));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  group[1]->abort("replica lost");
  waiting.join();
  EXPECT_EQ(group[0]->status(), Status(StatusCode::kAborted, "replica lost"));
  EXPECT_EQ(group[1]->status(), Status(StatusCode::kAborted, "replica lost"));
}

TEST(LocalCollective, AfterAnAbortCallsDoNothingAndTheFirstReasonStays) {
  const auto group = make_local_group(2);
  group[0]->abort("first");
  group[1]->abort("second");
  int value = 1;
  int receive[2] = {7, 7};
  group[0]->all_gather(CollectiveName::kTest, &value, receive, sizeof(int));
  EXPECT_EQ(receive[0], 7);
  EXPECT_EQ(receive[1], 7);
  EXPECT_EQ(group[1]->status().message(), "first");
}

// Ranks that are aborted in the middle of traffic all return, and may free their buffers at once.
TEST(LocalCollective, AbortDuringTrafficLeavesNobodyBehind) {
  for (int round = 0; round < 20; round++) {
    const auto group = make_local_group(4);
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * (round % 7)));
      group[0]->abort("stop");
    });
    on_every_rank(group, [&](Collective& rank) {
      while (rank.status().ok()) {
        const std::vector<char> send(20000, static_cast<char>(rank.rank()));
        std::vector<char> receive(send.size() * 4);
        rank.all_gather(CollectiveName::kTest, send.data(), receive.data(), send.size());
      }
    });
    killer.join();
    EXPECT_EQ(group[3]->status().code(), StatusCode::kAborted);
  }
}

TEST(CollectiveOperation, IsDescribedWhateverAPeerPutThere) {
  using Kind = CollectiveOperation::Kind;
  EXPECT_EQ(describe({17, 4096, Kind::kAllGather, CollectiveName::kMlp}), "all_gather 17 (mlp, 4096 bytes)");
  EXPECT_EQ(describe({1, 0, Kind::kReceive, CollectiveName::kPromptLogprobs}), "receive 1 (prompt logprobs, 0 bytes)");
  EXPECT_EQ(describe({1, 2, static_cast<Kind>(77), static_cast<CollectiveName>(200)}), "? 1 (?, 2 bytes)");
}

// ---- operations against a model: every byte says who sent it to whom, in which operation, at which place ----

std::uint8_t byte_of(unsigned operation, int from, int to, std::size_t at) {
  return static_cast<std::uint8_t>(operation * 31 + static_cast<unsigned>(from) * 101 + static_cast<unsigned>(to) * 57 + at * 7);
}

std::vector<std::uint8_t> bytes_of(unsigned operation, int from, int to, std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; i++) bytes[i] = byte_of(operation, from, to, i);
  return bytes;
}

void append(std::vector<std::uint8_t>& to, const std::vector<std::uint8_t>& from) { to.insert(to.end(), from.begin(), from.end()); }

// What one rank does as `operation`-th, as all ranks do that are given the same generator. False when its bytes are wrong.
bool random_operation(Collective& rank, unsigned operation, std::mt19937& random) {
  const int self = rank.rank(), size = rank.size();
  const std::size_t bytes = random() % 5 == 0 ? random() % 3000 : random() % 40;
  const auto name = static_cast<CollectiveName>(random() % static_cast<unsigned>(CollectiveName::kCount));
  std::vector<std::uint8_t> receive(bytes * static_cast<std::size_t>(size)), expected;
  switch (random() % 4) {
    case 0:
      rank.all_gather(name, bytes_of(operation, self, 0, bytes).data(), receive.data(), bytes);
      for (int from = 0; from < size; from++) append(expected, bytes_of(operation, from, 0, bytes));
      break;
    case 1: {  // in place
      std::uint8_t* const own = receive.data() + static_cast<std::size_t>(self) * bytes;
      const auto mine = bytes_of(operation, self, 0, bytes);
      std::copy(mine.begin(), mine.end(), own);
      rank.all_gather(name, own, receive.data(), bytes);
      for (int from = 0; from < size; from++) append(expected, bytes_of(operation, from, 0, bytes));
      break;
    }
    case 2: {
      std::vector<std::uint8_t> send;
      for (int to = 0; to < size; to++) append(send, bytes_of(operation, self, to, bytes));
      rank.exchange(name, send.data(), receive.data(), bytes);
      for (int from = 0; from < size; from++) append(expected, bytes_of(operation, from, self, bytes));
      break;
    }
    default: {
      const int from = static_cast<int>(random() % static_cast<unsigned>(size));
      const int to = static_cast<int>(random() % static_cast<unsigned>(size));
      if (from == to || (self != from && self != to)) return true;
      if (self == from) {
        rank.send(name, to, bytes_of(operation, from, to, bytes).data(), bytes);
        return true;
      }
      receive.resize(bytes);
      rank.receive(name, from, receive.data(), bytes);
      expected = bytes_of(operation, from, to, bytes);
    }
  }
  return receive == expected;
}

TEST(LocalCollective, RandomOperationsOfRandomSizesMoveTheBytesOfTheModel) {
  for (const int size : {1, 2, 3, 5, 8}) {
    for (const std::size_t slot_bytes : {std::size_t{64}, std::size_t{1024}, std::size_t{256} << 10}) {
      const auto group = make_local_group(size, {.slot_bytes = slot_bytes});
      on_every_rank(group, [&](Collective& rank) {
        std::mt19937 random(static_cast<unsigned>(size));
        for (unsigned operation = 0; operation < 400; operation++)
          ASSERT_TRUE(random_operation(rank, operation, random)) << "operation " << operation << ", rank " << rank.rank();
        EXPECT_TRUE(rank.status().ok()) << rank.status().message();
      });
    }
  }
}

TEST(LocalCollective, SendsGoAheadOfTheirReceivesAndComeInOrder) {
  const auto group = make_local_group(2, {.slot_bytes = 64});
  int one = 1, two = 2, got = 0;
  group[0]->send(CollectiveName::kTest, 1, &one, sizeof one);  // both lie in slots before anybody asks
  group[0]->send(CollectiveName::kTest, 1, &two, sizeof two);
  group[1]->receive(CollectiveName::kTest, 0, &got, sizeof got);
  EXPECT_EQ(got, 1);
  group[1]->receive(CollectiveName::kTest, 0, &got, sizeof got);
  EXPECT_EQ(got, 2);
  EXPECT_TRUE(group[0]->status().ok());
}

// ---- ranks that do not do the same ----

// Both ranks' threads run; what the group says afterwards.
template <class First, class Second>
std::string disagreement(const First& first, const Second& second) {
  const auto group = make_local_group(2, {.slot_bytes = 64});
  std::thread other([&] { second(*group[1]); });
  first(*group[0]);
  other.join();
  EXPECT_EQ(group[0]->status().code(), StatusCode::kAborted);
  EXPECT_EQ(group[0]->status(), group[1]->status());
  return group[0]->status().message();
}

void expect_in(const std::string& part, const std::string& whole) {
  EXPECT_NE(whole.find(part), std::string::npos) << "\"" << part << "\" in: " << whole;
}

TEST(LocalCollective, APeerInAnotherOperationIsAnErrorThatNamesBothSides) {
  const auto gather = [](CollectiveName name, std::size_t bytes) {
    return [name, bytes](Collective& rank) {
      const std::vector<char> mine(bytes);
      std::vector<char> all(2 * bytes);
      rank.all_gather(name, mine.data(), all.data(), bytes);
    };
  };
  const std::string names = disagreement(gather(CollectiveName::kMlp, 8), gather(CollectiveName::kAttention, 8));
  expect_in("rank 0 is in all_gather 1 (mlp, 8 bytes), rank 1 in all_gather 1 (attention, 8 bytes)", names);
  const std::string sizes = disagreement(gather(CollectiveName::kMlp, 8), gather(CollectiveName::kMlp, 1000));
  expect_in("rank 0 is in all_gather 1 (mlp, 8 bytes), rank 1 in all_gather 1 (mlp, 1000 bytes)", sizes);
  const std::string kinds = disagreement(gather(CollectiveName::kMlp, 8), [](Collective& rank) {
    char slices[16] = {}, mine[16] = {};
    rank.exchange(CollectiveName::kMlp, slices, mine, 8);
  });
  expect_in("rank 0 is in all_gather 1 (mlp, 8 bytes), rank 1 in exchange 1 (mlp, 8 bytes)", kinds);
}

TEST(LocalCollective, ARankThatSkipsAnOperationIsNamedAtTheNextOne) {
  const auto layers = [](int skipped) {
    return [skipped](Collective& rank) {
      char mine = 0, all[2] = {};
      for (int layer = 0; layer < 4; layer++) {
        rank.all_gather(CollectiveName::kAttention, &mine, all, 1);
        if (layer != skipped) rank.all_gather(CollectiveName::kMlp, &mine, all, 1);
      }
    };
  };
  const std::string why = disagreement(layers(-1), layers(1));
  expect_in("rank 0 is in all_gather 4 (mlp, 1 bytes), rank 1 in all_gather 4 (attention, 1 bytes)", why);
}

TEST(LocalCollective, AReceiveOfSomethingElseThanWasSentNamesBothSides) {
  const std::string why = disagreement(
      [](Collective& rank) {
        const std::vector<char> data(500);
        rank.send(CollectiveName::kMlp, 1, data.data(), data.size());
      },
      [](Collective& rank) {
        std::vector<char> data(400);
        rank.receive(CollectiveName::kMlp, 0, data.data(), data.size());
      });
  expect_in("rank 0 is in send 1 (mlp, 500 bytes), rank 1 in receive 1 (mlp, 400 bytes)", why);
}

TEST(LocalCollective, ASendNobodyReceivesAndAReceiveNobodySendsEndAtTheDeadline) {
  for (const bool sends : {true, false}) {
    const auto group = make_local_group(3, {.deadline_ms = 20, .slot_bytes = 64});
    std::vector<char> data(1000);
    if (sends) group[1]->send(CollectiveName::kTest, 2, data.data(), data.size());
    if (!sends) group[1]->receive(CollectiveName::kTest, 2, data.data(), data.size());
    expect_in("on rank 1: rank 2 did not come within 20 ms", group[0]->status().message());
  }
}

// ---- aborts and ranks that go no further ----

TEST(LocalCollective, OfManyAbortsAtOnceOneReasonCounts) {
  for (int round = 0; round < 50; round++) {
    const auto group = make_local_group(3);
    std::vector<std::thread> aborters;
    for (int i = 0; i < 6; i++)
      aborters.emplace_back([&group, i] { group[static_cast<std::size_t>(i % 3)]->abort(("reason " + std::to_string(i)).c_str()); });
    on_every_rank(group, [](Collective& rank) {
      std::mt19937 random(1);
      for (unsigned operation = 0; rank.status().ok(); operation++) (void)random_operation(rank, operation, random);
    });
    for (std::thread& aborter : aborters) aborter.join();
    const std::string why = group[0]->status().message();
    EXPECT_EQ(why.rfind("reason ", 0), 0U) << why;
    EXPECT_EQ(why.size(), 8U) << why;
    EXPECT_EQ(group[2]->status().message(), why);
  }
}

TEST(LocalCollective, AReasonOfAnyLengthIsKeptAsFarAsThereIsRoom) {
  const auto group = make_local_group(2);
  group[0]->abort(std::string(100'000, 'x').c_str());
  const std::string kept = group[1]->status().message();
  EXPECT_GT(kept.size(), 100U);
  EXPECT_EQ(kept.find_first_not_of('x'), std::string::npos);
}

// Two processes, so that one can be stopped or killed at any instruction, in memory that both map.
class LocalCollectiveProcesses : public ::testing::Test {
 protected:
  static constexpr int kSize = 2;

  // Rank 1 as a process: random operations until the group is given up, then exit code 0, or 1 after wrong bytes.
  pid_t start_peer() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work(*join(1), nullptr) ? 0 : 1);
    return child;
  }

  std::unique_ptr<Collective> join(int rank) { return join_local_group(memory_, rank, kSize, config_); }

  // False when bytes were wrong while the group was whole.
  static bool work(Collective& rank, std::atomic<unsigned>* done) {
    std::mt19937 random(7);
    for (unsigned operation = 0;; operation++) {
      const bool right = random_operation(rank, operation, random);
      if (!rank.status().ok()) return true;
      if (!right) return false;
      if (done != nullptr) done->store(operation + 1);
    }
  }

  // Rank 0 on a thread beside the peer process; hurt(peer) after some operations, anywhere in one, then the abort: rank 0
  // returns.
  template <class Hurt>
  void expect_return(unsigned operations, const Hurt& hurt) {
    prepare_local_group(memory_.get());
    const pid_t peer = start_peer();
    const auto mine = join(0);
    bool right = false;
    std::thread survivor([&] { right = work(*mine, &done_); });
    while (done_.load() < operations) std::this_thread::sleep_for(std::chrono::microseconds(20));
    for (unsigned pause = 0; pause < operations * 37 % 1000; pause++) spin_pause();
    hurt(peer);
    mine->abort("rank 1 was lost");
    survivor.join();
    EXPECT_TRUE(right);
    EXPECT_EQ(mine->status(), Status(StatusCode::kAborted, "rank 1 was lost"));
    done_ = 0;
    peer_ = peer;
  }

  // Small slots: most operations take many pieces.
  const LocalCollectiveConfig config_{.slot_bytes = 512};
  const std::size_t bytes_ = local_group_bytes(kSize, config_);
  const std::shared_ptr<void> memory_{
      ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
      [bytes = bytes_](void* memory) { ::munmap(memory, bytes); }};
  std::atomic<unsigned> done_{0};
  pid_t peer_ = 0;
};

TEST_F(LocalCollectiveProcesses, APeerKilledAtAnyInstructionHoldsNobodyUpAfterTheAbort) {
  for (unsigned round = 0; round < 60; round++) {
    int status = 0;
    expect_return(1 + round * 61 % 60, [&](pid_t peer) {
      ::kill(peer, SIGKILL);
      ::waitpid(peer, &status, 0);
    });
    EXPECT_TRUE(WIFSIGNALED(status));
  }
}

TEST_F(LocalCollectiveProcesses, AStoppedPeerHoldsNobodyUpAndReturnsWhenItGoesOn) {
  for (unsigned round = 0; round < 30; round++) {
    expect_return(1 + round * 97 % 60, [&](pid_t peer) {
      int status = 0;
      ::kill(peer, SIGSTOP);
      ::waitpid(peer, &status, WUNTRACED);
    });
    int status = 0;
    ::kill(peer_, SIGCONT);
    ::waitpid(peer_, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

}  // namespace
}  // namespace herd
