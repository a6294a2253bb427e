#pragma once
// GroupSeats: the ranks that are in a collective now, so that anybody may abort them, and nobody reaches one that is gone.

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/collective.h"
#include "kernels/status.h"

namespace herd::actors {

// The ranks of all replicas that are in a collective now, so that anybody may abort those of one replica. Thread-safe.
class GroupSeats : public std::enable_shared_from_this<GroupSeats> {
 public:
  GroupSeats(int replicas, int ranks)
      : ranks_(ranks), members_(static_cast<std::size_t>(replicas * ranks)),
        reasons_(static_cast<std::size_t>(replicas)) {}

  // The member sits there until the last owner lets go of it; abort() no longer reaches it then. A replica that was
  // aborted before has its new member aborted at once.
  [[nodiscard]] std::shared_ptr<Collective> take(int replica, int rank, std::unique_ptr<Collective> member);
  // The first reason counts, and is returned.
  Status abort(int replica, Status why);
  // Why the replica was aborted; ok when it was not.
  [[nodiscard]] Status aborted(int replica) const;

 private:
  void leave(std::size_t seat);

  const int ranks_;
  mutable std::mutex mutex_;  // held while members are aborted, so that none of them is destroyed meanwhile
  std::vector<Collective*> members_;
  std::vector<Status> reasons_;
};

}  // namespace herd::actors
