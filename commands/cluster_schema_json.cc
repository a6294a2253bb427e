// The JSON Schema of cluster files (2020-12), made of the same table that reads them (cluster/config/setting_table.h). It says what a
// schema can say: keys, types, units, ranges of numbers. Contradictions between keys are `herd check`'s.

#include <cmath>

#include <boost/json.hpp>

#include "cluster/config/setting_table.h"
#include "cluster/config/units.h"
#include "commands/cluster_report.h"

namespace herd::commands {
namespace {

namespace json = boost::json;
using config::ValueKind;

json::object text_schema(ValueKind kind) {
  json::object schema{{"type", "string"}, {"minLength", 1}, {"maxLength", config::kTextBytesMax}};
  const std::string_view pattern = config::pattern_of(kind);
  schema["pattern"] = pattern.empty() ? std::string_view("^[^\\u0000-\\u001f\\u007f]+$") : pattern;
  return schema;
}

json::object integer_schema(const config::ValueRule& rule) {
  if (rule.choices.empty())
    return {{"type", "integer"}, {"minimum", static_cast<std::int64_t>(rule.min)}, {"maximum", static_cast<std::int64_t>(rule.max)}};
  json::array numbers;
  for (const std::string_view choice : rule.choices) numbers.emplace_back(std::stoi(std::string(choice)));
  return {{"type", "integer"}, {"enum", std::move(numbers)}};
}

json::object rule_schema(const config::ValueRule& rule) {
  const auto list_of = [](json::object items) {
    return json::object{{"type", "array"}, {"minItems", 1}, {"maxItems", config::kListMax}, {"items", std::move(items)}};
  };
  switch (rule.kind) {
    case ValueKind::kInteger: return integer_schema(rule);
    case ValueKind::kCountOrWord: {
      json::array words;
      for (const std::string_view choice : rule.choices) words.emplace_back(choice);
      config::ValueRule count = rule;
      count.choices.clear();
      return {{"anyOf", json::array{integer_schema(count), json::object{{"enum", std::move(words)}}}}};
    }
    case ValueKind::kNumber: return {{"type", "number"}, {"exclusiveMinimum", rule.min}, {"maximum", rule.max}};
    case ValueKind::kSwitch: return {{"type", "boolean"}};
    case ValueKind::kTexts: return list_of(text_schema(ValueKind::kText));
    case ValueKind::kDevices: return list_of(text_schema(ValueKind::kDevices));
    case ValueKind::kLabels:
      return {{"type", "object"},
              {"maxProperties", config::kListMax},
              {"propertyNames", json::object{{"pattern", config::pattern_of(ValueKind::kLabels)}}},
              {"additionalProperties", text_schema(ValueKind::kText)}};
    case ValueKind::kChoice: {
      json::array choices;
      for (const std::string_view choice : rule.choices) choices.emplace_back(choice);
      return {{"type", "string"}, {"enum", std::move(choices)}};
    }
    case ValueKind::kText:
    case ValueKind::kPath:
    case ValueKind::kName:
    case ValueKind::kBytes:
    case ValueKind::kDuration:
    case ValueKind::kAddress:
    case ValueKind::kHost:
    case ValueKind::kUrl:
    case ValueKind::kCpuSet: return text_schema(rule.kind);
  }
  return {};
}

// What holds when the key is left out; null: nothing.
json::value default_of(const config::Setting& setting, const config::Slot& slot) {
  if (setting.required) return nullptr;
  if (const auto* text = std::get_if<std::string*>(&slot)) return (*text)->empty() ? json::value() : json::value(**text);
  if (const auto* yes = std::get_if<bool*>(&slot)) return **yes;
  if (const auto* number = std::get_if<double*>(&slot)) {
    if (setting.rule.kind == ValueKind::kDuration) return json::value(config::seconds_text(**number));
    return **number;
  }
  if (const auto* number = std::get_if<std::int64_t*>(&slot)) {
    if (**number == 0 && setting.rule.min > 0) return nullptr;
    if (setting.rule.kind == ValueKind::kBytes) return json::value(config::bytes_text(**number));
    return **number;
  }
  return nullptr;
}

// The keys of a section or of an entry of a list.
template <class Owner>
json::object map_schema(const std::vector<config::Field<Owner>>& fields, std::string_view help) {
  json::object properties;
  json::array required;
  Owner defaults;
  for (const auto& field : fields) {
    json::object schema{{"description", config::help_text(field.setting)}};
    for (auto& [key, value] : rule_schema(field.setting.rule)) schema[key] = std::move(value);
    if (json::value value = default_of(field.setting, field.slot(defaults)); !value.is_null()) schema["default"] = std::move(value);
    properties[field.setting.name] = std::move(schema);
    if (field.setting.required) required.emplace_back(field.setting.name);
  }
  json::object schema{{"type", "object"}, {"additionalProperties", false}, {"minProperties", 1}};
  if (!help.empty()) schema["description"] = help;
  if (!required.empty()) schema["required"] = std::move(required);
  schema["properties"] = std::move(properties);
  return schema;
}

template <class Owner>
json::object list_schema(const std::vector<config::Field<Owner>>& fields, std::string_view help, std::size_t most) {
  return {{"type", "array"}, {"description", help}, {"minItems", 1}, {"maxItems", most}, {"items", map_schema(fields, "")}};
}

// Two spaces a level, as people read it.
void write(const json::value& value, const std::string& margin, std::string& out) {
  const std::string deeper = margin + "  ";
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{\n";
    std::size_t left = object->size();
    for (const auto& [key, member] : *object) {
      out += deeper + json::serialize(key) + ": ";
      write(member, deeper, out);
      out += --left > 0 ? ",\n" : "\n";
    }
    out += margin + "}";
  } else {
    out += value.is_double() ? config::number_text(value.get_double()) : json::serialize(value);
  }
}

}  // namespace

std::string cluster_schema_json() {
  const auto& sections = config::sections();
  json::object schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "herd cluster file"}};
  for (auto& [key, value] : map_schema(sections.front().fields, "")) schema[key] = std::move(value);
  json::object& properties = schema["properties"].as_object();
  json::array& required = schema["required"].as_array();
  for (const config::Section& section : sections) {
    if (section.name.empty()) continue;
    properties[section.name] = map_schema(section.fields, section.help);
    if (section.required) required.emplace_back(section.name);
  }
  properties["coordinators"] = list_schema(config::coordinator_fields(), config::kCoordinatorsHelp, 1);
  properties["gateways"] = list_schema(config::gateway_fields(), config::kGatewaysHelp, config::kListMax);
  properties["nodes"] = json::object{
      {"description", config::kNodesHelp},
      {"anyOf", json::array{list_schema(config::node_fields(), "", config::kListMax), json::object{{"const", config::kAnyNode}}}}};
  for (const char* list : {"coordinators", "gateways", "nodes"}) required.emplace_back(list);
  std::string text;
  write(schema, "", text);
  return text + "\n";
}

}  // namespace herd::commands
