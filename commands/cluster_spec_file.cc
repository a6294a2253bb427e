#include "commands/cluster_spec_file.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "cluster/config/setting_table.h"
#include "cluster/config/spec_changes.h"
#include "cluster/config/yaml_tree.h"
#include "runtime/files/file_bytes.h"

namespace herd::commands {

namespace {

std::string problems_text(const std::string& path, const std::vector<config::Problem>& problems) {
  std::string all;
  for (const config::Problem& problem : problems) all += (all.empty() ? "" : "\n") + config::problem_text(path, problem);
  return all;
}

Expected<config::ClusterFile> read_file(const std::string& path) {
  const auto text = files::read_text_file(path, config::kFileBytesMax);
  if (!text) return fail(text.error());
  config::ClusterFile file = config::parse_cluster_file(*text);
  if (!file.problems.empty()) return fail(bad_input(problems_text(path, file.problems)));
  config::begin_paths_at(std::filesystem::path(path).parent_path().string(), file.spec);
  return file;
}

}  // namespace

Expected<config::ClusterSpec> read_cluster_spec(const std::string& path) {
  auto file = read_file(path);
  if (!file) return fail(file.error());
  return std::move(file->spec);
}

reload::FileReading read_again(const std::string& path, const config::ClusterSpec& running, handshake::Role role,
                               const std::string& name) {
  auto file = read_file(path);
  if (!file) return {{file.error(), "", {}}, {}};
  config::SpecChanges changes = config::changes_between(running, file->spec, file->lines, role, name);
  if (!changes.fixed.empty()) return {{bad_input(problems_text(path, changes.fixed)), "", {}}, {}};
  return {{{}, config::settings_digest(file->spec), std::move(changes.taken)}, std::move(file->spec)};
}

}  // namespace herd::commands
