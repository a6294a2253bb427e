#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/bounds/bench_machine.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/device.h"

namespace herd {
namespace {

TEST(CpuDevice, SaysWhatItIs) {
  const auto device = make_cpu_device({CpuIsa::kReference, 2});
  ASSERT_TRUE(device);
  EXPECT_EQ((*device)->description(), "cpu reference, 2 threads");
  EXPECT_TRUE((*device)->wait().ok());
}

TEST(CpuDevice, AutoPicksTheBestOfThisCpu) {
  const auto device = make_cpu_device({CpuIsa::kAuto, 1});
  ASSERT_TRUE(device);
  const CpuFeatures features = cpu_features();
  const char* best = features.avx512 ? "avx512" : features.avx2 ? "avx2" : "reference";
  EXPECT_STREQ((*device)->ops().name(), best);
}

TEST(CpuDevice, ForcedIsaThatIsMissingIsAUsageError) {
  const CpuFeatures features = cpu_features();
  if (!features.avx512) {
    const auto device = make_cpu_device({CpuIsa::kAvx512, 1});
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code(), StatusCode::kUsage);
    EXPECT_NE(device.error().message().find(features.missing_for_avx512), std::string::npos);
  }
  if (!features.avx2) {
    const auto device = make_cpu_device({CpuIsa::kAvx2, 1});
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code(), StatusCode::kUsage);
  }
}

TEST(CpuDevice, ThreadCountsOutOfRangeAreUsageErrors) {
  for (const int threads : {-1, 100000}) {
    const auto device = make_cpu_device({CpuIsa::kReference, threads});
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code(), StatusCode::kUsage);
  }
}

TEST(CpuDevice, RefusesANicenessThatThereIsNot) {
  for (const int nice : {-1, 20}) {
    const auto device = make_cpu_device({.isa = CpuIsa::kReference, .threads = 1, .nice = nice});
    ASSERT_FALSE(device.has_value());
    EXPECT_EQ(device.error().code(), StatusCode::kUsage);
  }
}

TEST(CpuDevice, BuffersAreAlignedZeroedAndWritable) {
  const auto device = make_cpu_device({CpuIsa::kReference, 1});
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{5000}, std::size_t{5} << 20}) {
    auto buffer = (*device)->allocate(bytes, "test");
    ASSERT_TRUE(buffer);
    EXPECT_EQ((*buffer)->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*buffer)->data()) % 64, 0U);
    auto* data = static_cast<unsigned char*>((*buffer)->data());
    for (std::size_t i = 0; i < bytes; i += 997) {
      EXPECT_EQ(data[i], 0);
      data[i] = 1;
    }
  }
}

TEST(CpuDevice, TooMuchMemoryIsRefusedWithBothNumbers) {
  const auto device = make_cpu_device({CpuIsa::kReference, 1});
  for (const std::size_t bytes : {std::size_t{1} << 50, std::numeric_limits<std::size_t>::max()}) {
    const auto buffer = (*device)->allocate(bytes, "KV pool");
    ASSERT_FALSE(buffer);
    EXPECT_EQ(buffer.error().code(), StatusCode::kMissing);
    EXPECT_NE(buffer.error().message().find("KV pool"), std::string::npos);
    EXPECT_NE(buffer.error().message().find("MiB"), std::string::npos);
  }
}

// Rates are not asserted: a loaded machine is not a broken one.
TEST(BenchMachine, MeasuresEveryKernelSetOfThisCpu) {
  ThreadPool pool(2);
  for (const CpuIsa isa : {CpuIsa::kReference, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
    MachineBenchConfig config;
    config.buffer_bytes = std::size_t{1} << 20;
    config.repeats = 1;
    config.fma_seconds = 1e-4;
    config.isa = isa;
    const auto rates = measure_machine(pool, config);
    ASSERT_TRUE(rates);
    EXPECT_GT(rates->read_gb_per_s, 0.0);
    EXPECT_GT(rates->fma_gflop_per_s, 0.0);
    EXPECT_GE(rates->read_streams, 1);
    EXPECT_EQ(rates->threads, 2);
  }
}

}  // namespace
}  // namespace herd
