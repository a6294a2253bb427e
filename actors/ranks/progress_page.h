#pragma once
// ProgressPage: the progress words of a replica's ranks (kernels/progress.h) where they are processes: memory of a memfd, which the
// node, the leader and every rank map. Each rank writes its own word. No CAF.

#include <cstdint>
#include <memory>

#include "kernels/progress.h"
#include "kernels/status.h"

namespace herd::actors {

class ProgressPage {
 public:
  // kMissing: no memory or descriptors.
  [[nodiscard]] static Expected<std::shared_ptr<ProgressPage>> create();
  // Of a descriptor that came from another process, which stays the caller's. kBadInput: it is no such page, or it can shrink.
  [[nodiscard]] static Expected<std::shared_ptr<ProgressPage>> map(int fd);
  ~ProgressPage();
  ProgressPage(const ProgressPage&) = delete;
  ProgressPage& operator=(const ProgressPage&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }
  // Keeps the page. `rank` below kGroupRanksMax (8).
  [[nodiscard]] std::shared_ptr<ProgressWord> word(std::uint32_t rank) const;

 private:
  ProgressPage(std::shared_ptr<void> memory, int fd);
  const std::shared_ptr<void> memory_;
  const int fd_;  // -1: another process's
};

}  // namespace herd::actors
