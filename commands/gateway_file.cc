#include "commands/gateway_file.h"

#include "cluster/config/setting_table.h"
#include "commands/cluster_spec_file.h"

#include <string_view>
#include <utility>

namespace herd::commands {
namespace {

template <class Owner>
bool has_flag(const std::vector<config::Field<Owner>>& fields, std::string_view flag, std::string_view& key) {
  for (const config::Field<Owner>& field : fields)
    if (field.setting.flag == flag) return key = field.setting.name, true;
  return false;
}

// The key under which the file says it; empty: it does not.
std::string key_of(std::string_view flag) {
  if (flag == "model") return "model.model_path";
  if (flag == "--use-gpu") return "nodes[].devices";
  std::string_view key;
  for (const config::Section& section : config::sections())
    if (has_flag(section.fields, flag, key)) return std::string(section.name) + "." + std::string(key);
  if (has_flag(config::gateway_fields(), flag, key)) return "gateways[]." + std::string(key);
  if (has_flag(config::node_fields(), flag, key)) return "nodes[]." + std::string(key);
  return {};
}

Expected<config::GatewaySpec> find_gateway(const std::string& path, const config::ClusterSpec& spec, const std::string& name) {
  std::string names;
  for (const config::GatewaySpec& gateway : spec.gateways) {
    if (gateway.name == name || (name.empty() && spec.gateways.size() == 1)) return gateway;
    names.append(names.empty() ? "" : ", ").append(gateway.name);
  }
  if (spec.gateways.empty()) return fail(missing(path + ": no gateway is in the file"));
  if (name.empty()) return fail(usage_error(path + " has several gateways: say with --name which of " + names + " this is"));
  return fail(missing(path + ": no gateway is named " + name + "; there is " + names));
}

}  // namespace

Expected<GatewayFile> read_gateway_file(const std::string& path, const std::string& name, const ServeFlags& flags,
                                        const std::vector<std::string>& given) {
  for (const std::string& flag : given)
    if (const std::string key = key_of(flag); !key.empty())
      return fail(usage_error((flag == "model" ? "a model" : flag) + " cannot be given beside --config: the file says it, under " + key));
  auto spec = read_cluster_spec(path);
  if (!spec) return fail(spec.error());
  auto gateway = find_gateway(path, *spec, name);
  if (!gateway) return fail(gateway.error());
  auto settings = flags_of(*spec, *gateway, flags);
  if (!settings) return fail(settings.error());
  return GatewayFile{path, std::move(*spec), std::move(*gateway), std::move(*settings)};
}

Expected<ServeFlags> flags_of(const config::ClusterSpec& spec, const config::GatewaySpec& gateway, const ServeFlags& beside) {
  ServeFlags flags;
  if (Status status = take_settings(config::serve_flags_of(spec, &gateway), flags); !status.ok()) return fail(std::move(status));
  flags.model.quiet = beside.model.quiet;
  flags.api_keys = beside.api_keys;
  return flags;
}

}  // namespace herd::commands
