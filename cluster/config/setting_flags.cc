// What a ClusterSpec says as texts: flags of `herd serve`, and the list of effective settings (setting_table.h).

#include "cluster/config/setting_table.h"
#include "cluster/config/units.h"
#include "runtime/digest/digest.h"

namespace herd::config {
namespace {

// As a list of the file; empty: no list.
std::string list_text(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all.append(all.empty() ? "[" : ", ").append(text);
  if (!all.empty()) all.append("]");
  return all;
}

void append_flags(const Setting& setting, const Slot& slot, std::vector<std::string>& flags) {
  const std::string flag(setting.flag);
  if (const auto* yes = std::get_if<bool*>(&slot)) {
    const bool opposite = flag.starts_with("--no-") || flag.starts_with("--disable-");
    if (**yes != opposite) flags.push_back(flag);
    return;
  }
  if (const auto* texts = std::get_if<std::vector<std::string>*>(&slot)) {
    for (const std::string& text : **texts) flags.push_back(flag + "=" + text);
    return;
  }
  const std::string value = value_text(setting, slot);
  if (value.empty()) return;
  if (const auto* number = std::get_if<double*>(&slot)) {
    flags.push_back(flag + "=" + number_text(**number));
  } else if (const auto* whole = std::get_if<std::int64_t*>(&slot)) {
    flags.push_back(flag + "=" + std::to_string(**whole));
  } else {
    flags.push_back(flag + "=" + value);
  }
}

template <class Owner>
void append_all(const std::vector<Field<Owner>>& fields, Owner owner, std::vector<std::string>& flags) {
  for (const Field<Owner>& field : fields)
    if (!field.setting.flag.empty()) append_flags(field.setting, field.slot(owner), flags);
}

bool is_of_flag(char letter) { return letter == '-' || (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9'); }

// Every place where the flag stands by itself.
void replace_flag(const std::string& flag, const std::string& key, std::string& text) {
  for (std::size_t at = text.find(flag); at != std::string::npos; at = text.find(flag, at)) {
    const std::size_t end = at + flag.size();
    const bool alone = (at == 0 || !is_of_flag(text[at - 1])) && (end == text.size() || !is_of_flag(text[end]));
    if (alone) text.replace(at, flag.size(), key);
    at += alone ? key.size() : flag.size();
  }
}

}  // namespace

std::string value_text(const Setting& setting, const Slot& slot) {
  if (const auto* text = std::get_if<std::string*>(&slot)) return **text;
  if (const auto* yes = std::get_if<bool*>(&slot)) return **yes ? "true" : "false";
  if (const auto* texts = std::get_if<std::vector<std::string>*>(&slot)) return list_text(**texts);
  if (const auto* number = std::get_if<double*>(&slot))
    return setting.rule.kind == ValueKind::kDuration ? seconds_text(**number) : number_text(**number);
  if (const auto* number = std::get_if<std::int64_t*>(&slot)) {
    if (**number == 0 && setting.rule.min > 0) return {};
    return setting.rule.kind == ValueKind::kBytes ? bytes_text(**number) : std::to_string(**number);
  }
  return {};  // labels, which are no setting of a section
}

std::string flags_as_keys(std::string text) {
  for (const Section& section : sections())
    for (const Field<ClusterSpec>& field : section.fields)
      if (!field.setting.flag.empty())
        replace_flag(std::string(field.setting.flag), std::string(section.name) + "." + std::string(field.setting.name), text);
  return text;
}

std::vector<EffectiveSetting> effective_settings(const ClusterSpec& given) {
  ClusterSpec spec = given;
  ClusterSpec defaults;
  std::vector<EffectiveSetting> all;
  for (const Section& section : sections()) {
    for (const Field<ClusterSpec>& field : section.fields) {
      const std::string prefix = section.name.empty() ? std::string() : std::string(section.name) + ".";
      std::string value = value_text(field.setting, field.slot(spec));
      const bool is_default = value == value_text(field.setting, field.slot(defaults));
      all.push_back({prefix + std::string(field.setting.name), std::move(value), is_default});
    }
  }
  return all;
}

std::string settings_digest(const ClusterSpec& given) {
  ClusterSpec spec = given;
  digest::Digester digester("cluster settings");
  for (const Section& section : sections()) {
    for (const Field<ClusterSpec>& field : section.fields) {
      if (field.setting.rule.kind == ValueKind::kPath) continue;
      digester.add(section.name);
      digester.add(field.setting.name);
      digester.add(value_text(field.setting, field.slot(spec)));
    }
  }
  return digest::hex(digester.finish());
}

std::vector<std::string> serve_flags_of(const ClusterSpec& spec, const GatewaySpec* gateway) {
  std::vector<std::string> flags;
  for (const Section& section : sections()) append_all(section.fields, spec, flags);
  if (gateway != nullptr) append_all(gateway_fields(), *gateway, flags);
  return flags;
}

}  // namespace herd::config
