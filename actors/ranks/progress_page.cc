#include "actors/ranks/progress_page.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <new>
#include <utility>

#include "actors/ranks/sealed_memory.h"
#include "kernels/check.h"
#include "kernels/local_group.h"

namespace herd::actors {
namespace {

constexpr char kName[] = "herd-progress";

// Words of ranks that run at the same time share no cache line.
struct alignas(64) Slot {
  ProgressWord word;
  DeathMark mark;
};
// Words, because a reader in another process may see a half-written one: own is written last, and is 0 meanwhile.
struct NamedAttempt {
  std::atomic<std::uint64_t> own{0};
  std::atomic<std::uint64_t> gateway{0};
  std::atomic<std::uint64_t> sequence{0};
  std::atomic<std::uint64_t> attempt{0};
};
struct Page {
  std::array<Slot, kGroupRanksMax> slots;
  std::array<NamedAttempt, ProgressPage::kAttemptsKept> attempts;
};

Page& page_of(const std::shared_ptr<void>& memory) { return *static_cast<Page*>(memory.get()); }

}  // namespace

ProgressPage::ProgressPage(std::shared_ptr<void> memory, int fd) : memory_(std::move(memory)), fd_(fd) {}

ProgressPage::~ProgressPage() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<std::shared_ptr<ProgressPage>> ProgressPage::create() {
  auto made = make_sealed_memory(kName, sizeof(Page));
  if (!made) return fail(made.error());
  new (made->memory.get()) Page;
  return std::shared_ptr<ProgressPage>(new ProgressPage(std::move(made->memory), made->fd));
}

Expected<std::shared_ptr<ProgressPage>> ProgressPage::map(int fd) {
  auto mapped = map_sealed_memory(kName, fd, sizeof(Page));
  if (!mapped) return fail(mapped.error());
  return std::shared_ptr<ProgressPage>(new ProgressPage(std::move(mapped->memory), -1));
}

std::shared_ptr<ProgressWord> ProgressPage::word(std::uint32_t rank) const {
  HERD_CHECK(rank < static_cast<std::uint32_t>(kGroupRanksMax), "a rank of a group");
  return {memory_, &page_of(memory_).slots[rank].word};
}

std::shared_ptr<DeathMark> ProgressPage::mark(std::uint32_t rank) const {
  HERD_CHECK(rank < static_cast<std::uint32_t>(kGroupRanksMax), "a rank of a group");
  return {memory_, &page_of(memory_).slots[rank].mark};
}

void ProgressPage::name_attempt(SequenceId own, const step::AttemptKey& attempt) {
  NamedAttempt& named = page_of(memory_).attempts[own.value % kAttemptsKept];
  named.own.store(0, std::memory_order_release);
  named.gateway.store(attempt.gateway.value, std::memory_order_relaxed);
  named.sequence.store(attempt.sequence.value, std::memory_order_relaxed);
  named.attempt.store(attempt.attempt, std::memory_order_relaxed);
  named.own.store(own.value, std::memory_order_release);
}

std::optional<step::AttemptKey> ProgressPage::attempt_of(SequenceId own) const {
  const NamedAttempt& named = page_of(memory_).attempts[own.value % kAttemptsKept];
  if (own == SequenceId() || named.own.load(std::memory_order_acquire) != own.value) return std::nullopt;
  return step::AttemptKey{GatewayId(named.gateway.load(std::memory_order_relaxed)),
                          SequenceId(named.sequence.load(std::memory_order_relaxed)),
                          static_cast<std::uint32_t>(named.attempt.load(std::memory_order_relaxed))};
}

}  // namespace herd::actors
