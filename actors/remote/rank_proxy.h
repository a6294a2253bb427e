#pragma once
// rank_proxy: a rank of another process, as its leader's replica_actor sees it: what is said to it goes out as frames of the
// connection between both, what comes from there goes to the replica. It lives for one generation, and ends when the rank's process
// does: the replica watches it.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "actors/messages/type_ids.h"
#include "actors/remote/frame_port.h"
#include "actors/roles/rank_fate.h"
#include "cluster/routing/replica_generation.h"
#include "runtime/step/block_bytes.h"

namespace herd::actors {

// To the proxy, from its connection: it has ended. Last: nobody has more to say of why.
struct RankLinkClosed {
  bool last = false;
};
using RankProxyHandle = RankHandle::extend<caf::reacts_to<RankLinkClosed>>;

// What the proxy, its connection and the process share. Any thread.
class RemoteRank : public std::enable_shared_from_this<RemoteRank> {
 public:
  RemoteRank(routing::ReplicaGeneration generation, std::uint32_t rank)
      : generation_(generation), rank_(rank), fate_(std::make_shared<RankFate>()) {}

  // Of the connection, which may open before or after the proxy is there.
  [[nodiscard]] link::OpenLink opener();
  // The rank's process has ended, as its node saw.
  void on_ended(const routing::RankLoss& end);
  // The generation is over.
  void finish(const Status& why) { port_.finish(why); }

  [[nodiscard]] const std::shared_ptr<RankFate>& fate() const { return fate_; }

 private:
  friend class RankProxyState;
  class Owner;
  void on_frame(const wire::OpenedFrame& frame);
  Status take(const wire::OpenedFrame& frame);
  void on_closed(const Status& why);
  void tell_what_is_known();
  void tell(const RankLinkClosed& closed);

  const routing::ReplicaGeneration generation_;
  const std::uint32_t rank_;
  const std::shared_ptr<RankFate> fate_;
  FramePort port_;
  step::BlockJoiner blocks_{step::kBlocksBegunMax};  // that the rank has read; of the connection's thread
  std::mutex mutex_;        // of the below
  ReplicaHandle replica_;   // known from JoinGroup on
  RankProxyHandle proxy_;   // null: it is not there yet, or not any more
  bool closed_ = false;
  Status closed_why_;       // of the connection; ok: it has not ended
};

class RankProxyState {
 public:
  using Self = RankProxyHandle::stateful_pointer<RankProxyState>;
  explicit RankProxyState(Self self) : self_(self) {}
  void start(std::shared_ptr<RemoteRank> remote);
  ~RankProxyState();
  RankProxyState(const RankProxyState&) = delete;
  RankProxyState& operator=(const RankProxyState&) = delete;

  void on_join(const JoinGroup& order);
  void on_plan(const ExecutePlan& order);
  void on_block(const TakeBlock& given);
  void on_closed(const RankLinkClosed& closed);

 private:
  Self self_;
  std::shared_ptr<RemoteRank> remote_;
};

RankProxyHandle::behavior_type rank_proxy(RankProxyState::Self self, std::shared_ptr<RemoteRank> remote);

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::actors::RankLinkClosed)
