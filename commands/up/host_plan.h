#pragma once
// Which processes of a cluster's file one host runs. Pure: whether a host is this one is the caller's to say.

#include <functional>
#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "cluster/handshake/hello.h"

namespace herd::up {

struct HostProcess {
  handshake::Role role = handshake::Role::kGateway;  // coordinator, node or gateway; nodes start their ranks themselves
  std::string name;
  bool operator==(const HostProcess&) const = default;
};

// `is_here`: of a host as the file has it. A gateway runs where its node does; without one, where its own host is, and a wildcard
// is any. In the order in which they are started: coordinators, nodes, gateways.
[[nodiscard]] std::vector<HostProcess> processes_here(const config::ClusterSpec& spec,
                                                      const std::function<bool(const std::string& host)>& is_here);

// Its command line behind the program's name.
[[nodiscard]] std::vector<std::string> arguments_of(const HostProcess& process, const std::string& config);

}  // namespace herd::up
