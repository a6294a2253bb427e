// Groups of GPUs: each rank on a GPU and a thread of its own.
#include "tests/kernels/cuda/cuda_fixture.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <functional>
#include <thread>

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

constexpr std::int64_t kDeadlineMs = 60'000;

class NcclCollectiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto infos = gpu_backend().devices();
    ASSERT_TRUE(infos);
    size_ = std::min<int>(static_cast<int>(infos->size()), 8);
    if (size_ < 2) GTEST_SKIP() << "SKIPPED: groups of GPUs: there is one GPU";
    const auto id = gpu_backend().new_group();
    ASSERT_TRUE(id) << id.error().message();
    id_ = *id;
  }

  // body(rank, device, group) on a thread for each rank, after all have joined and know it.
  void on_all_ranks(std::int64_t deadline_ms, const std::function<void(int, Device&, Collective&)>& body) {
    std::vector<std::thread> threads;
    std::barrier all_joined(size_);
    for (int rank = 0; rank < size_; rank++) {
      threads.emplace_back([&, rank] {
        const auto device = make_device({.gpu = rank, .rank = rank});
        const auto group = gpu_backend().join_group(id_, {rank, size_, kDeadlineMs, deadline_ms, {}}, *device);
        const bool well = group && (*group)->status().ok();
        all_joined.arrive_and_wait();  // nobody aborts before
        ASSERT_TRUE(group) << group.error().message();
        EXPECT_EQ((*group)->rank(), rank);
        EXPECT_EQ((*group)->size(), size_);
        EXPECT_TRUE(well);
        body(rank, *device, **group);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  int size_ = 0;
  GpuGroupId id_;
};

std::vector<unsigned char> bytes_of(int rank, std::size_t bytes) {
  std::vector<unsigned char> values(bytes);
  for (std::size_t i = 0; i < bytes; i++) values[i] = static_cast<unsigned char>(rank * 37 + static_cast<int>(i) * 3);
  return values;
}

TEST_F(NcclCollectiveTest, GathersInRankOrder) {
  on_all_ranks(kDeadlineMs, [this](int rank, Device& device, Collective& group) {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{8}, std::size_t{4096}, std::size_t{100'003}}) {
      std::vector<unsigned char> expected;
      for (int from = 0; from < size_; from++) {
        const auto part = bytes_of(from, bytes);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      const DeviceArray<unsigned char> send(device, bytes_of(rank, bytes));
      const DeviceArray<unsigned char> receive(device, bytes * static_cast<std::size_t>(size_));
      group.all_gather(CollectiveName::kTest, send.data(), receive.data(), bytes);
      EXPECT_EQ(receive.host(), expected) << bytes << " bytes";
      EXPECT_TRUE(receive.border_intact());
    }
    EXPECT_TRUE(device.wait().ok());
    EXPECT_TRUE(group.status().ok());
  });
}

// As in a step of the model: gathered behind what computes it, before what reads it, recorded and repeated.
TEST_F(NcclCollectiveTest, IsPartOfRecordedSteps) {
  on_all_ranks(kDeadlineMs, [this](int rank, Device& device, Collective& group) {
    const DeviceArray<std::int32_t> first(device, std::vector<std::int32_t>{0});
    const DeviceArray<float> input(device, 4), send(device, 4), receive(device, 4 * static_cast<std::size_t>(size_));
    const DeviceArray<float> out(device, 4 * static_cast<std::size_t>(size_));
    const auto copy = [&](const float* from, float* to, std::int64_t count) {
      device.ops().gather_rows({const_cast<float*>(from), DType::kF32, 1, count, count}, first.data(),
                               {to, DType::kF32, 1, count, count});
    };
    for (int step = 0; step < 5; step++) {
      const std::vector<float> mine(4, static_cast<float>(step * 10 + rank));
      device.upload(input.data(), mine.data(), 16);
      device.step_recorder()->run_step(1, [&] {
        copy(input.data(), send.data(), 4);
        group.all_gather(CollectiveName::kTest, send.data(), receive.data(), 16);
        copy(receive.data(), out.data(), 4 * size_);
      });
      std::vector<float> expected;
      for (int from = 0; from < size_; from++) expected.insert(expected.end(), 4, static_cast<float>(step * 10 + from));
      EXPECT_EQ(out.host(), expected) << "step " << step;
    }
    EXPECT_TRUE(device.wait().ok());
  });
}

// NCCL's abort waits for the recorded steps of all ranks: none of them may wait for it before its own are gone.
TEST_F(NcclCollectiveTest, IsAbortedWithStepsRecorded) {
  std::vector<Collective*> members(static_cast<std::size_t>(size_));
  std::barrier recorded(size_);
  on_all_ranks(kDeadlineMs, [&](int rank, Device& device, Collective& group) {
    const DeviceArray<unsigned char> send(device, bytes_of(rank, 8));
    const DeviceArray<unsigned char> receive(device, 8 * static_cast<std::size_t>(size_));
    const auto gather = [&] { group.all_gather(CollectiveName::kTest, send.data(), receive.data(), 8); };
    const auto step = [&] { device.step_recorder()->run_step(1, gather); };
    for (int time = 0; time < 3; time++) step();
    EXPECT_TRUE(device.wait().ok());
    members[static_cast<std::size_t>(rank)] = &group;
    recorded.arrive_and_wait();
    if (rank == 0) {
      for (Collective* member : members) member->abort("no more");
    } else {
      step();
      EXPECT_EQ(device.wait().code(), StatusCode::kInternal);
    }
    EXPECT_EQ(group.status().code(), StatusCode::kAborted);
    recorded.arrive_and_wait();  // nobody goes while members are aborted
  });
}

TEST_F(NcclCollectiveTest, ARankThatDoesNotJoinIsGivenUpAfterTheDeadline) {
  const auto device = make_device();
  const auto group = gpu_backend().join_group(id_, {0, 2, 200, kDeadlineMs, {}}, *device);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code(), StatusCode::kAborted);
  EXPECT_EQ(group.error().message(),
            "gpu 0 (rank 0): ncclCommInitRankConfig: the other ranks did not come within 200 ms");
  EXPECT_TRUE(device->wait().ok());  // the device itself is well
}

TEST_F(NcclCollectiveTest, WaitingForOthersToJoinCanBeGivenUp) {
  const auto device = make_device();
  int asked = 0;
  const auto given_up = [&] { return ++asked < 3 ? Status() : Status(StatusCode::kMissing, "rank 1 has no memory"); };
  const auto group = gpu_backend().join_group(id_, {0, 2, kDeadlineMs, kDeadlineMs, given_up}, *device);
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code(), StatusCode::kAborted);
  EXPECT_EQ(group.error().message(), "gpu 0 (rank 0): rank 1 has no memory");
  EXPECT_TRUE(device->wait().ok());
}

TEST_F(NcclCollectiveTest, ARankThatDoesNotGatherEndsTheStepOfTheOthers) {
  on_all_ranks(300, [this](int rank, Device& device, Collective& group) {
    const DeviceArray<unsigned char> send(device, bytes_of(rank, 8));
    const DeviceArray<unsigned char> receive(device, 8 * static_cast<std::size_t>(size_));
    if (rank == 0) return;
    group.all_gather(CollectiveName::kTest, send.data(), receive.data(), 8);
    const Status status = device.wait();
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_NE(status.message().find("(rank " + std::to_string(rank) + "): "), std::string::npos) << status.message();
    EXPECT_EQ(group.status().code(), StatusCode::kAborted);
    group.all_gather(CollectiveName::kTest, send.data(), receive.data(), 8);  // does nothing
    EXPECT_EQ(device.wait(), status);
  });
}

TEST_F(NcclCollectiveTest, AnAbortOfAnyThreadEndsTheWaitAndItsReasonStays) {
  std::barrier all(size_);
  on_all_ranks(kDeadlineMs, [this, &all](int rank, Device& device, Collective& group) {
    const DeviceArray<unsigned char> send(device, bytes_of(rank, 8));
    const DeviceArray<unsigned char> receive(device, 8 * static_cast<std::size_t>(size_));
    all.arrive_and_wait();  // to here nobody is aborted
    if (rank == 0) {
      all.arrive_and_wait();  // the others have seen an abort of their own
      return group.abort("rank 0 goes");
    }
    group.all_gather(CollectiveName::kTest, send.data(), receive.data(), 8);
    std::thread other([&group] { group.abort("the peer is gone"); });
    const Status status = device.wait();
    other.join();
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_EQ(group.status().message(), "gpu " + std::to_string(rank) + " (rank " + std::to_string(rank) +
                                            "): the peer is gone");
    group.abort("later");
    EXPECT_NE(group.status().message().find("the peer is gone"), std::string::npos);
    all.arrive_and_wait();
  });
}

TEST_F(NcclCollectiveTest, WhatItCannotDoGivesTheGroupUpAndSaysSo) {
  std::barrier ready(size_);
  on_all_ranks(kDeadlineMs, [this, &ready](int rank, Device& device, Collective& group) {
    const DeviceArray<unsigned char> send(device, bytes_of(rank, 8 * static_cast<std::size_t>(size_)));
    const DeviceArray<unsigned char> receive(device, 8 * static_cast<std::size_t>(size_));
    ready.arrive_and_wait();
    group.exchange(CollectiveName::kTest, send.data(), receive.data(), 8);
    EXPECT_EQ(group.status().code(), StatusCode::kAborted);
    EXPECT_NE(group.status().message().find("this group cannot exchange slices"), std::string::npos);
    ready.arrive_and_wait();
  });
}

// What a group's abort ended goes on once the group is left: the device keeps its memory and joins the next one.
TEST_F(NcclCollectiveTest, TheDevicesOfAGroupThatWasGivenUpJoinTheNext) {
  const auto next = gpu_backend().new_group();
  ASSERT_TRUE(next) << next.error().message();
  std::barrier joined(size_);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size_; rank++) {
    ranks.emplace_back([&, rank] {
      const auto device = make_device({.gpu = rank, .rank = rank});
      const DeviceArray<unsigned char> send(*device, bytes_of(rank, 8));
      const DeviceArray<unsigned char> receive(*device, 8 * static_cast<std::size_t>(size_));
      {
        const auto group = gpu_backend().join_group(id_, {rank, size_, kDeadlineMs, kDeadlineMs, {}}, *device);
        joined.arrive_and_wait();
        ASSERT_TRUE(group) << group.error().message();
        if (rank != 0) (*group)->all_gather(send.data(), receive.data(), 8);  // rank 0 does not come
        (*group)->abort("rank 0 died");
        const Status ended = device->wait();
        EXPECT_TRUE(rank == 0 || !ended.ok()) << "its step waited for rank 0";
        device->step_recorder()->forget();
      }
      EXPECT_TRUE(device->wait().ok()) << device->status().message();
      const auto group = gpu_backend().join_group(*next, {rank, size_, kDeadlineMs, kDeadlineMs, {}}, *device);
      ASSERT_TRUE(group) << group.error().message();
      (*group)->all_gather(send.data(), receive.data(), 8);
      std::vector<unsigned char> expected;
      for (int from = 0; from < size_; from++) {
        const auto bytes = bytes_of(from, 8);
        expected.insert(expected.end(), bytes.begin(), bytes.end());
      }
      EXPECT_EQ(receive.host(), expected);
      EXPECT_TRUE(device->wait().ok());
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

}  // namespace
}  // namespace herd
