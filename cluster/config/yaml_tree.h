#pragma once
// YamlNode: a YAML text as a tree of texts, lists and maps, each with its line. What a person would stumble over is refused before
// it means anything: anchors and aliases, tags, directives, several documents, a key twice, tabs and no-break spaces as
// indentation, bytes that are no text. The YAML library stays behind the .cc file.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/config/problem.h"

namespace herd::config {

struct YamlEntry;

struct YamlNode {
  enum class Kind : std::uint8_t {
    kNothing,  // empty, null or ~ without quotes
    kText,
    kList,
    kMap,
    kRefused,  // has been complained about: whatever it was to be
  };
  Kind kind = Kind::kNothing;
  int line = 0;                // from 1
  bool plain = false;          // kText: without quotes
  std::string text;
  std::vector<YamlNode> items;     // kList
  std::vector<YamlEntry> entries;  // kMap, in the file's order
};

struct YamlEntry {
  std::string key;
  int line = 0;
  YamlNode value;
};

inline constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kDepthMax = 8;
inline constexpr std::size_t kNodesMax = 20'000;  // texts, lists and maps, keys included

// Every breach of the rules that can be found is told to `problems`. Nothing when no tree could be made; a tree with breaches lacks
// what they were about.
[[nodiscard]] std::optional<YamlNode> parse_yaml(std::string_view text, ProblemList& problems);

}  // namespace herd::config
