// Any bytes as config.json and as generation_config.json; what is accepted passes its own checks.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/check.h"
#include "runtime/model/generation_config.h"
#include "runtime/model/llama_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace herd::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config_json(text, "config.json");
  if (config) HERD_CHECK(config->config.validate().ok(), "an accepted config is valid");
  const auto generation = parse_generation_config(text, "generation_config.json");
  if (generation) HERD_CHECK(generation->temperature.value_or(0.0) >= 0.0, "an accepted temperature is in range");
  return 0;
}
