// Where the relative paths of a cluster file begin (setting_table.h).

#include <filesystem>

#include "cluster/config/setting_table.h"

namespace herd::config {
namespace {

template <class Owner>
void begin_at(const std::filesystem::path& folder, const std::vector<Field<Owner>>& fields, Owner& owner) {
  for (const Field<Owner>& field : fields) {
    if (field.setting.rule.kind != ValueKind::kPath) continue;
    std::string& path = *std::get<std::string*>(field.slot(owner));
    if (!path.empty() && path.front() != '/') path = (folder / path).lexically_normal().string();
  }
}

}  // namespace

std::string help_text(const Setting& setting) {
  return std::string(setting.help) + (setting.rule.kind == ValueKind::kPath ? "; a relative path begins at this file" : "") +
         (setting.taken_by != TakenBy::kNobody ? "; herd reload takes it" : "");
}

void begin_paths_at(const std::string& folder, ClusterSpec& spec) {
  for (const Section& section : sections()) begin_at(folder, section.fields, spec);
  for (CoordinatorSpec& coordinator : spec.coordinators) begin_at(folder, coordinator_fields(), coordinator);
  for (GatewaySpec& gateway : spec.gateways) begin_at(folder, gateway_fields(), gateway);
  for (NodeSpec& node : spec.nodes) begin_at(folder, node_fields(), node);
}

}  // namespace herd::config
