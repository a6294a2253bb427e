// Settings of the emulator that come from the environment. ctest runs this file once more with the variables set, as
// cuda_emulator_environment (CMakeLists.txt).
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "tests/kernels/cuda/emulator/emulated_memory.h"
#include "tests/kernels/cuda/emulator/emulator.h"

namespace herd::emulator {
namespace {

__global__ void record_order(int* next, int* order) { order[(*next)++] = static_cast<int>(blockIdx.x); }

TEST(Environment, SetsDevicesMemoryScheduleAndAFault) {
  if (std::getenv("HERD_EMULATED_GPU_FAULT") == nullptr) GTEST_SKIP() << "the environment sets nothing";
  int count = 0;
  ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 3);
  std::size_t free_bytes = 0, total_bytes = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_EQ(total_bytes, 65536U);
  DeviceArray<int> next(std::vector<int>{0}), order(3);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(3);
  config.blockDim = dim3(1);
  config.stream = test_stream();
  ASSERT_EQ(cudaLaunchKernelEx(&config, record_order, next.data(), order.data()), cudaSuccess);
  EXPECT_EQ(order.read(), (std::vector<int>{2, 1, 0}));
  EXPECT_EQ(cudaMemsetAsync(order.data(), 0, 4, test_stream()), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(order.data(), 0, 4, test_stream()), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaStreamSynchronize(test_stream()), cudaErrorIllegalAddress);  // it stays
  fail_after(0, cudaSuccess);
}

}  // namespace
}  // namespace herd::emulator
