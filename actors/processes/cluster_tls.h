#pragma once
// Which files the processes of a cluster prove their names with.

#include <optional>
#include <string>

#include "actors/link/tls_files.h"
#include "cluster/config/cluster_spec.h"

namespace herd::processes {

// Of the process of that name; none: the file has no section tls, and connections stay between loopback addresses.
[[nodiscard]] std::optional<link::TlsFiles> tls_files_of(const config::TlsSpec& tls, const std::string& name);

}  // namespace herd::processes
