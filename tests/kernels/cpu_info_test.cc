#include "kernels/cpu/cpu_info.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/device.h"

namespace herd {
namespace {

// A folder that looks like the root of a machine.
class FakeRoot {
 public:
  FakeRoot() : path_(std::filesystem::temp_directory_path() / ("herd_cpu_info_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = path_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(CpuInfo, NoCgroupMeansNoQuota) {
  const FakeRoot root;
  EXPECT_FALSE(cgroup_cpu_quota(root.path()));
  EXPECT_FALSE(cgroup_memory_left(root.path()));
}

TEST(CpuInfo, Version2QuotaIsTheLowestOnTheWayUp) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/a/b\n");
  root.write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 1.5);
  root.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 0.5);
}

TEST(CpuInfo, Version2QuotaOfAContainerLiesAtTheMount) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/system.slice/not-visible-inside\n");
  root.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 4.0);
}

TEST(CpuInfo, Version1Quota) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/x\n");
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "250000\n");
  root.write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 2.5);
}

TEST(CpuInfo, MemoryLeftCountsDroppableCacheAsFree) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/\n");
  root.write("sys/fs/cgroup/memory.max", "1000\n");
  root.write("sys/fs/cgroup/memory.current", "700\n");
  root.write("sys/fs/cgroup/memory.stat", "anon 100\nactive_file 50\ninactive_file 200\n");
  root.write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable:     50 kB\n");
  EXPECT_EQ(cgroup_memory_left(root.path()), 550U) << "also what was read twice, as a model's file is";
  EXPECT_EQ(available_memory_bytes(root.path()), 550U);
  root.write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 50U * 1024);
}

TEST(CpuInfo, Version1MemoryLimit) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "5:memory:/box\n");
  root.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "5000\n");
  root.write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "6000\n");
  EXPECT_EQ(cgroup_memory_left(root.path()), 0U);
  root.write("sys/fs/cgroup/memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 1500\ntotal_active_file 500\n");
  EXPECT_EQ(cgroup_memory_left(root.path()), 1000U);
}

TEST(CpuInfo, BrokenFilesAreIgnored) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "nonsense\n0:\n::\n0::relative\n");
  root.write("sys/fs/cgroup/cpu.max", "");
  root.write("sys/fs/cgroup/memory.max", "99999999999999999999999999\n");
  root.write("sys/fs/cgroup/memory.current", "x");
  EXPECT_FALSE(cgroup_cpu_quota(root.path()));
  EXPECT_FALSE(cgroup_memory_left(root.path()));
}

TEST(CpuInfo, ThisMachineHasACpuAndMemory) {
  EXPECT_GE(usable_cpus(), 1);
  EXPECT_GT(available_memory_bytes(), 0U);
  const CpuFeatures features = cpu_features();
  EXPECT_EQ(features.avx2, features.missing_for_avx2.empty());
  EXPECT_EQ(features.avx512, features.missing_for_avx512.empty());
  EXPECT_EQ(features.avx512_bf16, features.missing_for_avx512_bf16.empty());
  if (features.avx512) {
    EXPECT_TRUE(features.avx2);
  }
  if (features.avx512_bf16) {
    EXPECT_TRUE(features.avx512);
  }
}

}  // namespace
}  // namespace herd
