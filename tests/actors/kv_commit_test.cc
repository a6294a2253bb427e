#include "actors/ranks/kv_commit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/mman.h>

#include "kernels/device.h"

namespace herd::actors {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

// A system with so many bytes left, which remembers what was committed.
struct FakeSystem {
  std::uint64_t left;
  std::vector<std::pair<const std::byte*, std::size_t>> pieces{};
  std::stop_source stop{};
  std::size_t stop_after = 1000;
  std::uint64_t taken_by_another = 0;  // with every piece

  CommitResult run(const MemorySpans& memory) {
    const CommitPorts ports{[this] { return left; }, [this](std::byte* begin, std::size_t bytes) {
                              pieces.emplace_back(begin, bytes);
                              left -= bytes + taken_by_another;
                              if (pieces.size() == stop_after) stop.request_stop();
                            }};
    return commit_all(memory, ports, stop.get_token());
  }
};

// Layers of so many MiB each at made-up addresses: nobody looks at what is there.
MemorySpans layers(std::size_t count, std::uint64_t mib) {
  MemorySpans memory;
  for (std::size_t i = 0; i < count; ++i)
    memory.emplace_back(reinterpret_cast<std::byte*>((i + 1) << 40), static_cast<std::size_t>(mib * kMiB));
  return memory;
}

TEST(KvCommit, CommitsAPieceOfEveryLayerInTurnUntilAllIsThere) {
  FakeSystem system{.left = 10000 * kMiB};
  const MemorySpans memory = layers(3, 20);
  const CommitResult result = system.run(memory);
  EXPECT_EQ(result.committed, 60 * kMiB);
  EXPECT_EQ(result.all, 60 * kMiB);
  EXPECT_FALSE(result.short_of_memory());
  ASSERT_GE(system.pieces.size(), 9U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(system.pieces[i].first, memory[i].data()) << "low blocks first";
  std::size_t last_layer = 0;
  for (const auto& [begin, bytes] : system.pieces)
    if (begin >= memory[2].data()) last_layer += bytes;
  EXPECT_EQ(last_layer, 20 * kMiB);
}

TEST(KvCommit, LeavesMemoryToOthers) {
  EXPECT_EQ(memory_to_keep(100000 * kMiB), 512 * kMiB);
  EXPECT_EQ(memory_to_keep(800 * kMiB), 100 * kMiB);
  EXPECT_EQ(memory_to_keep(0), 0U);
  FakeSystem system{.left = 1000 * kMiB, .taken_by_another = 10 * kMiB};
  const CommitResult result = system.run(layers(2, 600));
  EXPECT_TRUE(result.short_of_memory());
  EXPECT_GE(system.left, 125 * kMiB - 40 * kMiB) << "what the other takes between two looks";
  EXPECT_LT(system.left, 250 * kMiB);
  EXPECT_LT(result.left, 250 * kMiB);
  EXPECT_GT(result.committed, 100 * kMiB);
}

TEST(KvCommit, SaysWhatIsThereAndWhichFlagHelps) {
  const std::string warning = commit_warning({.committed = 3'200'000'000, .all = 11'000'000'000, .left = 500'000'000});
  for (const char* part : {"warning: ", "3.20 GB of 11.00 GB", "0.50 GB", "--kv-cache-memory"})
    EXPECT_NE(warning.find(part), std::string::npos) << warning;
}

TEST(KvCommit, EndsWhenItIsStopped) {
  FakeSystem stopped{.left = 10000 * kMiB, .stop_after = 2};
  const CommitResult result = stopped.run(layers(3, 20));
  EXPECT_EQ(stopped.pieces.size(), 2U);
  EXPECT_TRUE(result.stopped);
  EXPECT_FALSE(result.short_of_memory()) << "nobody is to be warned";
}

std::size_t resident_pages(const DeviceBuffer& buffer) {
  std::vector<unsigned char> pages((buffer.bytes() + 4095) / 4096);
  EXPECT_EQ(::mincore(buffer.data(), buffer.bytes(), pages.data()), 0);
  return static_cast<std::size_t>(std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; }));
}

TEST(KvCommit, ComputesTheRopeTableAndCommitsAllInTheBackground) {
  const auto device = std::move(*make_cpu_device({CpuIsa::kReference, 1}));
  const std::size_t bytes = 40 * kMiB;
  const auto buffer = std::move(*device->allocate(bytes, "KV cache"));
  EXPECT_LT(resident_pages(*buffer), bytes / 4096);
  std::vector<std::string> warnings;
  const auto rope = std::make_shared<const model::RopeTable>(model::RopeConfig{}, 64, 3000);
  {
    const KvCommit commit({{static_cast<std::byte*>(buffer->data()), bytes}}, rope, std::make_shared<ProgressWord>(),
                          [&](const std::string& line) { warnings.push_back(line); });
    for (int look = 0; look < 6000 && resident_pages(*buffer) < bytes / 4096; ++look)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(rope->ready(), 3000);
  EXPECT_EQ(resident_pages(*buffer), bytes / 4096) << "unless this machine has no memory left";
  EXPECT_TRUE(warnings.empty());
}

}  // namespace
}  // namespace herd::actors
