#pragma once
// LeaderSeat: what the process of a replica's first rank has beside that rank: the replica_actor of the generation that is there now,
// the connections to the other ranks of its group, and the desk where gateways join. Used by the process's main thread.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/children/descriptor_channel.h"
#include "actors/link/link_host.h"
#include "actors/messages/observers.h"
#include "actors/messages/type_ids.h"
#include "actors/ranks/progress_page.h"
#include "actors/ranks/single_rank_site.h"
#include "actors/remote/gateway_proxy.h"
#include "actors/remote/move_links.h"
#include "actors/remote/rank_proxy.h"
#include "cluster/replica/group_messages.h"
#include "runtime/clock.h"

namespace herd::actors {

// The node sends descriptors before the order that names them, on another socket.
inline constexpr std::chrono::seconds kDescriptorPatience{2};

struct LeaderParts {
  caf::actor_system* system = nullptr;  // never null
  link::LinkHost* pairs = nullptr;      // takes the ends of socket pairs; never null
  children::DescriptorInbox* inbox = nullptr;  // never null
  std::string node;                     // whose ranks these are
  ReplicaId replica;
  std::shared_ptr<SingleRankSite> site;
  std::shared_ptr<ProgressPage> progress;
  RankHandle rank;                      // rank 0
  SupervisorHandle supervisor;
  OnStep on_step;                       // may be empty
  std::function<void(const replica::ReplicaStats&)> on_stats;  // on the actors' threads
  std::function<Instant()> clock;
};

class LeaderSeat {
 public:
  explicit LeaderSeat(LeaderParts parts);
  ~LeaderSeat();
  LeaderSeat(const LeaderSeat&) = delete;
  LeaderSeat& operator=(const LeaderSeat&) = delete;

  // Its ranks are asked to join; what becomes of it the supervisor hears. Not ok: there is no such generation, and nobody else heard. One
  // before it that has not ended is over: its node has its ranks back, and no longer asks what became of it.
  [[nodiscard]] Status form(const replica::FormReplica& order);
  void on_rank_ended(const replica::RankEnded& ended);
  // The generation takes nothing new and ends; see StopReplica.
  void stop(double drain_s);
  // It has ended, as the supervisor was told.
  void on_over(const routing::ReplicaLoss& loss);

  // On which its generations give KV blocks to others, and take some, from now on.
  void set_moves(std::shared_ptr<MoveLinks> moves) { moves_ = std::move(moves); }
  [[nodiscard]] const std::shared_ptr<GatewayDesk>& desk() const { return desk_; }
  [[nodiscard]] std::optional<routing::ReplicaGeneration> generation() const { return generation_; }

 private:
  struct Other {
    std::shared_ptr<RemoteRank> remote;
    RankProxyHandle proxy;
  };
  [[nodiscard]] Status check(const replica::FormReplica& order) const;
  [[nodiscard]] Expected<std::vector<children::OwnedFd>> take_connections(const replica::FormReplica& order) const;
  void connect(std::vector<children::OwnedFd> connections);
  [[nodiscard]] ReplicaHandle spawn_replica(const replica::FormReplica& order) const;
  void supersede(Epoch newer);
  void forget(const Status& why);

  const LeaderParts parts_;
  const std::shared_ptr<GatewayDesk> desk_;
  std::shared_ptr<MoveLinks> moves_;                      // null: none yet
  Epoch newest_;                                          // of the generations there were
  std::optional<routing::ReplicaGeneration> generation_;  // that is there now
  std::vector<Other> others_;                             // its ranks but the first
  ReplicaHandle replica_;
};

}  // namespace herd::actors
