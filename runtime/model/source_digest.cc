#include "runtime/model/source_digest.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "runtime/model/shard_plan.h"
#include "runtime/model/weights_digest.h"

namespace herd::model {
namespace {

constexpr std::int64_t kPieceElements = std::int64_t{1} << 20;

struct Tensor {
  std::string name;
  std::int64_t rows = 0;  // a vector is one row
  std::int64_t cols = 0;
  const LeafCut* cut = nullptr;  // null: whole on every rank
};

void add_layer(const LlamaConfig& config, const LeafCuts& cuts, int layer, std::vector<Tensor>& tensors) {
  const std::int64_t hidden = config.hidden_size, ffn = config.intermediate_size;
  const std::int64_t q = std::int64_t{config.heads} * config.head_dim, kv = std::int64_t{config.kv_heads} * config.head_dim;
  const std::string of = "model.layers." + std::to_string(layer) + ".";
  const auto add = [&](const char* name, std::int64_t rows, std::int64_t cols, const LeafCut* cut) {
    tensors.push_back({of + name, rows, cols, cut});
  };
  add("input_layernorm.weight", 1, hidden, nullptr);
  add("self_attn.q_proj.weight", q, hidden, &cuts.heads);
  add("self_attn.k_proj.weight", kv, hidden, &cuts.kv_heads);
  add("self_attn.v_proj.weight", kv, hidden, &cuts.kv_heads);
  add("self_attn.o_proj.weight", hidden, q, &cuts.attention_inputs);
  add("post_attention_layernorm.weight", 1, hidden, nullptr);
  add("mlp.gate_proj.weight", ffn, hidden, &cuts.ffn);
  add("mlp.up_proj.weight", ffn, hidden, &cuts.ffn);
  add("mlp.down_proj.weight", hidden, ffn, &cuts.ffn_inputs);
  if (config.attention_bias) {
    add("self_attn.q_proj.bias", 1, q, &cuts.heads_bias);
    add("self_attn.k_proj.bias", 1, kv, &cuts.kv_heads_bias);
    add("self_attn.v_proj.bias", 1, kv, &cuts.kv_heads_bias);
  }
  if (config.attention_output_bias) add("self_attn.o_proj.bias", 1, hidden, nullptr);
  if (config.mlp_bias) {
    add("mlp.gate_proj.bias", 1, ffn, &cuts.ffn_bias);
    add("mlp.up_proj.bias", 1, ffn, &cuts.ffn_bias);
    add("mlp.down_proj.bias", 1, hidden, nullptr);
  }
}

std::vector<Tensor> all_tensors(const LlamaConfig& config, const LeafCuts& cuts) {
  std::vector<Tensor> tensors{{"model.embed_tokens.weight", config.vocab_size, config.hidden_size, nullptr}};
  for (int layer = 0; layer < config.layers; ++layer) add_layer(config, cuts, layer, tensors);
  tensors.push_back({"model.norm.weight", 1, config.hidden_size, nullptr});
  if (!config.tie_word_embeddings) tensors.push_back({"lm_head.weight", config.vocab_size, config.hidden_size, &cuts.vocab});
  return tensors;
}

}  // namespace

Expected<digest::Digest128> digest_source(const LlamaConfig& config, const WeightSource& source,
                                          const std::stop_token& stop) {
  set_kernel_float_mode();  // what is loaded was expanded in it
  const auto plan = plan_shard(config, 1, 0);
  if (!plan) return fail(plan.error());
  WeightsDigester digester(*plan);
  const LeafCuts cuts = leaf_cuts(config);
  std::vector<float> values;
  for (const Tensor& tensor : all_tensors(config, cuts)) {
    const std::int64_t step = std::max<std::int64_t>(1, kPieceElements / tensor.cols);
    for (std::int64_t row = 0; row < tensor.rows; row += step) {
      if (stop.stop_requested()) return fail({StatusCode::kAborted, "the weights' digest was not needed any more"});
      const std::int64_t rows = std::min(step, tensor.rows - row);
      values.resize(static_cast<std::size_t>(rows * tensor.cols));
      if (Status status = source.read_rows(tensor.name, row, row + rows, 0, tensor.cols, values.data()); !status.ok())
        return fail(std::move(status));
      digester.add(tensor.name, tensor.cut, row, rows, 0, tensor.cols, values.data());
    }
  }
  const WeightsDigest digest = digester.finish();
  return join(std::span(&digest, 1));
}

}  // namespace herd::model
