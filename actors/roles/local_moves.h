#pragma once
// LocalMoves: replicas of one process that take KV blocks from each other: what one says is a message to the other's actor, and blocks
// change hands as they are.

#include <map>
#include <memory>
#include <mutex>

#include "actors/roles/move_port.h"

namespace herd::actors {

// Which generations are there. Any thread.
class LocalMoves : public std::enable_shared_from_this<LocalMoves> {
 public:
  // A generation that may take and give from now on, until what this returns is gone: then all others hear of its end.
  [[nodiscard]] std::unique_ptr<MovePort> enter(routing::ReplicaGeneration generation, ReplicaHandle replica);

 private:
  class Port;
  struct Member {
    routing::ReplicaGeneration generation;
    ReplicaHandle replica;
  };
  void leave(replica::TakerId number);
  void send(replica::TakerId from, const routing::Route& holder, replica::ToHolder message);
  void send(replica::TakerId taker, replica::ToTaker message);

  std::mutex mutex_;  // of the below
  replica::TakerId last_ = 0;
  std::map<replica::TakerId, Member> members_;
};

}  // namespace herd::actors
