#include "cluster/config/cluster_file.h"

#include <algorithm>
#include <optional>

#include "cluster/config/setting_table.h"
#include "cluster/config/setting_value.h"
#include "cluster/config/yaml_tree.h"

namespace herd::config {
namespace {

constexpr std::size_t kKeysListedMax = 16;

std::string below(const std::string& prefix, const std::string& key) { return prefix.empty() ? key : prefix + "." + key; }

// Keys of one map that have a rule.
using Names = std::vector<std::string>;

template <class Owner>
Names names_of(const std::vector<Field<Owner>>& fields) {
  Names names;
  for (const Field<Owner>& field : fields) names.emplace_back(field.setting.name);
  return names;
}

// Where a key that stands in the wrong place belongs: "scheduler.max_num_seqs"; empty: nowhere.
std::string home_of(const std::string& key) {
  const auto at = [&](const auto& fields, const std::string& prefix) {
    for (const auto& field : fields)
      if (field.setting.name == key) return prefix + key;
    return std::string();
  };
  for (const Section& section : sections())
    if (std::string home = at(section.fields, section.name.empty() ? "" : std::string(section.name) + "."); !home.empty()) return home;
  if (std::string home = at(gateway_fields(), "gateways[]."); !home.empty()) return home;
  return at(node_fields(), "nodes[].");
}

std::string listed(const Names& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kKeysListedMax; ++i) text += (i == 0 ? "" : ", ") + names[i];
  return text + (names.size() > kKeysListedMax ? ", …" : "");
}

std::string unknown(const std::string& key, const Names& names) {
  if (key == "<<") return "merge keys (<<) are not taken; write the values out";
  if (const std::string near = nearest_word(key, names); !near.empty()) return "is not known; " + near + " is meant?";
  if (const std::string home = home_of(key); !home.empty()) return "does not belong here; it is " + home;
  return "is not known; known here are " + listed(names);
}

// Reads a tree into a spec.
class SpecReader {
 public:
  SpecReader(ClusterFile& file, ProblemList& problems) : file_(file), problems_(problems) {}

  void read(const YamlNode& root) {
    if (root.kind == YamlNode::Kind::kNothing)
      return problems_.add(0, "", "is empty; a cluster has a name, a model, a coordinator, gateways and nodes");
    if (root.kind != YamlNode::Kind::kMap) return problems_.add(root.line, "", "must be a map of keys, not " + node_text(root));
    Names names = names_of(sections().front().fields);
    for (const Section& section : sections())
      if (!section.name.empty()) names.emplace_back(section.name);
    names.insert(names.end(), {"coordinators", "gateways", "nodes"});
    for (const YamlEntry& entry : root.entries) read_top(entry, names);
    require_all(root.line);
  }

 private:
  void read_top(const YamlEntry& entry, const Names& names) {
    file_.lines[entry.key] = entry.line;
    if (entry.key == "coordinators") return read_list(entry, "coordinator", coordinator_fields(), file_.spec.coordinators);
    if (entry.key == "gateways") return read_list(entry, "gateway", gateway_fields(), file_.spec.gateways);
    if (entry.key == "nodes") return read_nodes(entry);
    const auto& all = sections();
    const auto section = std::ranges::find(all, std::string_view(entry.key), &Section::name);
    if (section != all.end() && !section->name.empty()) return read_map(entry.value, entry.key, section->fields, file_.spec);
    if (const auto* field = find(all.front().fields, entry.key))
      return read_value(field->setting, entry.value, entry.key, field->slot(file_.spec), problems_);
    problems_.add(entry.line, entry.key, unknown(entry.key, names));
  }

  template <class Owner>
  static const Field<Owner>* find(const std::vector<Field<Owner>>& fields, const std::string& key) {
    for (const Field<Owner>& field : fields)
      if (field.setting.name == key) return &field;
    return nullptr;
  }

  // The keys of a section or of an entry of a list.
  template <class Owner>
  void read_map(const YamlNode& node, const std::string& prefix, const std::vector<Field<Owner>>& fields, Owner& owner) {
    if (node.kind == YamlNode::Kind::kRefused) return;
    const bool is_map = node.kind == YamlNode::Kind::kMap;
    if (node.kind == YamlNode::Kind::kNothing || (is_map && node.entries.empty()))
      return problems_.add(node.line, prefix, "has no keys; give it one or remove it");
    if (!is_map) return problems_.add(node.line, prefix, "must be a map of keys, not " + node_text(node));
    for (const YamlEntry& entry : node.entries) {
      const std::string key = below(prefix, entry.key);
      file_.lines[key] = entry.line;
      if (const auto* field = find(fields, entry.key)) {
        read_value(field->setting, entry.value, key, field->slot(owner), problems_);
      } else {
        problems_.add(entry.line, key, unknown(entry.key, names_of(fields)));
      }
    }
    for (const Field<Owner>& field : fields)
      if (const std::string key = below(prefix, std::string(field.setting.name)); field.setting.required && !file_.lines.contains(key))
        problems_.add(node.line, key, "is missing: " + help_text(field.setting));
  }

  template <class Owner>
  void read_list(const YamlEntry& entry, const std::string& one, const std::vector<Field<Owner>>& fields, std::vector<Owner>& owners) {
    const YamlNode& node = entry.value;
    if (node.kind == YamlNode::Kind::kRefused) return;
    if (node.kind != YamlNode::Kind::kList)
      return problems_.add(entry.line, entry.key, "must be a list, one entry (- name: …) a " + one + ", not " + node_text(node));
    if (node.items.empty()) return problems_.add(entry.line, entry.key, "is an empty list; there is at least one " + one);
    if (node.items.size() > kListMax)
      return problems_.add(entry.line, entry.key, "has " + std::to_string(node.items.size()) + " entries; at most " +
                                                      std::to_string(kListMax) + " are taken");
    owners.resize(node.items.size());
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const std::string prefix = entry.key + "[" + std::to_string(i) + "]";
      file_.lines[prefix] = node.items[i].line;
      read_map(node.items[i], prefix, fields, owners[i]);
    }
  }

  void read_nodes(const YamlEntry& entry) {
    if (entry.value.kind != YamlNode::Kind::kText) return read_list(entry, "node", node_fields(), file_.spec.nodes);
    if (entry.value.text == kAnyNode) {
      file_.spec.any_node_with_certificate = true;
      return;
    }
    problems_.add(entry.line, entry.key, "must be a list of nodes, or " + std::string(kAnyNode) + ", not " + node_text(entry.value));
  }

  // Of the keys at the left margin, which begin at `line`. What stands there and is wrong has been said.
  void require_all(int line) {
    const auto demand = [&](const std::string& key, const std::string& help) {
      if (!file_.lines.contains(key)) problems_.add(line, key, "is missing: " + help);
    };
    for (const Section& section : sections()) {
      if (!section.required) continue;
      if (section.name.empty()) {
        for (const auto& field : section.fields)
          if (field.setting.required) demand(std::string(field.setting.name), help_text(field.setting));
      } else {
        demand(std::string(section.name), std::string(section.help));
      }
    }
    demand("coordinators", std::string(kCoordinatorsHelp));
    demand("gateways", std::string(kGatewaysHelp));
    demand("nodes", std::string(kNodesHelp));
  }

  ClusterFile& file_;
  ProblemList& problems_;
};

}  // namespace

ClusterFile parse_cluster_file(std::string_view text) {
  ClusterFile file;
  ProblemList problems;
  if (const auto root = parse_yaml(text, problems)) {
    SpecReader(file, problems).read(*root);
    // Contradictions between values that could not all be read would be guesses.
    if (problems.empty()) check_spec(file.spec, file.lines, problems);
  }
  file.problems = problems.sorted();
  return file;
}

}  // namespace herd::config
