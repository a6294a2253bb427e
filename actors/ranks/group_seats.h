#pragma once
// GroupSeats: the ranks of one group that are in its collective now, so that anybody may abort them, and nobody reaches one that
// is gone. Thread-safe.

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/collective.h"
#include "kernels/status.h"

namespace herd::actors {

class GroupSeats : public std::enable_shared_from_this<GroupSeats> {
 public:
  explicit GroupSeats(int ranks) : members_(static_cast<std::size_t>(ranks)) {}

  // The member sits there until the last owner lets go of it; abort() no longer reaches it then. In a group that was aborted
  // before, it is aborted at once.
  [[nodiscard]] std::shared_ptr<Collective> take(int rank, std::unique_ptr<Collective> member);
  // The first reason counts, and is returned.
  Status abort(Status why);
  // Why the group was aborted; ok when it was not.
  [[nodiscard]] Status aborted() const;

 private:
  void leave(std::size_t seat);

  mutable std::mutex mutex_;  // held while members are aborted, so that none of them is destroyed meanwhile
  std::vector<Collective*> members_;
  Status reason_;
};

}  // namespace herd::actors
