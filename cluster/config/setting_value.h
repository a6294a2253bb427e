#pragma once
// Values of a cluster file: texts of YAML to what a Setting says they are, and back. A text that other readers of YAML take for
// a number, a date or true and false has to stand in quotes; a number or a switch may not; sizes and times have units.

#include <string>

#include "cluster/config/problem.h"
#include "cluster/config/setting_table.h"
#include "cluster/config/yaml_tree.h"

namespace herd::config {

// Reads the value into the slot. What is wrong is told to `problems`, at `key` or an entry of it, and the slot stays as it was.
void read_value(const Setting& setting, const YamlNode& node, const std::string& key, Slot slot, ProblemList& problems);

// "a list", "a map", "the text \"abc\"", "nothing": what a node is, for a message.
[[nodiscard]] std::string node_text(const YamlNode& node);

// What YAML 1.1 or 1.2 takes an unquoted text for when it is no text: "a number", "true or false", "a date"; else empty.
[[nodiscard]] std::string_view other_type(const std::string& plain);

}  // namespace herd::config
