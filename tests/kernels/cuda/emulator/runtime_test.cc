// The emulator's runtime: memory, copies, streams, events, graphs and launches behave as strictly as a GPU's.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "tests/kernels/cuda/emulator/emulated_memory.h"
#include "tests/kernels/cuda/emulator/emulator.h"

namespace herd::emulator {
namespace {

constexpr std::size_t kKiB = 1024;

class Runtime : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaMallocHost(&pinned_, 4 * sizeof(int)), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&device_, 4 * sizeof(int)), cudaSuccess);
    for (int i = 0; i < 4; i++) pinned_[i] = i + 1;
  }
  void TearDown() override {
    fail_after(0, cudaSuccess);
    set_devices(1);
    set_memory(std::size_t{2} << 30);
    EXPECT_EQ(cudaFree(device_), cudaSuccess);
    EXPECT_EQ(cudaFreeHost(pinned_), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    (void)cudaGetLastError();
  }

  cudaError_t upload() { return cudaMemcpyAsync(device_, pinned_, 16, cudaMemcpyHostToDevice, stream_); }
  cudaError_t download() { return cudaMemcpyAsync(pinned_, device_, 16, cudaMemcpyDeviceToHost, stream_); }
  template <class... Params, class... Args>
  cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared, Args... args) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream_;
    return cudaLaunchKernelEx(&config, kernel, args...);
  }

  cudaStream_t stream_ = nullptr, other_ = nullptr;
  cudaEvent_t event_ = nullptr;
  int* pinned_ = nullptr;
  int* device_ = nullptr;
};

__global__ void add_to_all(int* values, int what) { values[threadIdx.x] += what; }
__global__ void do_nothing() {}
struct Nested {
  int count;
  const int* values;
};
__global__ void read_nested(Nested nested, int* out) { out[0] = nested.values[0]; }

// ---- memory ----

TEST_F(Runtime, FreshMemoryIsFullOfOnes) {
  EXPECT_EQ(download(), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  for (int i = 0; i < 4; i++) EXPECT_EQ(pinned_[i], -1);
}

TEST_F(Runtime, MemoryIsCountedAndRefusedWhenThereIsNoMore) {
  std::size_t before = 0, after = 0, total = 0;
  set_memory(kKiB * kKiB);
  ASSERT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
  EXPECT_EQ(total, kKiB * kKiB);
  void* half = nullptr;
  ASSERT_EQ(cudaMalloc(&half, 512 * kKiB), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_EQ(before - after, 512 * kKiB);
  void* more = &total;
  EXPECT_EQ(cudaMalloc(&more, 512 * kKiB), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, SIZE_MAX), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(half), cudaSuccess);
  EXPECT_EQ(cudaFree(half), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_EQ(before, after);
}

TEST_F(Runtime, DevicesAreAsManyAsSetAndHaveMemoryOfTheirOwn) {
  set_devices(2);
  int count = 0, device = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  std::size_t free_before = 0, free_after = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_before, &total), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 512), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_after, &total), cudaSuccess);
  EXPECT_EQ(total - free_after, 512U);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_after, &total), cudaSuccess);
  EXPECT_EQ(free_after, free_before);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Runtime, WithoutDevicesEveryCallSaysSo) {
  set_devices(0);
  int count = 5, version = 5;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  EXPECT_EQ(cudaDriverGetVersion(&version), cudaSuccess);
  EXPECT_EQ(version, 0);
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, 0), cudaErrorNoDevice);
  set_devices(1);
}

TEST_F(Runtime, ADeviceSaysWhatItIs) {
  cudaDeviceProp properties;
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "emulated GPU");
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.minor, 9);
  int value = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  EXPECT_EQ(static_cast<std::size_t>(value), properties.sharedMemPerBlockOptin);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
}

// ---- streams and copies ----

TEST_F(Runtime, NothingRunsBeforeSomeoneWaits) {
  ASSERT_EQ(upload(), cudaSuccess);
  ASSERT_EQ(launch(add_to_all, dim3(1), dim3(4), 0, device_, 10), cudaSuccess);
  ASSERT_EQ(download(), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  EXPECT_EQ(device_[0], -1);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 11);
  EXPECT_EQ(pinned_[3], 14);
}

TEST_F(Runtime, PinnedMemoryIsReadWhenTheCopyRunsPageableMemoryAtTheCall) {
  int pageable[4] = {5, 6, 7, 8};
  ASSERT_EQ(cudaMemcpyAsync(device_, pageable, 16, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  pageable[0] = 50;
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(device_[0], 5);
  ASSERT_EQ(upload(), cudaSuccess);
  pinned_[0] = 100;
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(device_[0], 100);
}

TEST_F(Runtime, ACopyToPageableMemoryIsDoneWhenTheCallReturns) {
  int pageable[4] = {};
  ASSERT_EQ(upload(), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pageable, device_, 16, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_EQ(pageable[3], 4);
}

TEST_F(Runtime, CopiesOutsideOfAllocationsOrOfTheWrongKindAreRefused) {
  int pageable[8] = {};
  EXPECT_EQ(cudaMemcpyAsync(device_, pageable, 17, cudaMemcpyHostToDevice, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(device_ + 2, pageable, 12, cudaMemcpyHostToDevice, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(pageable, device_, 16, cudaMemcpyHostToDevice, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(pageable, pinned_, 16, cudaMemcpyDeviceToHost, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(pageable, 0, 16, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(device_, 0, 17, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(device_, pinned_, 16, cudaMemcpyHostToDevice, nullptr), cudaErrorInvalidResourceHandle);
}

TEST_F(Runtime, MemsetFillsSmallAndLargeRangesAndNothingBeside) {
  constexpr std::size_t kBytes = 3 * kKiB * kKiB;
  DeviceArray<unsigned char> bytes(kBytes);
  ASSERT_EQ(cudaMemsetAsync(bytes.data() + 100, 0, kBytes - 300, test_stream()), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(bytes.data() + 50, 7, 10, test_stream()), cudaSuccess);
  const auto result = bytes.read();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kBytes; i++) {
    const int expected = i >= 50 && i < 60 ? 7 : i >= 100 && i < kBytes - 200 ? 0 : 0xff;
    wrong += result[i] != expected ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0U);
}

TEST_F(Runtime, FreeingMemoryWaitsForTheWorkOfItsDevice) {
  int* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 16), cudaSuccess);
  ASSERT_EQ(upload(), cudaSuccess);
  ASSERT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(device_[1], 2);
}

TEST_F(Runtime, ADestroyedHandleIsRefused) {
  cudaStream_t gone = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&gone, 0), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(gone), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(gone), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaStreamDestroy(gone), cudaErrorInvalidResourceHandle);
}

// ---- events ----

TEST_F(Runtime, AQueryRunsOneOperationAndIsNotReadyAtFirst) {
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);  // never recorded
  ASSERT_EQ(upload(), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  ASSERT_EQ(launch(add_to_all, dim3(1), dim3(4), 0, device_, 1), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_EQ(device_[0], 1);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(event_), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(device_[0], 1);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess);
  EXPECT_EQ(device_[0], 2);
}

TEST_F(Runtime, WaitingForAnEventRunsWhatWasQueuedBeforeIt) {
  ASSERT_EQ(upload(), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  ASSERT_EQ(launch(add_to_all, dim3(1), dim3(4), 0, device_, 1), cudaSuccess);
  ASSERT_EQ(cudaEventSynchronize(event_), cudaSuccess);
  EXPECT_EQ(device_[0], 1);
}

TEST_F(Runtime, AStreamWaitsForAnEventOfAnotherAsItWasRecordedAtTheCall) {
  ASSERT_EQ(upload(), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other_, event_), cudaSuccess);
  ASSERT_EQ(launch(add_to_all, dim3(1), dim3(4), 0, device_, 1), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(pinned_, device_ + 3, 4, cudaMemcpyDeviceToHost, other_), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 4);
}

TEST_F(Runtime, TimesAreOfWhenTheStreamCameByAndNeverZero) {
  cudaEvent_t begin = nullptr, end = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&begin, 0), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&end, 0), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(begin, stream_), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(end, stream_), cudaSuccess);
  float milliseconds = 0;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorNotReady);
  ASSERT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaSuccess);
  EXPECT_GT(milliseconds, 0.0F);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, event_), cudaErrorInvalidResourceHandle);  // keeps no time
  EXPECT_EQ(cudaEventDestroy(begin), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
}

// ---- graphs ----

TEST_F(Runtime, AGraphRepeatsWhatWasRecordedWithItsParameters) {
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(upload(), cudaSuccess);
  int what = 5;
  ASSERT_EQ(launch(add_to_all, dim3(1), dim3(4), 0, device_, what), cudaSuccess);
  what = 6;
  ASSERT_EQ(download(), cudaSuccess);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);  // recorded, not run
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  for (int launches = 0; launches < 3; launches++) ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 1);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(pinned_[0], 16);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaErrorInvalidValue);
}

TEST_F(Runtime, ForbiddenCallsFailAndSpoilTheCapture) {
  int pageable[4] = {};
  void* memory = nullptr;
  const auto attempt = [&](const std::function<cudaError_t()>& forbidden) {
    EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(forbidden(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(upload(), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(upload(), cudaSuccess);  // an ordinary stream again
  };
  attempt([&] { return cudaMalloc(&memory, 16); });
  attempt([&] { return cudaFree(device_); });
  attempt([&] { return cudaMallocHost(&memory, 16); });
  attempt([&] { return cudaStreamSynchronize(stream_); });
  attempt([&] { return cudaStreamQuery(stream_); });
  attempt([&] { return cudaEventQuery(event_); });
  attempt([&] { return cudaEventSynchronize(event_); });
  attempt([&] { return cudaMemcpyAsync(pageable, device_, 16, cudaMemcpyDeviceToHost, stream_); });
  attempt([&] { return cudaMemcpyAsync(device_, pageable, 16, cudaMemcpyHostToDevice, stream_); });
}

TEST_F(Runtime, OtherThreadsMayAllocateDuringAThreadLocalCaptureNotDuringAGlobalOne) {
  const auto elsewhere = [] {
    cudaError_t result = cudaSuccess;
    std::thread([&] {
      void* memory = nullptr;
      result = cudaMalloc(&memory, 16);
      if (result == cudaSuccess) result = cudaFree(memory);
    }).join();
    return result;
  };
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(elsewhere(), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(elsewhere(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Runtime, ACaptureBeginsOnceAndEndsInItsThread) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorIllegalState);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  std::thread([&] { EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureWrongThread); }).join();
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(Runtime, EventsOfACaptureOrderItAndCannotBeWaitedFor) {
  cudaEvent_t outside = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&outside, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(outside, other_), cudaSuccess);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event_), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event_), cudaErrorCapturedEvent);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, outside), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaEventDestroy(outside), cudaSuccess);
}

// ---- launches ----

TEST_F(Runtime, LaunchesBeyondTheLimitsAreRefused) {
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);  // checked, not run
  EXPECT_EQ(launch(do_nothing, dim3(1, 65535, 1), dim3(1), 0), cudaSuccess);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(1024), 48 * kKiB), cudaSuccess);
  EXPECT_EQ(launch(do_nothing, dim3(0), dim3(32), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(do_nothing, dim3(1, 65536), dim3(32), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(do_nothing, dim3(1, 1, 65536), dim3(32), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(do_nothing, dim3(1U << 31), dim3(32), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(0), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(1025), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(32, 32, 2), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(Runtime, MoreSharedMemoryThanUsualIsAskedForFirst) {
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(32), 48 * kKiB + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(do_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * kKiB), cudaSuccess);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(32), 100 * kKiB), cudaSuccess);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(32), 100 * kKiB + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(do_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * kKiB + 1),
            cudaErrorInvalidValue);
}

TEST_F(Runtime, AddressesOfOrdinaryHostMemoryAreNoParameters) {
  int on_stack[4] = {};
  std::vector<int> on_heap(4);
  EXPECT_EQ(launch(add_to_all, dim3(1), dim3(4), 0, &on_stack[0], 1), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(read_nested, dim3(1), dim3(1), 0, Nested{3, on_heap.data()}, device_), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(read_nested, dim3(1), dim3(1), 0, Nested{3, device_}, pinned_), cudaSuccess);
}

// ---- planned faults ----

TEST_F(Runtime, TheCallThatIsToFailFailsOnce) {
  fail_after(2, cudaErrorMemoryAllocation);
  EXPECT_EQ(upload(), cudaSuccess);
  EXPECT_EQ(upload(), cudaErrorMemoryAllocation);
  EXPECT_EQ(upload(), cudaSuccess);
  fail_after(1, cudaErrorMemoryAllocation, "cudaMalloc");
  void* memory = nullptr;
  EXPECT_EQ(upload(), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorMemoryAllocation);
}

TEST_F(Runtime, AnErrorThatEndsAContextStays) {
  fail_after(1, cudaErrorIllegalAddress, "cudaLaunchKernelEx");
  EXPECT_EQ(upload(), cudaSuccess);
  EXPECT_EQ(launch(do_nothing, dim3(1), dim3(1), 0), cudaErrorIllegalAddress);
  EXPECT_EQ(upload(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorIllegalAddress);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
  fail_after(0, cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
}

TEST_F(Runtime, ThreadsUseStreamsOfTheirOwnAtTheSameTime) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 4; rank++) {
    threads.emplace_back([rank] {
      cudaStream_t stream = nullptr;
      int* values = nullptr;
      EXPECT_EQ(cudaStreamCreateWithFlags(&stream, 0), cudaSuccess);
      EXPECT_EQ(cudaMalloc(&values, 64 * sizeof(int)), cudaSuccess);
      EXPECT_EQ(cudaMemsetAsync(values, 0, 64 * sizeof(int), stream), cudaSuccess);
      cudaLaunchConfig_t config = {};
      config.gridDim = dim3(1);
      config.blockDim = dim3(64);
      config.stream = stream;
      for (int i = 0; i < 50; i++) {
        EXPECT_EQ(cudaLaunchKernelEx(&config, add_to_all, values, rank), cudaSuccess);
        if (i % 10 == 0) {
          EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
        }
      }
      std::vector<int> result(64);
      EXPECT_EQ(cudaMemcpyAsync(result.data(), values, 64 * sizeof(int), cudaMemcpyDeviceToHost, stream), cudaSuccess);
      EXPECT_EQ(result, std::vector<int>(64, 50 * rank));
      EXPECT_EQ(cudaFree(values), cudaSuccess);
      EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace herd::emulator
