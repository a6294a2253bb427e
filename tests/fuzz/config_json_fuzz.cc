// Any bytes as config.json, generation_config.json and an index of shards; what is accepted passes its own checks.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/check.h"
#include "runtime/checkpoint/generation_config.h"
#include "runtime/model/llama_config.h"
#include "runtime/checkpoint/shard_index.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config_json(text, "config.json");
  if (config) HERD_CHECK(config->config.validate().ok(), "an accepted config is valid");
  const auto generation = parse_generation_config(text, "generation_config.json");
  if (generation) HERD_CHECK(generation->temperature.value_or(0.0) >= 0.0, "an accepted temperature is in range");
  const auto index = parse_shard_index(text, "index.json");
  if (!index) return 0;
  for (const std::string& shard : index->shards())
    HERD_CHECK(shard.find('/') == std::string::npos, "a shard lies beside its index");
  HERD_CHECK(index->disagreements({}).size() <= 1, "without shards there is one thing to say");
  return 0;
}
