#include "runtime/model/encoding.h"

#include <string>

namespace herd::model {

LayerFormats Encoding::layer(int layer) const {
  if (formats != nullptr) return formats->layers[static_cast<std::size_t>(layer)];
  return {weights, weights, weights, weights, weights, weights, weights};
}

Encoding encoding_of(const LlamaConfig& config, const WeightSource& source, WeightFormat weights) {
  if (!is_quantized(weights)) return {weights, nullptr};
  const auto stored = [&](const std::string& name) { return source.stored_format(name).value_or(WeightFormat::kBF16); };
  MatrixFormats formats;
  formats.embedding = stored("model.embed_tokens.weight");
  formats.head = config.tie_word_embeddings ? formats.embedding : stored("lm_head.weight");
  for (int layer = 0; layer < config.layers; ++layer) {
    const auto part = [&](const char* name) { return stored("model.layers." + std::to_string(layer) + "." + name + ".weight"); };
    formats.layers.push_back({part("self_attn.q_proj"), part("self_attn.k_proj"), part("self_attn.v_proj"), part("self_attn.o_proj"),
                              part("mlp.gate_proj"), part("mlp.up_proj"), part("mlp.down_proj")});
  }
  return {weights, std::make_shared<const MatrixFormats>(std::move(formats))};
}

}  // namespace herd::model
