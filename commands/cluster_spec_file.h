#pragma once
// The cluster file as a process of the cluster reads it.

#include <optional>
#include <string>

#include "actors/link/tls_files.h"
#include "cluster/config/cluster_spec.h"
#include "kernels/status.h"

namespace herd::commands {

// Its relative paths begin at the file. kBadInput: all that is wrong with it, a line each; kMissing: it cannot be read.
[[nodiscard]] Expected<config::ClusterSpec> read_cluster_spec(const std::string& path);

// Of the process of that name; none: the file has no section tls.
[[nodiscard]] std::optional<link::TlsFiles> tls_files_of(const config::TlsSpec& tls, const std::string& name);

}  // namespace herd::commands
