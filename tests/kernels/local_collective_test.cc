#include "kernels/local_collective.h"

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace herd
