#include "runtime/checkpoint/quantization_mixture.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>

namespace herd::model {
namespace {

constexpr std::string_view kLayers = "model.layers.";

// 0 of what belongs to no layer.
int layer_of(std::string_view name) {
  int layer = 0;
  if (name.starts_with(kLayers)) std::from_chars(name.data() + kLayers.size(), name.data() + name.size(), layer);
  return layer;
}

// Layers whose v_proj and down_proj are worth more bits.
bool has_more_bits(int layer, int layers) {
  const int eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

// Whatever its columns are.
WeightFormat format_of_part(const LlamaConfig& config, std::string_view name, WeightFormat wanted) {
  const bool embedding = name == "model.embed_tokens.weight";
  const bool head = name == "lm_head.weight" || (embedding && config.tie_word_embeddings);
  if (wanted == WeightFormat::kQ4_0) return embedding || head ? WeightFormat::kQ8_0 : wanted;
  if (wanted != WeightFormat::kQ4_K) return wanted;
  if (head) return WeightFormat::kQ6_K;
  const bool value = name.ends_with(".v_proj.weight");
  if (value && config.layers == 80) return WeightFormat::kQ5_K;
  const bool mixed = value || name.ends_with(".down_proj.weight");
  return mixed && has_more_bits(layer_of(name), config.layers) ? WeightFormat::kQ6_K : wanted;
}

// For rows that super-blocks do not divide.
WeightFormat stand_in(WeightFormat format) {
  switch (format) {
    case WeightFormat::kQ4_K:
      return WeightFormat::kQ5_0;
    case WeightFormat::kQ5_K:
    case WeightFormat::kQ6_K:
      return WeightFormat::kQ8_0;
    default:
      return format;
  }
}

}  // namespace

bool is_quantized_to(WeightFormat format) {
  return std::find(std::begin(kQuantizedTo), std::end(kQuantizedTo), format) != std::end(kQuantizedTo);
}

std::int64_t matrix_columns(const LlamaConfig& config, std::string_view name) {
  if (!name.ends_with(".weight") || name.find("norm") != std::string_view::npos) return 0;
  if (name.ends_with(".o_proj.weight")) return config.query_size();
  if (name.ends_with(".down_proj.weight")) return config.intermediate_size;
  return config.hidden_size;
}

WeightFormat mixture_format(const LlamaConfig& config, std::string_view name, WeightFormat wanted) {
  const std::int64_t cols = matrix_columns(config, name);
  WeightFormat format = format_of_part(config, name, wanted);
  if (cols % block_elements(format) != 0) format = stand_in(format);
  return cols == 0 || cols % block_elements(format) != 0 ? WeightFormat::kBF16 : format;
}

int matrices_stood_in_for(const LlamaConfig& config, WeightFormat wanted) {
  if (!has_super_blocks(wanted)) return 0;
  int count = 0;
  const auto look = [&](const std::string& name) { count += has_super_blocks(mixture_format(config, name, wanted)) ? 0 : 1; };
  look("model.embed_tokens.weight");
  if (!config.tie_word_embeddings) look("lm_head.weight");
  for (int layer = 0; layer < config.layers; ++layer) {
    for (const char* part : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
                             "mlp.up_proj", "mlp.down_proj"}) {
      look(std::string(kLayers) + std::to_string(layer) + "." + part + ".weight");
    }
  }
  return count;
}

}  // namespace herd::model
