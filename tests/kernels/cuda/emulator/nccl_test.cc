// The emulator's NCCL: two ranks on two threads with a GPU each.
#include <gtest/gtest.h>
#include <nccl.h>

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

#include "tests/kernels/cuda/emulator/emulator.h"

namespace herd::emulator {
namespace {

struct Rank {
  int rank = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  int* memory = nullptr;  // [3]: sent, received from 0, received from 1

  [[nodiscard]] ncclResult_t gather(std::size_t count = 1) const {
    return ncclAllGather(memory, memory + 1, count, ncclInt32, comm, stream);
  }
  void set(int value) const {
    EXPECT_EQ(cudaMemcpyAsync(memory, &value, 4, cudaMemcpyHostToDevice, stream), cudaSuccess);
  }
  [[nodiscard]] std::vector<int> received() const {
    std::vector<int> values(2);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), memory + 1, 8, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    return values;
  }
  [[nodiscard]] ncclResult_t state() const {
    ncclResult_t error = ncclInternalError;
    EXPECT_EQ(ncclCommGetAsyncError(comm, &error), ncclSuccess);
    return error;
  }
};

class Nccl : public ::testing::Test {
 protected:
  void SetUp() override {
    set_devices(2);
    ASSERT_EQ(ncclGetUniqueId(&id_), ncclSuccess);
  }
  void TearDown() override {
    settings().set_nccl_deadline_ms(60'000);
    set_devices(1);
  }

  // Runs `body` on two threads, each a rank that has joined.
  void on_both(int blocking, const std::function<void(Rank&)>& body) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; rank++) {
      threads.emplace_back([this, rank, blocking, &body] {
        Rank self;
        self.rank = rank;
        EXPECT_EQ(cudaSetDevice(rank), cudaSuccess);
        EXPECT_EQ(cudaStreamCreateWithFlags(&self.stream, cudaStreamNonBlocking), cudaSuccess);
        EXPECT_EQ(cudaMalloc(&self.memory, 12), cudaSuccess);
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = blocking;
        EXPECT_EQ(ncclCommInitRankConfig(&self.comm, 2, id_, rank, &config),
                  blocking != 0 ? ncclSuccess : ncclInProgress);
        while (self.state() == ncclInProgress) std::this_thread::yield();
        body(self);
        EXPECT_EQ(cudaFree(self.memory), cudaSuccess);
        EXPECT_EQ(cudaStreamDestroy(self.stream), cudaSuccess);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  ncclUniqueId id_ = {};
};

TEST_F(Nccl, EveryRankGetsThePartsOfAllInTheOrderOfRanks) {
  on_both(1, [](Rank& self) {
    for (int round = 0; round < 3; round++) {
      self.set(100 * round + self.rank);
      EXPECT_EQ(self.gather(), ncclSuccess);
      EXPECT_EQ(self.received(), (std::vector<int>{100 * round, 100 * round + 1}));
    }
    EXPECT_EQ(ncclCommFinalize(self.comm), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, TheFirstCallsOfANonBlockingCommunicatorAreInProgress) {
  on_both(0, [](Rank& self) {
    self.set(self.rank + 5);
    EXPECT_EQ(self.gather(), ncclInProgress);
    EXPECT_EQ(self.gather(), ncclInvalidUsage);  // not before it has been asked
    EXPECT_EQ(self.state(), ncclInProgress);
    EXPECT_EQ(self.state(), ncclSuccess);
    EXPECT_EQ(self.gather(), ncclSuccess);
    EXPECT_EQ(self.received(), (std::vector<int>{5, 6}));
    EXPECT_EQ(ncclCommFinalize(self.comm), ncclInProgress);
    while (self.state() == ncclInProgress) {
    }
    EXPECT_EQ(ncclCommDestroy(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, AGatherInAGraphGathersAtEveryLaunch) {
  on_both(1, [](Rank& self) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(self.gather(), ncclSuccess);
    EXPECT_EQ(cudaStreamEndCapture(self.stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    for (int round = 1; round < 4; round++) {
      self.set(10 * round + self.rank);
      EXPECT_EQ(cudaGraphLaunch(exec, self.stream), cudaSuccess);
      EXPECT_EQ(self.received(), (std::vector<int>{10 * round, 10 * round + 1}));
    }
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(ncclCommDestroy(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, ACommunicatorDoesNotEndBeforeTheGraphsThatHoldItsGathers) {
  on_both(0, [](Rank& self) {
    self.set(self.rank);
    EXPECT_EQ(self.gather(), ncclInProgress);
    while (self.state() == ncclInProgress) {
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(self.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(self.gather(), ncclSuccess);
    EXPECT_EQ(cudaStreamEndCapture(self.stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(ncclCommFinalize(self.comm), ncclInProgress);
    for (int asked = 0; asked < 5; asked++) EXPECT_EQ(self.state(), ncclInProgress);
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    while (self.state() == ncclInProgress) {
    }
    EXPECT_EQ(ncclCommDestroy(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, AnAbortWakesTheRankThatWaits) {
  std::barrier both(2);
  on_both(1, [&](Rank& self) {
    self.set(1);
    if (self.rank == 0) {
      EXPECT_EQ(self.gather(), ncclSuccess);
      both.arrive_and_wait();
      EXPECT_EQ(self.received(), (std::vector<int>{-1, -1}));
      EXPECT_EQ(self.state(), ncclRemoteError);
    } else {
      both.arrive_and_wait();
    }
    EXPECT_EQ(ncclCommAbort(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, AQueryDoesNotWaitForOtherRanks) {
  std::barrier both(2);
  on_both(1, [&](Rank& self) {
    self.set(self.rank);
    EXPECT_EQ(self.gather(), ncclSuccess);
    for (int i = 0; self.rank == 0 && i < 10; i++) {
      EXPECT_EQ(cudaStreamQuery(self.stream), cudaErrorNotReady);
    }
    both.arrive_and_wait();
    EXPECT_EQ(self.received(), (std::vector<int>{0, 1}));
    EXPECT_EQ(ncclCommDestroy(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, ARankThatNeverComesIsGivenUpAfterTheDeadline) {
  std::barrier both(2);
  on_both(1, [&](Rank& self) {
    both.arrive_and_wait();
    settings().set_nccl_deadline_ms(20);
    if (self.rank == 0) {
      EXPECT_EQ(self.gather(), ncclSuccess);
      EXPECT_EQ(self.received(), (std::vector<int>{-1, -1}));
      EXPECT_EQ(self.state(), ncclSystemError);
    }
    both.arrive_and_wait();
    EXPECT_EQ(ncclCommAbort(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, RanksThatSendDifferentCountsHearSo) {
  on_both(1, [](Rank& self) {
    self.set(1);
    const ncclResult_t queued = ncclAllGather(self.memory, self.memory + 1, self.rank == 0 ? 4 : 3, ncclInt8, self.comm,
                                              self.stream);
    EXPECT_EQ(queued, ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(self.stream), cudaSuccess);
    EXPECT_EQ(self.state(), ncclInvalidUsage);
    EXPECT_EQ(ncclCommAbort(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, MemoryOfTheHostAndBuffersTooShortAreRefused) {
  on_both(1, [](Rank& self) {
    int host[3] = {};
    EXPECT_EQ(ncclAllGather(host, self.memory, 1, ncclInt32, self.comm, self.stream), ncclInvalidArgument);
    EXPECT_EQ(self.gather(2), ncclInvalidArgument);
    EXPECT_EQ(ncclCommDestroy(self.comm), ncclSuccess);
  });
}

TEST_F(Nccl, TwoRanksOnOneGpuAreRefused) {
  ncclComm_t first = nullptr, second = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  EXPECT_EQ(ncclCommInitRankConfig(&first, 2, id_, 0, &config), ncclInProgress);
  EXPECT_EQ(ncclCommInitRankConfig(&second, 2, id_, 1, &config), ncclInvalidUsage);
  ncclResult_t error = ncclSuccess;
  EXPECT_EQ(ncclCommGetAsyncError(first, &error), ncclSuccess);
  EXPECT_EQ(error, ncclInvalidUsage);
  EXPECT_EQ(ncclCommAbort(first), ncclSuccess);
}

}  // namespace
}  // namespace herd::emulator
