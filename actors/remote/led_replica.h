#pragma once
// led_replica: the replica of a generation whose leader is a process of this node, as its supervisor sees it. What the leader says of
// the generation goes to coordinator and supervisor. It lives until it is told to end, once the generation is over.

#include <memory>
#include <optional>
#include <string>

#include "actors/messages/type_ids.h"
#include "actors/ranks/progress_page.h"
#include "actors/remote/rank_child.h"
#include "cluster/replica/group_messages.h"
#include "cluster/routing/replica_loss.h"

namespace herd::actors {

struct LedReplicaConfig {
  routing::ReplicaGeneration generation;
  std::shared_ptr<RankChannel> leader;
  std::shared_ptr<RankRoster> roster;
  std::shared_ptr<const ProgressPage> page;  // what its ranks died of
  std::uint32_t ranks = 1;
  CoordinatorHandle coordinator;
  SupervisorHandle supervisor;
};

// To a led_replica: what came from its leader, or how that ended.
struct LeaderServes {
  routing::ReplicaView view;
};
struct LeaderEnded {
  replica::GenerationEnded ended;
};
struct LeaderDied {
  routing::RankLoss death;
};

using LedReplicaHandle =
    ReplicaHandle::extend<caf::reacts_to<LeaderServes>, caf::reacts_to<LeaderEnded>, caf::reacts_to<LeaderDied>>;

struct LedReplicaState {
  LedReplicaConfig config;
  bool over = false;  // its loss was told
  std::optional<routing::ReplicaView> serving;  // as its leader said
};
LedReplicaHandle::behavior_type led_replica(LedReplicaHandle::stateful_pointer<LedReplicaState> self, LedReplicaConfig config);

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::actors::LeaderDied)
HERD_LOCAL_MESSAGE(herd::actors::LeaderEnded)
HERD_LOCAL_MESSAGE(herd::actors::LeaderServes)
