#pragma once
// SharedGroup: what the ranks of one generation meet in where they are processes of one machine: memory of a memfd, which each
// maps (kernels/local_group.h). A node makes it and hands its descriptor out; any process that maps it may abort it. Nothing is left
// of it once the last of them is gone. No CAF.

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/collective.h"
#include "kernels/local_collective.h"
#include "kernels/status.h"

namespace herd::actors {

class SharedGroup {
 public:
  // Made and prepared. kMissing: no memory or descriptors.
  [[nodiscard]] static Expected<std::shared_ptr<SharedGroup>> create(int ranks, const LocalCollectiveConfig& config);
  // Of a descriptor that came from another process, which stays the caller's. kBadInput: its size is not that of such a group, or it
  // can shrink under us (it is not sealed).
  [[nodiscard]] static Expected<std::shared_ptr<SharedGroup>> map(int fd, int ranks, const LocalCollectiveConfig& config);
  ~SharedGroup();
  SharedGroup(const SharedGroup&) = delete;
  SharedGroup& operator=(const SharedGroup&) = delete;

  // Of a group that this process made; closed with it.
  [[nodiscard]] int descriptor() const { return fd_; }
  // A rank's member; keeps the mapping.
  [[nodiscard]] std::unique_ptr<Collective> join(int rank) const;
  // Ranks of it that wait for others return, now and later, in every process. The first reason counts.
  void abort(const std::string& why) const;

 private:
  SharedGroup(std::shared_ptr<void> memory, int fd, int ranks, const LocalCollectiveConfig& config);
  const std::shared_ptr<void> memory_;
  const int fd_;  // -1: another process's
  const int ranks_;
  const LocalCollectiveConfig config_;
};

}  // namespace herd::actors
