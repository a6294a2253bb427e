#pragma once
// What one process of a cluster finds changed in its file since it read it, key by key: what it takes while it runs, and what it
// cannot take. setting_table.h says of each key who takes it. Pure.
//
// Of the lists, a process that runs cannot take its own entry in other words, nor another coordinator; the coordinator takes nodes and
// gateways that are new or gone. Entries of others are read by whoever starts under them.

#include <string>
#include <vector>

#include "cluster/config/cluster_file.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/config/problem.h"
#include "cluster/handshake/hello.h"

namespace herd::config {

struct SpecChanges {
  std::vector<std::string> taken;  // "limits.request_timeout", "nodes: node-3 is new"; only what that process takes
  std::vector<Problem> fixed;      // what it cannot take, with lines of the file as it is now
};

// `running`: as the process read it; `asked` and its `lines`: as it is now, without problems of its own. `role` and `name`: whose
// changes these are; a coordinator's, node's or gateway's.
[[nodiscard]] SpecChanges changes_between(const ClusterSpec& running, const ClusterSpec& asked, const KeyLines& lines,
                                          handshake::Role role, const std::string& name);

}  // namespace herd::config
