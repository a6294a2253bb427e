#include "endpoint/pages/node_places.h"

namespace herd::pages {

std::vector<NodePlace> places_of(const config::ClusterSpec& spec) {
  std::vector<NodePlace> places;
  places.reserve(spec.nodes.size());
  for (const config::NodeSpec& node : spec.nodes) places.push_back({node.name, node.address});
  return places;
}

const NodePlace* node_of(const std::string& address, std::span<const NodePlace> nodes) {
  const std::string host = config::plain_host(config::host_of(address));
  const std::uint16_t port = config::port_of(address);
  if (port == 0) return nullptr;
  const NodePlace* nearest = nullptr;
  for (const NodePlace& node : nodes) {
    const std::uint16_t first = config::port_of(node.address);
    if (first == 0 || first > port || config::plain_host(config::host_of(node.address)) != host) continue;
    if (nearest == nullptr || first > config::port_of(nearest->address)) nearest = &node;
  }
  return nearest;
}

}  // namespace herd::pages
