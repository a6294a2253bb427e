#pragma once
// leader_proxy: the replica of a group, as its ranks in other processes see it: their answers go out as frames of the connection to
// the leader's process. GroupLink takes what comes from there. One of both for each generation.

#include <cstdint>
#include <functional>
#include <memory>

#include "actors/messages/type_ids.h"
#include "actors/ranks/rank_ground.h"
#include "actors/remote/frame_port.h"
#include "cluster/routing/replica_generation.h"
#include "runtime/step/block_bytes.h"

namespace herd::actors {

// What answers go to. Its process is the leader's of `about`, which JoinGroup says.
struct LeaderProxyState {
  std::shared_ptr<FramePort> port;
  routing::ReplicaGeneration about;
};
ReplicaHandle::behavior_type leader_proxy(ReplicaHandle::stateful_pointer<LeaderProxyState> self, std::shared_ptr<FramePort> port,
                                          routing::ReplicaGeneration about);

// Made with the connection, on which the leader says JoinGroup first. When that ends, so does the group: nobody is left to say what
// is computed.
class GroupLink final : public link::LinkOwner {
 public:
  // A generation of another replica, or one that is not newer, is not joined.
  GroupLink(caf::actor_system& system, std::shared_ptr<link::Link> link, ReplicaId replica, RankHandle rank,
             std::shared_ptr<RankGround> ground);

  void on_frame(wire::OpenedFrame frame) override;
  void on_closed(const Status& why) override;

 private:
  Status take(const wire::OpenedFrame& frame);
  Status take_block(const wire::OpenedFrame& frame);
  Status join(const wire::OpenedFrame& frame);

  caf::actor_system& system_;
  const std::shared_ptr<FramePort> port_ = std::make_shared<FramePort>();
  const ReplicaId replica_;
  const RankHandle rank_;
  const std::shared_ptr<RankGround> ground_;
  routing::ReplicaGeneration generation_;  // epoch 0: it was not joined yet
  ReplicaHandle proxy_;
  step::BlockJoiner blocks_{step::kBlocksBegunMax};  // that the rank is given
};

}  // namespace herd::actors
