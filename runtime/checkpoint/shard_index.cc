#include "runtime/checkpoint/shard_index.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "runtime/files/file_bytes.h"
#include "runtime/checkpoint/json_object.h"

namespace herd::model {
namespace {

constexpr std::size_t kIndexBytesMax = std::size_t{16} << 20;
constexpr std::size_t kShardsMax = 4096;
constexpr std::size_t kNamesShown = 3;

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos && name.front() != '.' &&
         name.ends_with(".safetensors");
}

}  // namespace

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kNamesShown) text += " and " + std::to_string(names.size() - kNamesShown) + " more";
  return text;
}

std::set<std::string> ShardIndex::shards() const {
  std::set<std::string> files;
  for (const auto& [tensor, shard] : shard_of) files.insert(shard);
  return files;
}

std::vector<std::string> ShardIndex::disagreements(
    const std::vector<std::pair<std::string, std::string>>& stored) const {
  std::set<std::string> held;
  std::set<std::string> elsewhere;  // held by another shard than the one that is named, so far
  std::vector<std::string> unlisted;
  for (const auto& [tensor, shard] : stored) {
    held.insert(tensor);
    const auto listed = shard_of.find(tensor);
    if (listed == shard_of.end()) {
      unlisted.push_back(tensor);
    } else if (listed->second != shard) {
      elsewhere.insert(tensor);
    }
  }
  for (const auto& [tensor, shard] : stored) {
    if (const auto listed = shard_of.find(tensor); listed != shard_of.end() && listed->second == shard)
      elsewhere.erase(tensor);
  }
  std::vector<std::string> nowhere;
  for (const auto& [tensor, shard] : shard_of) {
    if (!held.contains(tensor)) nowhere.push_back(tensor);
  }
  std::vector<std::string> warnings;
  const auto warn = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) warnings.push_back(file + ": " + what + ": " + some_of(names));
  };
  std::vector<std::string> not_there;
  for (const auto& [shard, status] : absent) not_there.push_back(shard);
  warn("names shards that are not there, for tensors the model does not need", not_there);
  warn("names tensors that no shard holds and the model does not need", nowhere);
  warn("leaves out tensors that its shards hold", unlisted);
  warn("names another shard than the one that holds them, for", {elsewhere.begin(), elsewhere.end()});
  return warnings;
}

Expected<ShardIndex> read_shard_index(const std::string& path) {
  auto text = files::read_text_file(path, kIndexBytesMax);
  if (!text) return fail(text.error());
  return parse_shard_index(*text, path);
}

Expected<ShardIndex> parse_shard_index(std::string_view text, std::string file) {
  const auto json = JsonObject::parse(text, file);
  if (!json) return fail(json.error());
  const auto weight_map = json->object("weight_map");
  if (!json->status().ok()) return fail(json->status());
  if (!weight_map) return fail(json->problem("weight_map", "is missing"));

  ShardIndex index;
  index.file = std::move(file);
  for (const std::string& tensor : weight_map->keys()) {
    const std::string shard = weight_map->string(tensor).value_or("");
    if (!json->status().ok()) return fail(json->status());
    if (!is_plain_name(shard)) {
      return fail(
          weight_map->problem(tensor, "\"" + shard + "\" is not the name of a .safetensors file beside the index"));
    }
    index.shard_of.emplace(tensor, shard);
  }
  if (index.shards().size() > kShardsMax) return fail(json->problem("weight_map", "names more than 4096 files"));
  return index;
}

}  // namespace herd::model
