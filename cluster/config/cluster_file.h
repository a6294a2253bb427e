#pragma once
// The cluster file: one YAML text that describes a cluster, read into a ClusterSpec. Strict: what it does not know, what contradicts
// itself and what another reader of YAML would read otherwise is refused, every problem with its line. Pure: bytes in, values out.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "cluster/config/problem.h"

namespace herd::config {

// Where keys stand: "nodes[1].devices" → its line. Lists and sections have lines too.
using KeyLines = std::map<std::string, int>;

// Of the key, else of what it is part of; 0: of neither.
[[nodiscard]] int line_of(const std::string& key, const KeyLines& lines);

struct ClusterFile {
  ClusterSpec spec;                // complete when there are no problems
  KeyLines lines;
  std::vector<Problem> problems;   // by line; empty: the file is right
};

[[nodiscard]] ClusterFile parse_cluster_file(std::string_view text);

// What contradicts itself in a spec whose values are right, one for one. `lines` says where, as far as it knows.
void check_spec(const ClusterSpec& spec, const KeyLines& lines, ProblemList& problems);

}  // namespace herd::config
