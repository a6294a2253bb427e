#pragma once
// DemoCluster: the cluster that `herd up` makes up when it is given no file: a private folder with a cluster file and throw-away
// certificates, and the ports that it names. All of it goes when this goes.

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/status.h"

namespace herd::commands {

struct DemoOrder {
  std::string model;        // empty: the demo model
  int gateways = 1;         // 1 to 16
  int nodes = 2;            // 1 to 16, a replica each
  int tensor_parallel = 2;  // ranks of a replica: 1, 2, 4 or 8
  bool ui = false;          // pages
};

class DemoCluster {
 public:
  // The first gateway has port 8000 when that is free. kUsage: a number out of its range; kMissing: no such model, a folder that is
  // not private, no ports.
  static Expected<std::unique_ptr<DemoCluster>> make(const DemoOrder& order);
  virtual ~DemoCluster() = default;

  [[nodiscard]] virtual const std::string& config() const = 0;  // its cluster file
};

// The file of the demo cluster that this user's `herd up` started first.
[[nodiscard]] std::string demo_config_path();

}  // namespace herd::commands
