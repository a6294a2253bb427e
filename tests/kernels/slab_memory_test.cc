#include "kernels/cpu/slab_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "kernels/commit_memory.h"

namespace herd {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kPage = 4096;

std::uintptr_t address(const DeviceBuffer& buffer) { return reinterpret_cast<std::uintptr_t>(buffer.data()); }

std::unique_ptr<DeviceBuffer> buffer_of(SlabMemory& memory, std::size_t bytes) {
  auto buffer = memory.allocate(bytes, "test");
  EXPECT_TRUE(buffer.has_value());
  return std::move(*buffer);
}

bool all_zero(const DeviceBuffer& buffer) {
  const auto* bytes = static_cast<const char*>(buffer.data());
  return std::all_of(bytes, bytes + buffer.bytes(), [](char byte) { return byte == 0; });
}

// The flags of the mapping that holds the address, as smaps lists them: "rd wr mr mw me ac hg". Empty: there is none.
std::string mapping_flags(std::uintptr_t where) {
  std::ifstream file("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream words(line);
    if (line.find(':') > line.find('-') && words >> std::hex >> begin >> dash >> end) inside = begin <= where && where < end;
    if (inside && line.starts_with("VmFlags:")) return line;
  }
  return {};
}

TEST(SlabSize, IsWholeHugePagesWithRoomForOthers) {
  EXPECT_EQ(slab_bytes(1, 1000 * kMiB, kPage), 32 * kMiB);
  EXPECT_EQ(slab_bytes(4 * kMiB, 1000 * kMiB, kPage), 32 * kMiB);
  EXPECT_EQ(slab_bytes(4 * kMiB + 1, 1000 * kMiB, kPage), 6 * kMiB) << "many such must not waste what was promised";
  EXPECT_EQ(slab_bytes(32 * kMiB, 1000 * kMiB, kPage), 32 * kMiB);
  EXPECT_EQ(slab_bytes(33 * kMiB, 1000 * kMiB, kPage), 34 * kMiB);
  EXPECT_EQ(slab_bytes(999 * kMiB + 1, 1001 * kMiB, kPage), 1000 * kMiB);
}

TEST(SlabSize, IsWhatTheBufferNeedsWhereMemoryIsShort) {
  EXPECT_EQ(slab_bytes(1, 100 * kMiB, kPage), kPage);
  EXPECT_EQ(slab_bytes(0, 0, kPage), kPage);
  EXPECT_EQ(slab_bytes(5 * kMiB + 1, 255 * kMiB, kPage), 5 * kMiB + kPage);
  EXPECT_EQ(slab_bytes(999 * kMiB + 1, 999 * kMiB + 1, kPage), 999 * kMiB + kPage) << "a whole huge page more is not there";
}

TEST(SlabMemory, LaysSmallBuffersBesideEachOtherWhereHugePagesMayBe) {
  const auto memory = SlabMemory::make();
  const auto first = buffer_of(*memory, 100);
  const auto second = buffer_of(*memory, 600 * 1024);
  EXPECT_EQ(address(*first) % kHugePageBytes, 0U);
  EXPECT_EQ(address(*second), address(*first) + 128);
  const std::string flags = mapping_flags(address(*second));
  ASSERT_FALSE(flags.empty());
  if (std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) {
    EXPECT_NE(flags.find(" hg"), std::string::npos) << flags;
  }
}

TEST(SlabMemory, GivesALargeBufferASlabOfItsOwnAndTakesItBack) {
  const auto memory = SlabMemory::make();
  const auto small = buffer_of(*memory, 100);
  auto large = buffer_of(*memory, 33 * kMiB);
  EXPECT_EQ(address(*large) % kHugePageBytes, 0U);
  const std::uintptr_t where = address(*large);
  EXPECT_FALSE(mapping_flags(where).empty());
  large.reset();
  EXPECT_TRUE(mapping_flags(where).empty()) << "what nobody uses is the system's again";
  EXPECT_FALSE(mapping_flags(address(*small)).empty());
}

TEST(SlabMemory, ZeroesWhatHeldSomethingBefore) {
  const auto memory = SlabMemory::make();
  const auto keeper = buffer_of(*memory, 64);  // the slab stays
  auto first = buffer_of(*memory, 1000);
  std::memset(first->data(), 0xff, first->bytes());
  const std::uintptr_t where = address(*first);
  first.reset();
  const auto again = buffer_of(*memory, 3000);
  ASSERT_EQ(address(*again), where) << "the same place";
  EXPECT_TRUE(all_zero(*again));
}

TEST(SlabMemory, OutlivesItsOwnerAsLongAsABufferDoes) {
  auto memory = SlabMemory::make();
  const auto buffer = buffer_of(*memory, 5000);
  memory.reset();
  std::memset(buffer->data(), 1, buffer->bytes());
  EXPECT_EQ(static_cast<const char*>(buffer->data())[4999], 1);
}

TEST(SlabMemory, ServesThreadsThatTakeAndGiveBackAtOnce) {
  const auto memory = SlabMemory::make();
  const auto work = [&](int thread) {
    std::vector<std::unique_ptr<DeviceBuffer>> held(8);
    for (std::size_t turn = 0; turn < 400; ++turn) {
      auto& slot = held[turn * 5 % held.size()];
      if (slot != nullptr) {
        const auto* bytes = static_cast<const char*>(slot->data());
        EXPECT_TRUE(std::all_of(bytes, bytes + slot->bytes(), [&](char byte) { return byte == thread; }));
      }
      slot = buffer_of(*memory, turn * 977 % 50000);
      EXPECT_TRUE(all_zero(*slot));
      std::memset(slot->data(), thread, slot->bytes());
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 1; thread <= 3; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
}

// Pages of the bytes that have memory behind them.
std::size_t resident_pages(const DeviceBuffer& buffer) {
  std::vector<unsigned char> pages((buffer.bytes() + kPage - 1) / kPage);
  EXPECT_EQ(::mincore(buffer.data(), buffer.bytes(), pages.data()), 0);
  return static_cast<std::size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
}

TEST(CommitMemory, BringsEveryPageAndLeavesWhatIsThere) {
  const auto memory = SlabMemory::make();
  const auto buffer = buffer_of(*memory, 40 * kMiB);  // a slab of its own, so that it begins with a page
  auto* const bytes = static_cast<char*>(buffer->data());
  bytes[5 * kMiB] = 7;
  EXPECT_LT(resident_pages(*buffer), 40 * kMiB / kPage);
  commit_memory(bytes + 100, 39 * kMiB);
  EXPECT_GE(resident_pages(*buffer), 39 * kMiB / kPage);
  commit_memory(bytes, 0);
  EXPECT_EQ(bytes[5 * kMiB], 7);
  bytes[5 * kMiB] = 0;
  EXPECT_TRUE(all_zero(*buffer));
}

// A store between the read and the write of a plain `*p = *p` would be lost.
TEST(CommitMemory, LosesNothingThatAnotherThreadWritesMeanwhile) {
  constexpr std::size_t kPages = 8;
  const auto memory = SlabMemory::make();
  const auto buffer = buffer_of(*memory, kPages * kPage);
  auto* const words = static_cast<volatile std::uint64_t*>(buffer->data());
  std::atomic<bool> done{false};
  std::uint64_t lost = 0;
  std::jthread writer([&] {
    for (std::uint64_t value = 1; !done; ++value) {
      for (std::size_t page = 0; page < kPages; ++page) words[page * kPage / 8] = value;
      for (std::size_t page = 0; page < kPages; ++page) lost += words[page * kPage / 8] != value;
    }
  });
  for (int time = 0; time < 200'000; ++time) commit_memory(buffer->data(), kPages * kPage);
  done = true;
  writer.join();
  EXPECT_EQ(lost, 0U);
}

}  // namespace
}  // namespace herd
