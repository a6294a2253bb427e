#include "actors/ranks/progress_page.h"

#include <unistd.h>

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
};
constexpr std::size_t kBytes = 4096;
static_assert(kGroupRanksMax * sizeof(Slot) <= kBytes);

}  // namespace

ProgressPage::ProgressPage(std::shared_ptr<void> memory, int fd) : memory_(std::move(memory)), fd_(fd) {}

ProgressPage::~ProgressPage() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<std::shared_ptr<ProgressPage>> ProgressPage::create() {
  auto made = make_sealed_memory(kName, kBytes);
  if (!made) return fail(made.error());
  for (int rank = 0; rank < kGroupRanksMax; ++rank) new (static_cast<Slot*>(made->memory.get()) + rank) Slot;
  return std::shared_ptr<ProgressPage>(new ProgressPage(std::move(made->memory), made->fd));
}

Expected<std::shared_ptr<ProgressPage>> ProgressPage::map(int fd) {
  auto mapped = map_sealed_memory(kName, fd, kBytes);
  if (!mapped) return fail(mapped.error());
  return std::shared_ptr<ProgressPage>(new ProgressPage(std::move(mapped->memory), -1));
}

std::shared_ptr<ProgressWord> ProgressPage::word(std::uint32_t rank) const {
  HERD_CHECK(rank < static_cast<std::uint32_t>(kGroupRanksMax), "a rank of a group");
  return {memory_, &(static_cast<Slot*>(memory_.get()) + rank)->word};
}

}  // namespace herd::actors
