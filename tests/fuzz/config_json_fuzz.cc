// Any bytes as config.json, generation_config.json, an index of shards and the files that declare tokens; what is accepted
// passes its own checks.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "kernels/check.h"
#include "runtime/checkpoint/declared_tokens.h"
#include "runtime/checkpoint/generation_config.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/model/llama_config.h"
#include "runtime/checkpoint/shard_index.h"

namespace {

// The same file in all three places, each with a status of its own.
void check_tokens(std::string_view text) {
  using namespace herd::model;
  const auto config = JsonObject::parse(text, "tokenizer_config.json");
  if (!config) return;
  const JsonObject map = *JsonObject::parse(text, "special_tokens_map.json");
  const JsonObject added = *JsonObject::parse(text, "added_tokens.json");
  std::set<std::string> contents;
  for (const auto& token : declared_tokens(&*config, &map, &added).added_tokens.tokens) {
    HERD_CHECK(!token.content.empty() && contents.insert(token.content).second, "each text is there once");
    HERD_CHECK(token.id >= -1, "an id is one, or none is stated");
  }
  (void)declared_tokens(nullptr, &map, &added);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config_json(text, "config.json");
  if (config) HERD_CHECK(config->config.validate().ok(), "an accepted config is valid");
  const auto generation = parse_generation_config(text, "generation_config.json");
  if (generation) HERD_CHECK(generation->temperature.value_or(0.0) >= 0.0, "an accepted temperature is in range");
  check_tokens(text);
  const auto index = parse_shard_index(text, "index.json");
  if (!index) return 0;
  for (const std::string& shard : index->shards())
    HERD_CHECK(shard.find('/') == std::string::npos, "a shard lies beside its index");
  HERD_CHECK(index->disagreements({}).size() <= 1, "without shards there is one thing to say");
  return 0;
}
