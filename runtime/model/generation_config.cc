#include "runtime/model/generation_config.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "runtime/model/json_object.h"

namespace herd::model {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr std::size_t kEosIdsMax = 1024;

std::optional<int> optional_int(const JsonObject& json, const char* key, int min) {
  const auto value = json.integer(key, min, kIntMax);
  if (!value) return {};
  return static_cast<int>(*value);
}

// Negative stands for "none" in some old files.
std::optional<TokenId> optional_id(const JsonObject& json, const char* key) {
  const auto id = optional_int(json, key, -1);
  return id && *id >= 0 ? id : std::nullopt;
}

}  // namespace

Expected<GenerationConfig> parse_generation_config(std::string_view text, std::string_view file) {
  auto parsed = JsonObject::parse(text, file);
  if (!parsed) return fail(parsed.error());
  const JsonObject& json = *parsed;
  GenerationConfig config;
  config.bos_id = optional_id(json, "bos_token_id");
  config.pad_id = optional_id(json, "pad_token_id");
  const std::vector<std::int64_t> eos_ids = json.integers("eos_token_id", -1, kIntMax);
  if (eos_ids.size() > kEosIdsMax) json.refuse("eos_token_id", "has more than 1024 ids");
  for (const std::int64_t id : std::span(eos_ids).first(std::min(eos_ids.size(), kEosIdsMax))) {
    const auto eos = static_cast<TokenId>(id);
    if (eos >= 0 && std::find(config.eos_ids.begin(), config.eos_ids.end(), eos) == config.eos_ids.end()) {
      config.eos_ids.push_back(eos);
    }
  }
  config.do_sample = json.boolean("do_sample");
  config.temperature = json.number("temperature", 0.0, 1e6);
  config.top_p = json.number("top_p", 0.0, 1.0);
  config.top_k = optional_int(json, "top_k", -1);
  config.min_p = json.number("min_p", 0.0, 1.0);
  config.repetition_penalty = json.number("repetition_penalty", 1e-6, 1e6);
  config.max_length = optional_int(json, "max_length", 0);
  config.max_new_tokens = optional_int(json, "max_new_tokens", 0);
  if (!json.status().ok()) return fail(json.status());
  return config;
}

}  // namespace herd::model
