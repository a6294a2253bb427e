#pragma once
// What `herd serve --config FILE` runs with: the file, the gateway of it that this process is, and its settings as the flags that they
// are of a server without a file.

#include <string>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "commands/serve_flags.h"
#include "kernels/status.h"

namespace herd::commands {

struct GatewayFile {
  std::string path;
  config::ClusterSpec spec;
  config::GatewaySpec gateway;
  ServeFlags flags;
};

// `flags`: as they were given beside the file, `given`: which of them were ("--port"; a model is "model"). kUsage: one of these has a
// key in the file, which the refusal names, or nobody says which gateway is meant; kMissing: there is no such gateway; kBadInput,
// kMissing: the file.
[[nodiscard]] Expected<GatewayFile> read_gateway_file(const std::string& path, const std::string& name, const ServeFlags& flags,
                                                      const std::vector<std::string>& given);

// The settings of a gateway of that file, as the flags that they are; what can only stand beside the file is as in `beside`.
[[nodiscard]] Expected<ServeFlags> flags_of(const config::ClusterSpec& spec, const config::GatewaySpec& gateway, const ServeFlags& beside);

}  // namespace herd::commands
