#pragma once
// MovePort: how a replica reaches others while KV blocks move between them: those it takes blocks from (holders, by their route) and
// those it gives them to (takers, by a number). What comes from there, and that somebody is gone, is a MoveHeard to the replica's
// actor. In one process see local_moves.h, between processes actors/remote/move_links.h.

#include "actors/messages/type_ids.h"
#include "cluster/replica/move_messages.h"
#include "cluster/routing/cluster_view.h"

namespace herd::actors {

// Used by the replica's actor. Nothing here waits.
class MovePort {
 public:
  virtual ~MovePort() = default;
  // Where it cannot be sent, HolderGone comes.
  virtual void send(const routing::Route& holder, replica::ToHolder message) = 0;
  // Where the taker is gone, it is dropped.
  virtual void send(replica::TakerId taker, replica::ToTaker message) = 0;
  // Somebody is gone: what was needed for him alone is not any more.
  virtual void tidy() {}
};

}  // namespace herd::actors
