#include "kernels/bounds/weight_read.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace herd {
namespace {

constexpr std::int64_t kPanelK = 128;  // a panel of bf16 is a page of 4 KiB
constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kPages = 64;

// Pages whose first reading is noted: they cannot be read until then.
class WatchedPages {
 public:
  WatchedPages() {
    memory_ = static_cast<char*>(
        ::mmap(nullptr, kPages * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    watched_ = this;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) { watched_->note(static_cast<const char*>(info->si_addr)); };
    ::sigaction(SIGSEGV, &action, &before_);
  }
  ~WatchedPages() {
    ::sigaction(SIGSEGV, &before_, nullptr);
    ::munmap(memory_, kPages * kPageBytes);
  }
  WatchedPages(const WatchedPages&) = delete;
  WatchedPages& operator=(const WatchedPages&) = delete;

  [[nodiscard]] PackedMatrix matrix(std::size_t first_page, std::int64_t panels) const {
    PackedMatrix matrix;
    matrix.data = memory_ + first_page * kPageBytes;
    matrix.outputs = panels * kPanelOutputs - 3;  // the last panel is padded
    matrix.k = kPanelK;
    return matrix;
  }
  [[nodiscard]] bool was_read(std::size_t page) const { return read_[page].load(); }

 private:
  void note(const char* address) {
    const auto page = static_cast<std::size_t>(address - memory_) / kPageBytes;
    if (address < memory_ || page >= kPages) ::_exit(99);  // a fault of the program itself
    read_[page] = true;
    ::mprotect(memory_ + page * kPageBytes, kPageBytes, PROT_READ);
  }

  static inline WatchedPages* watched_ = nullptr;
  struct sigaction before_ = {};
  char* memory_ = nullptr;
  std::atomic<bool> read_[kPages] = {};
};

// Every panel of every matrix and nothing else, however the panels divide among threads and streams.
TEST(WeightReader, ReadsWhatADecodeStepReads) {
  for (const int threads : {1, 2, 3, 4}) {
    const WatchedPages pages;
    const std::vector<std::vector<PackedMatrix>> ranks = {{pages.matrix(1, 13), pages.matrix(15, 1)},
                                                          {pages.matrix(20, 2), pages.matrix(30, 33)}};
    WeightReader reader(ranks, {.threads_per_rank = threads, .seconds = 1e-6});
    EXPECT_EQ(reader.bytes(), std::int64_t{13 + 1 + 2 + 33} * 4096);
    EXPECT_GT(reader.read_gb_per_s(), 0.0);
    for (std::size_t page = 0; page < kPages; page++) {
      const bool wanted = std::ranges::any_of(ranks, [&](const std::vector<PackedMatrix>& rank) {
        return std::ranges::any_of(rank, [&](const PackedMatrix& matrix) {
          const char* address = static_cast<const char*>(pages.matrix(page, 1).data);
          const char* data = static_cast<const char*>(matrix.data);
          return data <= address && address < data + matrix.bytes();
        });
      });
      EXPECT_EQ(pages.was_read(page), wanted) << "page " << page << ", " << threads << " threads a rank";
    }
  }
}

}  // namespace
}  // namespace herd
