#pragma once
// MoveLinks: the connections of a leader's process on which KV blocks move: those it dials, to take blocks from other leaders, and
// those on which others ask for its own. They carry nothing else, so that tokens never wait behind blocks.
//
//   taker's leader ──MoveAsk, MoveGrant, MoveStop──> holder's leader
//                  <──MoveFound, BlockPart …, MoveOver──
// A connection is dialled when something is to be said there, and kept for as long as it lasts; one that could not be had, or has
// ended, is dialled anew at the next word, and until then everything that was under way there is over.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "actors/link/link_host.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/move_port.h"
#include "cluster/replica/move_messages.h"
#include "runtime/step/block_bytes.h"

namespace herd::actors {

// Any thread. `host` outlives it; finish() comes first.
class MoveLinks final : public MovePort, public std::enable_shared_from_this<MoveLinks> {
 public:
  explicit MoveLinks(link::LinkHost& host) : host_(host) {}
  ~MoveLinks() override;
  MoveLinks(const MoveLinks&) = delete;
  MoveLinks& operator=(const MoveLinks&) = delete;

  // For who listens for other leaders.
  [[nodiscard]] link::OpenLink opener();
  // That generation of this leader's replica gives and takes from now on; null: none does. The connections of the one before end.
  // Not from the host's thread; likewise finish().
  void set_replica(routing::ReplicaGeneration generation, ReplicaHandle replica);
  // Nothing moves any more: connections end.
  void finish(const Status& why);

  void send(const routing::Route& holder, replica::ToHolder message) override;
  void send(replica::TakerId taker, replica::ToTaker message) override;
  void tidy() override;

 private:
  class HolderLink;
  class TakerLink;
  struct Holder {
    std::shared_ptr<HolderLink> link;
    std::unique_ptr<link::Dial> dial;
  };
  template <class Change>
  void end_connections(const Status& why, Change change);
  Status on_taker_frame(replica::TakerId taker, const wire::OpenedFrame& frame, std::shared_ptr<const void> held);
  void on_taker_closed(replica::TakerId taker);
  void on_holder_closed(const HolderLink& link);

  link::LinkHost& host_;
  std::mutex mutex_;  // of the below
  bool finished_ = false;
  routing::ReplicaGeneration generation_;
  ReplicaHandle replica_;  // null: none is there
  std::map<std::string, Holder> holders_;  // by address
  std::vector<std::unique_ptr<link::Dial>> over_;  // to be ended by a thread that is not the host's
  std::map<replica::TakerId, std::shared_ptr<link::Link>> takers_;
  replica::TakerId last_taker_ = 0;
};

}  // namespace herd::actors
