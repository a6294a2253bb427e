#include "kernels/local_collective.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/futex.h"

namespace herd {
namespace {

using std::chrono::steady_clock;

constexpr std::uint32_t kBroken = 1U << 31;  // in Group::phase_
constexpr int kSpinPauses = 2000;            // 20 to 100 us, about what the slowest rank of a small step is late

// What the ranks share. An operation: publish, barrier, copy from all, barrier (until it, nobody reuses its buffer).
class Group {
 public:
  Group(int size, const LocalCollectiveConfig& config)
      : size_(size), config_(config), spin_pauses_(usable_cpus() >= size ? kSpinPauses : 0), ranks_(size) {}

  [[nodiscard]] int size() const { return size_; }

  void all_gather(int rank, const void* send, void* receive, std::size_t bytes) {
    if (is_broken()) return;
    ranks_[rank].send = send;
    ranks_[rank].bytes = bytes;
    if (!barrier(rank)) return;
    copiers_.fetch_add(1);
    if (!is_broken()) {
      for (int from = 0; from < size_; from++) {
        HERD_CHECK(ranks_[from].bytes == bytes, "all ranks give the same number of bytes");
        std::memcpy(static_cast<char*>(receive) + from * bytes, ranks_[from].send, bytes);
      }
    }
    copiers_.fetch_sub(1);
    if (barrier(rank)) return;
    // Broken: some rank may still copy from our buffer, which the caller is free to reuse once we return. A copy
    // that begins from now on sees the break first.
    while (copiers_.load() != 0) spin_pause();
  }

  void abort(std::string reason) {
    {
      const std::lock_guard lock(mutex_);
      if (is_broken()) return;
      reason_ = std::move(reason);
      phase_.fetch_or(kBroken);
    }
    futex_wake_all(phase_);
  }

  [[nodiscard]] Status status() const {
    if (!is_broken()) return {};
    const std::lock_guard lock(mutex_);
    return {StatusCode::kAborted, reason_};
  }

 private:
  struct alignas(64) Rank {
    const void* send = nullptr;
    std::size_t bytes = 0;
    std::atomic<std::uint32_t> barriers{0};  // reached so far: tells a message who is missing
  };

  [[nodiscard]] bool is_broken() const { return (phase_.load() & kBroken) != 0; }

  // False when the group is broken.
  bool barrier(int rank) {
    const std::uint32_t phase = phase_.load();
    if ((phase & kBroken) != 0) return false;
    const std::uint32_t reached = ranks_[rank].barriers.fetch_add(1) + 1;
    if (arrived_.fetch_add(1) + 1 == size_) {
      arrived_.store(0);
      std::uint32_t expected = phase;  // only an abort can have changed it
      const bool next = phase_.compare_exchange_strong(expected, (phase + 1) & ~kBroken);
      futex_wake_all(phase_);
      return next;
    }
    for (int pause = spin_pauses_; pause > 0 && phase_.load(std::memory_order_acquire) == phase; pause--) spin_pause();
    const auto deadline = steady_clock::now() + std::chrono::milliseconds(config_.deadline_ms);
    while (phase_.load() == phase) {
      const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - steady_clock::now()).count();
      if (left <= 0) {
        abort(missing_ranks(reached));
        break;
      }
      futex_wait(phase_, phase, left);
    }
    // Had the group been broken after this barrier was passed, its phase would have moved as well.
    return (phase_.load() & ~kBroken) != phase || !is_broken();
  }

  [[nodiscard]] std::string missing_ranks(std::uint32_t reached) const {
    std::string who;
    for (int rank = 0; rank < size_; rank++) {
      if (static_cast<std::int32_t>(ranks_[rank].barriers.load() - reached) >= 0) continue;
      who += (who.empty() ? "" : ", ") + std::to_string(rank);
    }
    return "all_gather: rank " + who + " did not come within " + std::to_string(config_.deadline_ms) + " ms";
  }

  const int size_;
  const LocalCollectiveConfig config_;
  const int spin_pauses_;
  std::vector<Rank> ranks_;
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> phase_{0};  // barriers passed, modulo 2^31, and kBroken
  alignas(64) std::atomic<int> copiers_{0};          // ranks that read other ranks' buffers now
  mutable std::mutex mutex_;
  std::string reason_;  // under mutex_; written once, before kBroken
};

class LocalCollective final : public Collective {
 public:
  LocalCollective(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  void all_gather(CollectiveName, const void* send, void* receive, std::size_t bytes) override {
    group_->all_gather(rank_, send, receive, bytes);
  }
  void abort(const char* reason) override { group_->abort(reason); }
  Status status() const override { return group_->status(); }

 private:
  const std::shared_ptr<Group> group_;
  const int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Collective>> make_local_group(int size, const LocalCollectiveConfig& config) {
  HERD_CHECK(size >= 1, "a group has a rank");
  const auto group = std::make_shared<Group>(size, config);
  std::vector<std::unique_ptr<Collective>> ranks;
  for (int rank = 0; rank < size; rank++) ranks.push_back(std::make_unique<LocalCollective>(group, rank));
  return ranks;
}

}  // namespace herd
