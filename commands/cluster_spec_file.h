#pragma once
// The cluster file as a process of the cluster reads it.

#include <string>

#include "cluster/config/cluster_file.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/handshake/hello.h"
#include "cluster/reload/file_reading.h"
#include "kernels/status.h"

namespace herd::commands {

// Its relative paths begin at the file. kBadInput: all that is wrong with it, a line each; kMissing: it cannot be read.
[[nodiscard]] Expected<config::ClusterSpec> read_cluster_spec(const std::string& path);

// The same once more, compared with what a process of that role and name runs by: what it could take, or why it cannot.
[[nodiscard]] reload::FileReading read_again(const std::string& path, const config::ClusterSpec& running, handshake::Role role,
                                             const std::string& name);

}  // namespace herd::commands
