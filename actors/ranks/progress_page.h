#pragma once
// ProgressPage: where the ranks of a replica are in their work (kernels/progress.h) and what they died of (kernels/death_mark.h), where
// they are processes: memory of a memfd, which the node, the leader and every rank map. Each rank writes its own words. The leader
// also writes which attempts the ids of its sequences stand for, as nobody could say so after its death. No CAF.

#include <cstdint>
#include <memory>
#include <optional>

#include "kernels/death_mark.h"
#include "kernels/progress.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/step/attempt_key.h"

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
  [[nodiscard]] std::shared_ptr<DeathMark> mark(std::uint32_t rank) const;

  // The leader: its sequence of that id (not 0) computes this attempt. It is remembered until kAttemptsKept later ids are.
  void name_attempt(SequenceId own, const step::AttemptKey& attempt);
  // nullopt: nobody said so, or it is forgotten.
  [[nodiscard]] std::optional<step::AttemptKey> attempt_of(SequenceId own) const;
  static constexpr std::size_t kAttemptsKept = 4096;

 private:
  ProgressPage(std::shared_ptr<void> memory, int fd);
  const std::shared_ptr<void> memory_;
  const int fd_;  // -1: another process's
};

}  // namespace herd::actors
