#pragma once
// The file of the cluster that `herd up` starts when it is given none: all on loopback, one replica a node. Pure.

#include <cstdint>
#include <string>
#include <vector>

namespace herd::up {

struct DemoCluster {
  std::string folder;        // where certificates and the key of event ids are
  std::string model_path;    // absolute
  int tensor_parallel = 2;   // ranks of a node's replica
  bool ui = false;           // pages
  std::int64_t kv_cache_mib = 0;  // of a replica; 0: what its node chooses
  std::uint16_t coordinator_port = 0;
  std::vector<std::uint16_t> gateway_ports;  // a gateway each
  std::vector<std::uint16_t> node_ports;     // a node each
  std::vector<int> cpus;     // of this process, rising: shared out between the nodes where there are enough
};

inline constexpr const char* kDemoName = "demo";
[[nodiscard]] std::string demo_gateway(std::size_t index);  // "gateway-1"
[[nodiscard]] std::string demo_node(std::size_t index);     // "node-1"

[[nodiscard]] std::string demo_file_text(const DemoCluster& demo);

}  // namespace herd::up
