#include "commands/cluster_spec_file.h"

#include <filesystem>
#include <utility>

#include "cluster/config/cluster_file.h"
#include "cluster/config/setting_table.h"
#include "cluster/config/yaml_tree.h"
#include "runtime/files/file_bytes.h"

namespace herd::commands {

Expected<config::ClusterSpec> read_cluster_spec(const std::string& path) {
  const auto text = files::read_text_file(path, config::kFileBytesMax);
  if (!text) return fail(text.error());
  config::ClusterFile file = config::parse_cluster_file(*text);
  if (!file.problems.empty()) {
    std::string all;
    for (const config::Problem& problem : file.problems) all += (all.empty() ? "" : "\n") + config::problem_text(path, problem);
    return fail(bad_input(all));
  }
  config::begin_paths_at(std::filesystem::path(path).parent_path().string(), file.spec);
  return std::move(file.spec);
}

}  // namespace herd::commands
