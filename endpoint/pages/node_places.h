#pragma once
// Which node of a cluster's file a replica is on, told from the address of its leader: a node's replicas listen at the node's port and
// those behind it. Pure.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"

namespace herd::pages {

struct NodePlace {
  std::string name;
  std::string address;  // HOST:PORT
  bool operator==(const NodePlace&) const = default;
};

// Those that a file lists, as it lists them.
[[nodiscard]] std::vector<NodePlace> places_of(const config::ClusterSpec& spec);

// The node of that host with the nearest port at or below; null: none.
[[nodiscard]] const NodePlace* node_of(const std::string& address, std::span<const NodePlace> nodes);

}  // namespace herd::pages
