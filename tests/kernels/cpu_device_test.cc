#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "kernels/bounds/bench_machine.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/dot_check.h"
#include "kernels/cpu/isa_choice.h"
#include "kernels/device.h"

namespace herd {
namespace {

TEST(CpuDevice, SaysWhatItIs) {
  const auto device = make_cpu_device({CpuIsa::kReference, 2});
  ASSERT_TRUE(device);
  EXPECT_EQ((*device)->description(), "cpu reference, 2 threads");
  EXPECT_TRUE((*device)->wait().ok());
}

TEST(CpuDevice, AutoPicksWhatTheChoiceSays) {
  const auto device = make_cpu_device({CpuIsa::kAuto, 1});
  ASSERT_TRUE(device);
  const auto choice = choose_isa(CpuIsa::kAuto, cpu_features(), trials());
  ASSERT_TRUE(choice);
  const auto forced = make_cpu_device({choice->isa, 1});
  ASSERT_TRUE(forced);
  EXPECT_STREQ((*device)->ops().name(), (*forced)->ops().name());
  EXPECT_NE((*device)->description().find(choice->note), std::string::npos);
}

TEST(CpuDevice, ForcedIsaIsWhatRunsOrAUsageError) {
  struct Forced {
    CpuIsa isa;
    const char* name;
    std::string missing;
  };
  const CpuFeatures features = cpu_features();
  for (const Forced& forced : {Forced{CpuIsa::kAvx2, "avx2", features.missing_for_avx2},
                               Forced{CpuIsa::kAvx512, "avx512", features.missing_for_avx512},
                               Forced{CpuIsa::kAvx512Vnni, "avx512-vnni", features.missing_for_avx512_vnni},
                               Forced{CpuIsa::kAvx512Bf16, "avx512-bf16", features.missing_for_avx512_bf16}}) {
    const auto device = make_cpu_device({forced.isa, 1});
    const bool has_other_dots = forced.isa == CpuIsa::kAvx512Bf16 && forced.missing.empty() && !trials().dots().difference.empty();
    if (has_other_dots) {
      ASSERT_FALSE(device);
      EXPECT_EQ(device.error().code(), StatusCode::kUsage);
    } else if (forced.missing.empty()) {
      ASSERT_TRUE(device) << device.error().message();
      EXPECT_EQ((*device)->description(), std::string("cpu ") + forced.name + ", 1 thread");
    } else {
      std::printf("SKIPPED: %s (CPU lacks %s)\n", forced.name, forced.missing.c_str());
      ASSERT_FALSE(device);
      EXPECT_EQ(device.error().code(), StatusCode::kUsage);
      EXPECT_NE(device.error().message().find(forced.missing), std::string::npos);
    }
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
  for (const CpuIsa isa : {CpuIsa::kReference, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Vnni, CpuIsa::kAvx512Bf16}) {
    MachineBenchConfig config;
    config.buffer_bytes = std::size_t{1} << 20;
    config.repeats = 1;
    config.fma_seconds = 1e-4;
    config.isa = isa;
    const auto rates = measure_machine(pool, config);
    ASSERT_TRUE(rates);
    config.small_pages = true;
    const auto both = measure_reads(pool, config);
    ASSERT_TRUE(both);
    EXPECT_EQ(both->rates.size(), 2 * rates->reads.rates.size());
    EXPECT_NE(both->rates.front().page_bytes, both->rates.back().page_bytes);
    EXPECT_GT(rates->reads.best().gb_per_s, 0.0);
    EXPECT_GE(rates->reads.best().streams, 1);
    const CpuFeatures features = cpu_features();
    const bool wide = features.avx512 && (isa == CpuIsa::kAvx512 || isa == CpuIsa::kAvx512Vnni || isa == CpuIsa::kAvx512Bf16);
    const bool vnni = wide ? features.avx512_vnni : features.avx_vnni && isa != CpuIsa::kReference;
    EXPECT_GT(rates->peak(Peak::kFma), 0.0);
    EXPECT_EQ(rates->peak(Peak::kBf16Dot) > 0, wide && features.avx512_bf16);
    EXPECT_EQ(rates->peak(Peak::kInt8Dot) > 0, vnni);
    EXPECT_EQ(rates->peak(Peak::kInt8Pairs) > 0, features.avx2 && isa != CpuIsa::kReference);
    EXPECT_EQ(rates->peak(Peak::kAmxBf16), 0.0);  // of a device that may use anything alone
    EXPECT_EQ(rates->bf16_dots, wide && features.avx512_bf16 && isa == CpuIsa::kAvx512Bf16);
    EXPECT_EQ(rates->threads, 2);
  }
}

}  // namespace
}  // namespace herd
