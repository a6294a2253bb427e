#include "commands/cluster_spec_file.h"

#include <filesystem>
#include <utility>

#include "cluster/config/cluster_file.h"
#include "cluster/config/setting_table.h"
#include "cluster/config/yaml_tree.h"
#include "runtime/files/file_bytes.h"

namespace herd::commands {
namespace {

std::string with_name(std::string path, const std::string& name) {
  const std::string gap = "{name}";
  for (std::size_t at = path.find(gap); at != std::string::npos; at = path.find(gap, at + name.size())) path.replace(at, gap.size(), name);
  return path;
}

}  // namespace

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

std::optional<link::TlsFiles> tls_files_of(const config::TlsSpec& tls, const std::string& name) {
  if (!tls.given()) return std::nullopt;
  return link::TlsFiles{with_name(tls.cert_file, name), with_name(tls.key_file, name), with_name(tls.ca_file, name)};
}

}  // namespace herd::commands
