#pragma once
// gateway_proxy: a gateway of another process, as a leader's replica_actor sees it: deltas, reports and losses go out as frames. One a
// connection; it ends with that, and the replica watches it.
//
// GatewayDesk: where a leader's process takes gateways, over all generations of its replica: one that has joined is in the generation of
// the moment and in every later one, for as long as its connection lasts. Frames say which generation they mean; a submission to one
// that is over is answered with its loss, one to any other that is not there is refused, so that it goes elsewhere or comes again.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "actors/messages/type_ids.h"
#include "actors/remote/frame_port.h"
#include "cluster/routing/replica_generation.h"
#include "cluster/routing/replica_loss.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/step/attempt_key.h"

namespace herd::actors {

struct GatewayProxyState {
  std::shared_ptr<FramePort> port;
  std::function<Instant()> clock;
};
GatewayHandle::behavior_type gateway_proxy(GatewayHandle::stateful_pointer<GatewayProxyState> self, std::shared_ptr<FramePort> port,
                                           std::function<Instant()> clock);

// Any thread.
class GatewayDesk : public std::enable_shared_from_this<GatewayDesk> {
 public:
  GatewayDesk(caf::actor_system& system, ReplicaId replica, std::function<Instant()> clock)
      : system_(system), replica_(replica), clock_(std::move(clock)) {}

  // For who listens for gateways.
  [[nodiscard]] link::OpenLink opener();
  // That generation is there, as the actor that `start` starts: gateways that have joined are in it. No frame is taken meanwhile, as
  // the replica may say that it serves before this returns.
  ReplicaHandle open(routing::ReplicaGeneration generation, const std::function<ReplicaHandle()>& start);
  // It is over. Gateways that joined have been told by the replica, and are told again: one may have joined behind its end.
  void close(const routing::ReplicaLoss& loss);
  // No generation comes any more: connections end once what was sent has gone out.
  void finish(const Status& why);

  [[nodiscard]] std::uint64_t stale_frames() const { return stale_frames_; }

 private:
  class GatewayLink;
  struct Guest {
    GatewayId id;
    std::string name;  // as its certificate says
    GatewayHandle proxy;
    std::shared_ptr<FramePort> port;
    bool joined = false;
  };
  struct Place {
    routing::ReplicaGeneration generation;
    ReplicaHandle replica;
  };

  void enter(const GatewayLink* link, Guest guest);
  void leave(const GatewayLink* link);
  Status take(const GatewayLink* link, const wire::OpenedFrame& frame);
  Status join(const GatewayLink* link, const wire::OpenedFrame& frame, std::shared_ptr<const void> held);
  // Where frames about that generation go; null: it is over.
  [[nodiscard]] ReplicaHandle replica_of(routing::ReplicaGeneration about) const;
  Status check_speaker(const GatewayLink* link, GatewayId id) const;
  // What is not run is answered: a gateway owes its client an end.
  void on_stale(const GatewayLink* link, routing::ReplicaGeneration about, const step::AttemptKey& attempt);
  [[nodiscard]] Status end_older(const GatewayLink* link, const Guest& guest);

  caf::actor_system& system_;
  const ReplicaId replica_;
  const std::function<Instant()> clock_;
  std::atomic<std::uint64_t> stale_frames_{0};  // of another generation: dropped
  mutable std::mutex mutex_;                    // of the below
  std::map<const GatewayLink*, Guest> guests_;
  std::optional<Place> open_;
  std::optional<routing::ReplicaLoss> last_loss_;
};

}  // namespace herd::actors
