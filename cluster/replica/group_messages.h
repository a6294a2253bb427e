#pragma once
// What a node, a leader and the other ranks of a replica tell each other where ranks are processes. Values; they travel as
// schema/group.capnp says. Which generation a message is about stands in its frame's header.
//
//   node    <-> rank     RankSpec, then RankLoading, RankReady; LeaveGroup, RankLeft; RankFailed
//   node    <-> leader   FormReplica, StopReplica, RankEnded; membership::Serving, GenerationEnded
//   rank     -> node     StopReplica: its process was told to end
//   leader  <-> rank     JoinGroup, RankJoined; StepPlan, StepResult
//   gateway <-> leader   GatewayJoin, Submission, Abort; ReplicaReport, TokenDeltas, ReplicaLoss
// The leader is the process of rank 0: it holds the replica's scheduler beside its rank.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/replica/replica_core.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/kv/block_news.h"
#include "runtime/model/weights_digest.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/scheduler/step_cost.h"

namespace herd::replica {

// From a rank that loads: several times a second.
struct RankLoading {
  std::uint64_t done_bytes = 0;
  std::uint64_t all_bytes = 0;
  bool operator==(const RankLoading&) const = default;
};

// From a rank, once it is prepared and in no group; not ok: it could not be, and ends.
struct RankReadyNote {
  Status status;
  scheduler::DeviceRates rates;
  std::string numerics_class;     // Device::numerics_class()
  model::WeightsDigest weights;   // of what this rank read
  std::string address;            // HOST:PORT where a leader takes gateways; empty of other ranks
  std::string metrics_address;    // HOST:PORT of /live, /ready, /metrics
  std::string device;             // what it computes on, for people
  bool operator==(const RankReadyNote&) const = default;
};

// To the leader: be the replica of that generation. Its ranks are prepared and in no group. `rendezvous` names descriptors that
// come on the descriptor channel (actors/children/descriptor_channel.h): the group's memory under that name, and the leader's end
// of a connection with rank i under rendezvous + "/" + i.
struct FormReplica {
  routing::ReplicaView view;
  std::uint32_t ranks = 1;
  std::string rendezvous;
  scheduler::SchedulerConfig scheduler;
  scheduler::DeviceRates rates;    // of the slowest of its ranks
  double step_seconds_max = 120;
  WatchConfig watch;
  bool operator==(const FormReplica&) const = default;
};

// To a rank, from its leader: enter the group of the generation in the header. The group's memory comes from the node under
// `rendezvous`; the connection that this came on is the one that came under rendezvous + "/leader".
struct JoinGroupOrder {
  std::string rendezvous;
  bool operator==(const JoinGroupOrder&) const = default;
};
struct RankJoinedNote {
  Status status;
  bool operator==(const RankJoinedNote&) const = default;
};

// To a rank, from its node: leave the group of that epoch; answered by RankLeftNote once no step of it is under way.
struct LeaveGroupOrder {
  Epoch epoch;
  bool operator==(const LeaveGroupOrder&) const = default;
};
struct RankLeftNote {
  Epoch epoch;
  bool operator==(const RankLeftNote&) const = default;
};
// From a rank that is in no known state and ends.
struct RankFailedNote {
  Status why;  // not ok
  bool operator==(const RankFailedNote&) const = default;
};

// To the leader: take nothing new, end the generation once no sequence is left; after drain_s at the latest, with the steps that
// are in flight then finished. A later one replaces the earlier.
// From a rank to its node: its process was told to end (SIGTERM). The node drains the replica, ends this rank, and forms it again; how
// long that may take it decides itself.
struct StopReplicaOrder {
  double drain_s = 0;  // seconds, [0, 86400]
  bool operator==(const StopReplicaOrder&) const = default;
};
// To the leader, from the node who saw it: that rank's process has ended.
struct RankEnded {
  std::uint32_t rank = 0;
  routing::RankLoss loss;
  bool operator==(const RankEnded&) const = default;
};

// From the leader to its node: the generation is over.
struct GenerationEnded {
  routing::ReplicaLoss loss;
  LastSteps last{};
  bool operator==(const GenerationEnded&) const = default;
};

// From the leader to every gateway that joined: several times a second while it is busy, at once when it becomes idle, and when its
// prefix cache has taken up what a sequence that ended has computed.
inline constexpr std::size_t kNewsKeysMax = 32'768;
struct ReplicaReport {
  ReplicaStats stats;  // Instants in it are seconds ago, as clocks differ: the sender's now - value, in ns
  // It takes nothing new: its sequences move to other replicas where some serve, and finish here where none does. Gateways hear it
  // from the leader itself, as there may be no coordinator.
  bool draining = false;
  // What changed in its prefix cache; at most kNewsKeysMax keys: more come in reports of their own, behind this one.
  std::optional<kv::BlockNews> news{};
  bool operator==(const ReplicaReport&) const = default;
};

}  // namespace herd::replica
