#include "commands/up/host_plan.h"

#include <algorithm>

namespace herd::up {
namespace {

using handshake::Role;

const std::string& host_of_gateway(const config::ClusterSpec& spec, const config::GatewaySpec& gateway, std::string& address) {
  const auto node = std::ranges::find(spec.nodes, gateway.node, &config::NodeSpec::name);
  if (gateway.node.empty() || node == spec.nodes.end()) return gateway.host;
  address = config::host_of(node->address);
  return address;
}

}  // namespace

std::vector<HostProcess> processes_here(const config::ClusterSpec& spec, const std::function<bool(const std::string& host)>& is_here) {
  std::vector<HostProcess> here;
  for (const config::CoordinatorSpec& coordinator : spec.coordinators)
    if (is_here(config::host_of(coordinator.address))) here.push_back({Role::kCoordinator, coordinator.name});
  for (const config::NodeSpec& node : spec.nodes)
    if (is_here(config::host_of(node.address))) here.push_back({Role::kNode, node.name});
  for (const config::GatewaySpec& gateway : spec.gateways) {
    std::string address;
    const std::string& host = host_of_gateway(spec, gateway, address);
    if (config::is_wildcard(host) || is_here(host)) here.push_back({Role::kGateway, gateway.name});
  }
  return here;
}

std::vector<std::string> arguments_of(const HostProcess& process, const std::string& config) {
  const char* command = process.role == Role::kGateway ? "serve" : handshake::role_name(process.role);
  return {command, "--config", config, "--name", process.name};
}

}  // namespace herd::up
