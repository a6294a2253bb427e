#pragma once
// model.safetensors.index.json: where to look for tensors. What is needed the model says; index and shards may disagree
// about the rest, as they do after a tool rewrote one of them.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/status.h"

namespace herd::model {

// Value.
struct ShardIndex {
  std::string file;
  std::map<std::string, std::string> shard_of;  // tensor → file beside the index
  std::map<std::string, Status> absent;         // file → why it could not be opened

  // Every file it names, sorted.
  [[nodiscard]] std::set<std::string> shards() const;

  // What it says and the shards do not hold, and the other way round, as warnings. `stored`: tensor and shard.
  [[nodiscard]] std::vector<std::string> disagreements(
      const std::vector<std::pair<std::string, std::string>>& stored) const;
};

// {"weight_map": {tensor: shard}}. A shard is a plain file name: nothing that could lead elsewhere.
[[nodiscard]] Expected<ShardIndex> read_shard_index(const std::string& path);
[[nodiscard]] Expected<ShardIndex> parse_shard_index(std::string_view text, std::string file);

// "a, b, c and 4 more".
[[nodiscard]] std::string some_of(const std::vector<std::string>& names);

}  // namespace herd::model
