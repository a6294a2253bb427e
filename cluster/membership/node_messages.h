#pragma once
// What a node and the coordinator tell each other. Values; they travel as schema/membership.capnp says.

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::membership {

inline constexpr std::size_t kReplicasOfNodeMax = 64;

// From a node, first on every connection: what it can hold and what it holds now. It replaces all that was said before, so a
// coordinator that starts again learns everything from it.
struct NodeJoin {
  std::uint32_t replicas_max = 0;               // whole replicas that its devices and memory have room for
  Epoch newest;                                 // the largest cluster epoch it has heard of: a coordinator begins beyond it; 0: none
  std::vector<ReplicaId> held;                  // replicas it has ranks of, whatever their state; rising
  std::vector<routing::ReplicaView> serving;    // generations of these that serve now, or drain as the state says; rising
  // An operator drained the node: nothing is placed there. It keeps that for a coordinator that starts again.
  bool drains = false;
  std::vector<ReplicaId> drained{};             // replicas that an operator drained, wherever they were; rising. Likewise
  bool operator==(const NodeJoin&) const = default;
};

// To a node: the replicas it shall hold from here on. It replaces the one before; what is not in it ends.
struct Assignment {
  std::vector<ReplicaId> replicas;  // rising
  // Of these: they take nothing new, and end once they have nothing left, or after drain_s. Rising.
  std::vector<ReplicaId> draining{};
  double drain_s = 0;                // seconds, [0, 86400]
  bool node_drains = false;          // an operator drained the node; it says so in NodeJoin from now on, until it is told otherwise
  std::vector<ReplicaId> drained{};  // what an operator drained, of the whole cluster; every node says it in NodeJoin
  bool operator==(const Assignment&) const = default;
};

// From a node that was told to end (SIGTERM): it takes no more replicas, and ends when those it holds have drained.
struct NodeLeaving {
  double drain_s = 0;  // seconds, [0, 86400]
  bool operator==(const NodeLeaving&) const = default;
};

// From a node: a generation of that replica is about to be formed. Answered by Placed, at once or when the coordinator knows the
// cluster; asked again on a new connection.
struct PlaceAsk {
  ReplicaId replica;
  std::string address;              // HOST:PORT of its leader
  routing::NumericsId numerics;     // not empty
  std::uint32_t sequences_max = 1;
  std::int64_t max_model_len = 1;   // prompt + emitted tokens of one sequence
  bool operator==(const PlaceAsk&) const = default;
};
struct Placed {
  routing::ReplicaView view;
  bool operator==(const Placed&) const = default;
};

// From a leader to its node, from a node to the coordinator.
struct Serving {
  routing::ReplicaView view;  // state: kDraining, or else it serves
  bool operator==(const Serving&) const = default;
};

// From a node: that replica cannot be had there, so that it is placed elsewhere.
struct GivenUp {
  ReplicaId replica;
  Status why;  // not ok
  bool operator==(const GivenUp&) const = default;
};

}  // namespace herd::membership
