// The emulator's blocks: barriers, shuffles, ballots, products of tensor cores, shared memory, and what ends a process.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "kernels/cuda/instructions.h"
#include "tests/kernels/cuda/emulator/emulated_memory.h"
#include "tests/kernels/cuda/emulator/emulator.h"

namespace herd::cuda {
namespace {

using emulator::Schedule;

constexpr Schedule kSchedules[] = {Schedule::kAscending, Schedule::kDescending, Schedule::kShuffled};

template <class... Params, class... Args>
cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared, Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = emulator::test_stream();
  return cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
}

class Blocks : public ::testing::TestWithParam<Schedule> {
 protected:
  void SetUp() override { emulator::set_schedule(GetParam(), 5); }
  void TearDown() override { emulator::set_schedule(Schedule::kAscending); }
};
INSTANTIATE_TEST_SUITE_P(InAnyOrder, Blocks, ::testing::ValuesIn(kSchedules));

__global__ void write_coordinates(std::uint32_t* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * threads + thread] = block * 1000 + thread;
}

TEST_P(Blocks, EveryThreadOfEveryBlockRunsOnceAtItsCoordinates) {
  emulator::DeviceArray<std::uint32_t> out(2 * 3 * 4 * 60);
  ASSERT_EQ(launch(write_coordinates, dim3(2, 3, 4), dim3(5, 3, 4), 0, out.data()), cudaSuccess);
  const auto result = out.read();
  for (std::uint32_t i = 0; i < result.size(); i++) EXPECT_EQ(result[i], i / 60 * 1000 + i % 60) << i;
}

// Sums in shared memory, one tree a block: wrong as soon as a barrier does not hold.
__global__ void __launch_bounds__(256) sum_blocks(const std::uint32_t* in, std::uint32_t* out) {
  __shared__ std::uint32_t part[256];
  const unsigned thread = threadIdx.x;
  part[thread] = in[blockIdx.x * blockDim.x + thread];
  block_barrier();
  for (unsigned step = blockDim.x / 2; step > 0; step /= 2) {
    if (thread < step) part[thread] += part[thread + step];
    block_barrier();
  }
  if (thread == 0) out[blockIdx.x] = part[0];
}

TEST_P(Blocks, BarriersHoldAllThreadsOfABlock) {
  std::vector<std::uint32_t> in(3 * 256);
  std::iota(in.begin(), in.end(), 7);
  emulator::DeviceArray<std::uint32_t> source(in), out(3);
  ASSERT_EQ(launch(sum_blocks, dim3(3), dim3(256), 0, source.data(), out.data()), cudaSuccess);
  const auto result = out.read();
  for (std::size_t block = 0; block < 3; block++)
    EXPECT_EQ(result[block], std::accumulate(in.begin() + block * 256, in.begin() + (block + 1) * 256, 0U));
}

__global__ void reverse_without_barrier(std::uint32_t* out) {
  __shared__ std::uint32_t values[64];
  values[threadIdx.x] = 0;
  block_barrier();
  values[threadIdx.x] = threadIdx.x + 1;
  out[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];  // a barrier is missing before this line
}

TEST(BlockOrder, AMissingBarrierGivesResultsThatDependOnTheOrder) {
  std::set<std::vector<std::uint32_t>> results;
  for (const Schedule schedule : kSchedules) {
    emulator::set_schedule(schedule, 3);
    emulator::DeviceArray<std::uint32_t> out(64);
    ASSERT_EQ(launch(reverse_without_barrier, dim3(1), dim3(64), 0, out.data()), cudaSuccess);
    results.insert(out.read());
  }
  emulator::set_schedule(Schedule::kAscending);
  EXPECT_EQ(results.size(), std::size(kSchedules));
}

__global__ void record_block_order(std::uint32_t* next, std::uint32_t* order) { order[(*next)++] = blockIdx.x; }

TEST(BlockOrder, BlocksRunInTheOrderOfTheSchedule) {
  std::set<std::vector<std::uint32_t>> orders;
  const auto run = [&](Schedule schedule, std::uint64_t seed) {
    emulator::set_schedule(schedule, seed);
    emulator::DeviceArray<std::uint32_t> next(std::vector<std::uint32_t>{0}), order(40);
    EXPECT_EQ(launch(record_block_order, dim3(40), dim3(1), 0, next.data(), order.data()), cudaSuccess);
    auto result = order.read();
    orders.insert(result);
    std::set<std::uint32_t> each(result.begin(), result.end());
    EXPECT_EQ(each.size(), 40U);
    return result;
  };
  EXPECT_EQ(run(Schedule::kAscending, 1).front(), 0U);
  EXPECT_EQ(run(Schedule::kDescending, 1).front(), 39U);
  EXPECT_EQ(run(Schedule::kShuffled, 1), run(Schedule::kShuffled, 1));
  run(Schedule::kShuffled, 2);
  emulator::set_schedule(Schedule::kAscending);
  EXPECT_EQ(orders.size(), 4U);
}

struct Shuffled {
  std::uint32_t rotated, swapped, down;
  std::uint64_t wide;
  float real;
};
__global__ void shuffle_all(Shuffled* out) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::uint32_t value = threadIdx.x * 10;
  Shuffled result;
  result.rotated = shuffle(value, (lane + 5) % kWarp);
  result.swapped = shuffle_xor(value, 12);
  result.down = shuffle_down(value, 3);
  result.wide = shuffle((std::uint64_t{threadIdx.x} << 40) + 1, 31);
  result.real = shuffle_xor(static_cast<float>(threadIdx.x) + 0.5F, 1);
  out[threadIdx.x] = result;
}

TEST_P(Blocks, ShufflesReadTheLaneThatIsNamed) {
  emulator::DeviceArray<Shuffled> out(96);
  ASSERT_EQ(launch(shuffle_all, dim3(1), dim3(96), 0, out.data()), cudaSuccess);
  const auto result = out.read();
  for (std::uint32_t i = 0; i < 96; i++) {
    const std::uint32_t warp = i / 32 * 32, lane = i % 32;
    EXPECT_EQ(result[i].rotated, (warp + (lane + 5) % 32) * 10);
    EXPECT_EQ(result[i].swapped, (warp + (lane ^ 12)) * 10);
    EXPECT_EQ(result[i].down, (lane + 3 < 32 ? i + 3 : i) * 10);  // past the end: a lane's own value
    EXPECT_EQ(result[i].wide, (std::uint64_t{warp + 31} << 40) + 1);
    EXPECT_EQ(result[i].real, static_cast<float>(i ^ 1) + 0.5F);
  }
}

__global__ void ballot_twice(std::uint32_t* out) {
  out[threadIdx.x] = ballot(threadIdx.x % 3 == 0);
  warp_barrier();
  out[64 + threadIdx.x] = ballot(threadIdx.x == 40);
}

TEST_P(Blocks, ABallotHoldsTheBitOfEveryLane) {
  emulator::DeviceArray<std::uint32_t> out(128);
  ASSERT_EQ(launch(ballot_twice, dim3(1), dim3(64), 0, out.data()), cudaSuccess);
  const auto result = out.read();
  for (std::uint32_t i = 0; i < 64; i++) {
    std::uint32_t thirds = 0;
    for (std::uint32_t lane = 0; lane < 32; lane++) thirds |= ((i / 32 * 32 + lane) % 3 == 0 ? 1U : 0U) << lane;
    EXPECT_EQ(result[i], thirds);
    EXPECT_EQ(result[64 + i], i < 32 ? 0U : 1U << 8);
  }
}

TEST(BlockOrder, FibersServeAnyNumberOfBlocks) {
  constexpr unsigned kBlocks = 50'000;
  emulator::DeviceArray<std::uint32_t> next(std::vector<std::uint32_t>{0}), order(kBlocks);
  ASSERT_EQ(launch(record_block_order, dim3(kBlocks), dim3(1), 0, next.data(), order.data()), cudaSuccess);
  EXPECT_EQ(order.read().back(), kBlocks - 1);
}

// Only the last warp of the block lives on: its collectives do not ask for the others.
__global__ void warps_end_early(std::uint32_t* out) {
  if (threadIdx.x < 64) return;
  out[threadIdx.x - 64] = shuffle(threadIdx.x, 0);
}

TEST_P(Blocks, AWarpMayReturnBeforeTheCollectivesOfAnotherWarp) {
  emulator::DeviceArray<std::uint32_t> out(32);
  ASSERT_EQ(launch(warps_end_early, dim3(1), dim3(96), 0, out.data()), cudaSuccess);
  EXPECT_EQ(out.read(), std::vector<std::uint32_t>(32, 64U));
}

// ---- tensor cores ----

std::uint16_t bf16(float value) {  // of values that bf16 holds exactly
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<std::uint16_t>(bits >> 16);
}

// The fragments of the PTX ISA, "Matrix Fragments for mma.m16n8k16", from row-major matrices in memory.
__global__ void multiply(const std::uint16_t* a, const std::uint16_t* b, float* c) {
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto pair = [](std::uint16_t low, std::uint16_t high) { return low | std::uint32_t{high} << 16; };
  const auto of_a = [&](unsigned row, unsigned k) { return pair(a[row * 16 + k], a[row * 16 + k + 1]); };
  const auto of_b = [&](unsigned k, unsigned col) { return pair(b[k * 8 + col], b[(k + 1) * 8 + col]); };
  const std::uint32_t fragment_a[4] = {of_a(g, 2 * t), of_a(g + 8, 2 * t), of_a(g, 2 * t + 8), of_a(g + 8, 2 * t + 8)};
  const std::uint32_t fragment_b[2] = {of_b(2 * t, g), of_b(2 * t + 8, g)};
  float* const rows[2] = {c + g * 8 + 2 * t, c + (g + 8) * 8 + 2 * t};
  float fragment_c[4] = {rows[0][0], rows[0][1], rows[1][0], rows[1][1]};
  mma_bf16(fragment_c, fragment_a, fragment_b);
  for (int i = 0; i < 4; i++) rows[i / 2][i % 2] = fragment_c[i];
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c) {
  std::vector<std::uint16_t> narrow_a, narrow_b;
  for (const float value : a) narrow_a.push_back(bf16(value));
  for (const float value : b) narrow_b.push_back(bf16(value));
  emulator::DeviceArray<std::uint16_t> device_a(narrow_a), device_b(narrow_b);
  emulator::DeviceArray<float> device_c(c);
  EXPECT_EQ(launch(multiply, dim3(1), dim3(32), 0, device_a.data(), device_b.data(), device_c.data()), cudaSuccess);
  return device_c.read();
}

TEST_P(Blocks, AProductOfSmallIntegersIsThePlainTripleLoop) {
  std::vector<float> a(16 * 16), b(16 * 8), c(16 * 8);
  for (std::size_t i = 0; i < a.size(); i++) a[i] = static_cast<float>(i);            // 0 … 255: bf16 holds them all
  for (std::size_t i = 0; i < b.size(); i++) b[i] = static_cast<float>(i * 7 % 128) - 60;
  for (std::size_t i = 0; i < c.size(); i++) c[i] = static_cast<float>(1000 * i);
  const auto result = product(a, b, c);
  for (std::size_t row = 0; row < 16; row++) {
    for (std::size_t col = 0; col < 8; col++) {
      float sum = c[row * 8 + col];
      for (std::size_t k = 0; k < 16; k++) sum += a[row * 16 + k] * b[k * 8 + col];
      EXPECT_EQ(result[row * 8 + col], sum) << row << ", " << col;
    }
  }
}

TEST(Products, AreRoundedTowardZeroAfterEachGroupOfEight) {
  std::vector<float> a(16 * 16, 0.0F), b(16 * 8, 1.0F), c(16 * 8, 0x1p24F);
  a[0] = 1;                       // row 0: 2^24 + 1, cut to 2^24; then + 3, cut to 2^24 + 2
  a[8] = 3;
  a[16] = 1, a[17] = 3;           // row 1: 2^24 + 4
  a[32] = -1;                     // row 2: 2^24 - 1 is exact
  const auto result = product(a, b, c);
  EXPECT_EQ(result[0], 0x1p24F + 2);
  EXPECT_EQ(result[8], 0x1p24F + 4);
  EXPECT_EQ(result[16], 0x1p24F - 1);
}

TEST(Products, AnElementDependsOnItsRowAndColumnAlone) {
  std::vector<float> a(16 * 16), b(16 * 8), c(16 * 8);
  for (std::size_t i = 0; i < a.size(); i++) a[i] = std::ldexp(1.0F, static_cast<int>(i * 37 % 61) - 30);
  for (std::size_t i = 0; i < b.size(); i++) b[i] = -std::ldexp(1.0F, static_cast<int>(i * 23 % 53) - 26);
  for (std::size_t i = 0; i < c.size(); i++) c[i] = std::ldexp(1.0F, static_cast<int>(i % 40));
  const auto before = product(a, b, c);
  for (std::size_t i = 0; i < a.size(); i++)
    if (i / 16 != 3) a[i] = NAN;
  for (std::size_t i = 0; i < b.size(); i++)
    if (i % 8 != 6) b[i] = INFINITY;
  const auto after = product(a, b, c);
  EXPECT_EQ(after[3 * 8 + 6], before[3 * 8 + 6]);
  EXPECT_TRUE(std::isnan(after[4 * 8 + 6]));
}

// ---- arithmetic ----

__global__ void tiny(float* values, double* more) {
  values[1] = values[0] * 0.5F;
  values[2] = values[0] + 0.0F;
  more[1] = more[0] / 3.0;
}

TEST(Arithmetic, SubnormalsAreFlushedInKernelsAndKeptAround) {
  emulator::DeviceArray<float> values(std::vector<float>{0x1p-126F, -1, -1});
  emulator::DeviceArray<double> more(std::vector<double>{1.0, 0});
  volatile float least = 0x1p-126F;
  ASSERT_EQ(launch(tiny, dim3(1), dim3(1), 0, values.data(), more.data()), cudaSuccess);
  const auto result = values.read();
  EXPECT_EQ(result[1], 0.0F);
  EXPECT_EQ(result[2], 0x1p-126F);
  EXPECT_EQ(more.read()[1], 1.0 / 3.0);
  EXPECT_EQ(least * 0.5F, 0x1p-127F);
}

// ---- shared memory, copies past the registers ----

__global__ void look_at_shared(unsigned char* out, int bytes) {
  for (int i = 0; i < bytes; i++) out[i] = dynamic_shared()[i];
  std::memset(dynamic_shared(), 1, static_cast<std::size_t>(bytes));
}

TEST(SharedMemory, EveryBlockFindsItFullOfNan) {
  emulator::DeviceArray<unsigned char> out(100);
  ASSERT_EQ(launch(look_at_shared, dim3(2), dim3(1), 100, out.data(), 100), cudaSuccess);
  EXPECT_EQ(out.read(), std::vector<unsigned char>(100, 0xff));
}

__global__ void copy_in_groups(const uint4* from, std::uint32_t* seen) {
  auto* shared = reinterpret_cast<uint4*>(dynamic_shared());
  for (int group = 0; group < 3; group++) {
    copy16_async(shared + group, from + group, group != 1);
    copy_commit();
  }
  copy16_async(shared + 3, from + 3, true);  // in no group yet
  seen[0] = shared[0].x;
  copy_wait<2>();
  seen[1] = shared[0].x;
  seen[2] = shared[1].x;
  copy_wait<0>();
  seen[3] = shared[1].x;
  seen[4] = shared[2].w;
  seen[5] = shared[3].x;
  copy_commit();
  copy_wait<0>();
  seen[6] = shared[3].x;
}

TEST(SharedMemory, AsynchronousCopiesAreThereWhenTheyAreWaitedForNotBefore) {
  std::vector<std::uint32_t> in(16);
  std::iota(in.begin(), in.end(), 100);
  emulator::DeviceArray<std::uint32_t> from(in), seen(7);
  ASSERT_EQ(launch(copy_in_groups, dim3(1), dim3(1), 64, reinterpret_cast<const uint4*>(from.data()), seen.data()),
            cudaSuccess);
  const std::uint32_t poison = 0xffffffffU;
  EXPECT_EQ(seen.read(), (std::vector<std::uint32_t>{poison, 100, poison, 0, 111, poison, 112}));
}

__global__ void load_both(const std::uint32_t* from, std::uint32_t* out) {
  const uint4 kept = load16(from), streamed = load16_streaming(from + 4);
  const std::uint32_t all[8] = {kept.x, kept.y, kept.z, kept.w, streamed.x, streamed.y, streamed.z, streamed.w};
  for (int i = 0; i < 8; i++) out[i] = all[i];
}

TEST(Loads, SixteenBytesComeInOrder) {
  const std::vector<std::uint32_t> in = {1, 2, 3, 4, 5, 6, 7, 8};
  emulator::DeviceArray<std::uint32_t> from(in), out(8);
  ASSERT_EQ(launch(load_both, dim3(1), dim3(1), 0, from.data(), out.data()), cudaSuccess);
  EXPECT_EQ(out.read(), in);
}

// ---- what ends the process ----

__global__ void one_lane_stays_away() {
  if (threadIdx.x % 32 != 9) warp_barrier();
}
__global__ void lanes_diverge() {
  if (threadIdx.x < 16)
    shuffle(1, 0);
  else
    ballot(true);
}
__global__ void one_thread_returns() {
  if (threadIdx.x == 70) return;
  block_barrier();
}
__global__ void misses(const unsigned char* from) { load16(from + 4); }
__global__ void overruns_shared(int at) { dynamic_shared()[at] = 1; }
__global__ void overruns_global(float* values, int at) { values[at] = 1; }

void run(void (*kernel)(), unsigned threads) {
  launch(kernel, dim3(1), dim3(threads), 0);
  cudaStreamSynchronize(emulator::test_stream());
}

TEST(BlocksDeathTest, ACollectiveThatNotAllReachEndsTheProcessNamingKernelAndCollective) {
  EXPECT_DEATH(run(one_lane_stays_away, 32),
               "one_lane_stays_away.*threads 0 to 8 wait in warp_barrier; threads 9 to 9 have returned");
  EXPECT_DEATH(run(lanes_diverge, 32), "lanes_diverge.*divergence.*ballot.*shuffle");
  EXPECT_DEATH(run(one_thread_returns, 96),
               "one_thread_returns.*wait in block_barrier; threads 70 to 70 have returned");
  EXPECT_DEATH(run(one_lane_stays_away, 40), "a warp that is not full");
}

TEST(BlocksDeathTest, AMisalignedLoadEndsTheProcess) {
  emulator::DeviceArray<unsigned char> bytes(64);
  EXPECT_DEATH(
      {
        launch(misses, dim3(1), dim3(1), 0, bytes.data());
        cudaStreamSynchronize(emulator::test_stream());
      },
      "misses.*not aligned to 16");
}

TEST(BlocksDeathTest, AddressSanitizerFindsAnOverrun) {
#if !defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "built without AddressSanitizer";
#endif
  emulator::DeviceArray<float> values(24);
  EXPECT_DEATH(
      {
        launch(overruns_shared, dim3(1), dim3(1), 100, 100);
        cudaStreamSynchronize(emulator::test_stream());
      },
      "heap-buffer-overflow");
  EXPECT_DEATH(
      {
        launch(overruns_global, dim3(1), dim3(1), 0, values.data(), 24);
        cudaStreamSynchronize(emulator::test_stream());
      },
      "heap-buffer-overflow");
}

}  // namespace
}  // namespace herd::cuda
