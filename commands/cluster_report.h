#pragma once
// ClusterReport: what a cluster file comes to: all that is wrong with it, or what would run where and how much memory it would take.
// Sizes come from what `herd serve` sizes its own ranks with.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/config/cluster_file.h"
#include "cluster/placement/cluster_plan.h"
#include "kernels/status.h"
#include "runtime/model/rank_memory.h"

namespace herd::commands {

// Of the model, when its files could be read on this machine.
struct ReportedModel {
  std::string encoding;                      // computed in
  std::vector<model::RankMemory> ranks;      // of a replica, by rank
  std::vector<std::int64_t> block_bytes;     // of a KV block, by rank
};

// The KV cache of one replica.
struct ReportedKv {
  std::int64_t num_blocks = 0;
  std::int64_t max_model_len = 0;
};

struct ClusterReport {
  std::string file;
  config::ClusterFile parsed;             // its problems are all there are; the rest counts when there are none. Its relative paths
                                          // begin at the file
  placement::ClusterPlan plan;
  std::optional<ReportedModel> model;
  std::string model_unreadable;           // why there is no model; a note says it too
  std::vector<std::optional<ReportedKv>> kv;  // by replica; nothing: decided when its ranks start
  std::vector<std::string> notes;         // a line each, for a person
};

// kMissing and kBadInput: the file itself cannot be read. What is wrong inside it is in the report.
[[nodiscard]] Expected<ClusterReport> report_cluster(const std::string& path);

// What each gateway takes at most to know which replica's prefix cache holds what, in bytes; nothing: there are no caches, or how large
// they are is decided when ranks start.
[[nodiscard]] std::optional<std::size_t> directory_bytes(const ClusterReport& report);
// "prefix directory of each gateway: at most …", without an end of line; empty where nothing is known.
[[nodiscard]] std::string directory_text(const ClusterReport& report);

// Whether a path names a cluster file and no model.
[[nodiscard]] bool is_cluster_file(const std::string& path);

// What is wrong, a line each.
[[nodiscard]] std::string problems_text(const ClusterReport& report);
// For `herd inspect`.
[[nodiscard]] std::string report_text(const ClusterReport& report);
[[nodiscard]] std::string report_json(const ClusterReport& report);  // a line
// For `herd check`: {"file", "valid", "problems": […], "prefix_directory_bytes", "notes": […]}, a line.
[[nodiscard]] std::string check_json(const ClusterReport& report);

// The JSON Schema of cluster files, for editors.
[[nodiscard]] std::string cluster_schema_json();

}  // namespace herd::commands
