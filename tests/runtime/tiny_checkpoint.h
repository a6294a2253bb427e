#pragma once
// A tiny Llama as it may lie on disk: one safetensors file, shards with their index, GGUF. Tests spoil one thing of it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/runtime/checkpoint_bytes.h"

namespace herd::model::testing {

inline constexpr int kHidden = 32, kLayers = 2, kHeads = 2, kKvHeads = 1, kHeadDim = 8, kFfn = 64, kVocab = 40;

inline const std::string kConfig =
    R"({"architectures":["LlamaForCausalLM"],"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":2,)"
    R"("num_key_value_heads":1,"head_dim":8,"intermediate_size":64,"vocab_size":40,"rms_norm_eps":1e-5,"eos_token_id":2})";

// Element (row, column) of the n-th tensor; small integers and halves, exact in every plain format.
inline FloatTensor tensor(const std::string& name, std::vector<std::int64_t> shape, int n) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  FloatTensor result{name, std::move(shape), std::vector<float>(static_cast<std::size_t>(count))};
  for (std::size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] =
        static_cast<float>(static_cast<int>((i * 7 + static_cast<std::size_t>(n) * 13) % 127) - 63) * 0.5F;
  }
  return result;
}

inline std::vector<FloatTensor> tiny_model(bool head, bool bias) {
  std::vector<FloatTensor> tensors = {tensor("model.embed_tokens.weight", {kVocab, kHidden}, 1),
                                      tensor("model.norm.weight", {kHidden}, 2)};
  if (head) tensors.push_back(tensor("lm_head.weight", {kVocab, kHidden}, 3));
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    int n = 10 * (layer + 1);
    const auto add = [&](const char* part, std::vector<std::int64_t> shape) {
      tensors.push_back(tensor(prefix + part, std::move(shape), n++));
    };
    add("input_layernorm.weight", {kHidden});
    add("self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden});
    add("self_attn.k_proj.weight", {kKvHeads * kHeadDim, kHidden});
    add("self_attn.v_proj.weight", {kKvHeads * kHeadDim, kHidden});
    add("self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim});
    add("post_attention_layernorm.weight", {kHidden});
    add("mlp.gate_proj.weight", {kFfn, kHidden});
    add("mlp.up_proj.weight", {kFfn, kHidden});
    add("mlp.down_proj.weight", {kHidden, kFfn});
    if (bias) {
      add("self_attn.q_proj.bias", {kHeads * kHeadDim});
      add("self_attn.k_proj.bias", {kKvHeads * kHeadDim});
      add("self_attn.v_proj.bias", {kKvHeads * kHeadDim});
    }
  }
  return tensors;
}

inline FloatTensor& find(std::vector<FloatTensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const FloatTensor& t) { return t.name == name; });
}

// Hugging Face order → the interleaved order of llama GGUF files, as its converter permutes: per head, view
// [2, head_dim / 2, columns], swap the first two axes.
inline FloatTensor interleave(FloatTensor source) {
  const std::int64_t cols = source.shape.size() == 2 ? source.shape[1] : 1;
  const std::vector<float> rows = source.values;
  for (std::int64_t row = 0; row < source.shape[0]; ++row) {
    const std::int64_t head = row / kHeadDim;
    const std::int64_t pair = row % kHeadDim % (kHeadDim / 2);
    const std::int64_t half = row % kHeadDim / (kHeadDim / 2);
    const std::int64_t target = head * kHeadDim + 2 * pair + half;
    std::copy_n(rows.begin() + row * cols, cols, source.values.begin() + target * cols);
  }
  return source;
}

inline std::string gguf_name(std::string name) {
  const std::pair<const char*, const char*> parts[] = {{"model.embed_tokens", "token_embd"},
                                                       {"model.norm", "output_norm"},
                                                       {"lm_head", "output"},
                                                       {"model.layers", "blk"},
                                                       {"input_layernorm", "attn_norm"},
                                                       {"self_attn.q_proj", "attn_q"},
                                                       {"self_attn.k_proj", "attn_k"},
                                                       {"self_attn.v_proj", "attn_v"},
                                                       {"self_attn.o_proj", "attn_output"},
                                                       {"post_attention_layernorm", "ffn_norm"},
                                                       {"mlp.gate_proj", "ffn_gate"},
                                                       {"mlp.up_proj", "ffn_up"},
                                                       {"mlp.down_proj", "ffn_down"}};
  for (const auto& [from, to] : parts) {
    if (const auto at = name.find(from); at != std::string::npos) name.replace(at, std::string(from).size(), to);
  }
  return name;
}

inline GgufWriter tiny_gguf(const std::vector<FloatTensor>& tensors) {
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.u32("llama.embedding_length", kHidden);
  writer.scalar("llama.block_count", 10, std::uint64_t{kLayers});
  writer.scalar("llama.attention.head_count", 5, std::int32_t{kHeads});
  writer.i32s("llama.attention.head_count_kv", {kKvHeads, kKvHeads});
  writer.u32("llama.attention.key_length", kHeadDim);
  writer.u32("llama.attention.value_length", kHeadDim);
  writer.u32("llama.rope.dimension_count", kHeadDim);
  writer.u32("llama.feed_forward_length", kFfn);
  writer.u32("llama.context_length", 2048);
  writer.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  writer.text("tokenizer.ggml.model", "gpt2");
  writer.text("tokenizer.ggml.pre", "llama-bpe");
  writer.texts("tokenizer.ggml.tokens", {"a", "b", "ab"});
  writer.i32s("tokenizer.ggml.token_type", {1, 1, 3});
  writer.texts("tokenizer.ggml.merges", {"a b"});
  writer.u32("tokenizer.ggml.bos_token_id", 1);
  writer.u32("tokenizer.ggml.eos_token_id", 2);
  writer.u32("tokenizer.ggml.eot_token_id", 3);
  writer.u32("tokenizer.ggml.padding_token_id", 0xffffffffu);
  writer.text("tokenizer.chat_template", "{{ messages }}");
  for (const FloatTensor& each : tensors) {
    const bool permuted =
        each.name.find("q_proj") != std::string::npos || each.name.find("k_proj") != std::string::npos;
    std::vector<std::uint64_t> dims(each.shape.rbegin(), each.shape.rend());
    writer.tensors.push_back({gguf_name(each.name), dims, 0, pack((permuted ? interleave(each) : each).values, "F32")});
  }
  return writer;
}

inline GgufWriter::Tensor& find(GgufWriter& writer, const std::string& name) {
  return *std::find_if(writer.tensors.begin(), writer.tensors.end(), [&](const auto& t) { return t.name == name; });
}

inline std::string error_of(const std::string& path, const CheckpointOverrides& overrides = {}) {
  const auto checkpoint = open_checkpoint(path, overrides);
  return checkpoint ? "" : checkpoint.error().message();
}

inline void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "expected: " << part << "\n  gave: " << text;
}

inline void expect_same_rows(const Checkpoint& checkpoint, const std::vector<FloatTensor>& tensors) {
  for (const FloatTensor& expected : tensors) {
    const auto info = checkpoint.info(expected.name);
    ASSERT_TRUE(info) << expected.name;
    const std::int64_t cols = expected.shape.back();
    ASSERT_EQ(info->rows, expected.shape.size() == 2 ? expected.shape[0] : 1) << expected.name;
    ASSERT_EQ(info->cols, cols) << expected.name;
    std::vector<float> rows(expected.values.size(), NAN);
    ASSERT_TRUE(checkpoint.read_rows(expected.name, 0, info->rows, 0, cols, rows.data()).ok());
    EXPECT_EQ(rows, expected.values) << expected.name;
    // A window in the middle.
    const std::int64_t row = info->rows / 2;
    std::vector<float> window(static_cast<std::size_t>(cols - 3), NAN);
    ASSERT_TRUE(checkpoint.read_rows(expected.name, row, row + 1, 2, cols - 1, window.data()).ok());
    const auto begin = expected.values.begin() + row * cols + 2;
    EXPECT_EQ(window, std::vector<float>(begin, begin + cols - 3)) << expected.name;
  }
}

struct ModelDirectory : TempDirectory {
  explicit ModelDirectory(const std::vector<FloatTensor>& tensors, const std::string& dtype = "F32",
                          const std::string& config = kConfig) {
    write("config.json", config);
    write("model.safetensors", safetensors_bytes(tensors, dtype));
  }
};

struct Shards : TempDirectory {
  Shards() {
    tensors = tiny_model(true, false);
    first.assign(tensors.begin(), tensors.begin() + 8);
    second.assign(tensors.begin() + 8, tensors.end());
    for (const auto& t : first) map.emplace_back(t.name, "model-00001-of-00002.safetensors");
    for (const auto& t : second) map.emplace_back(t.name, "model-00002-of-00002.safetensors");
  }
  [[nodiscard]] std::string save() const {
    write("config.json", kConfig);
    write("model-00001-of-00002.safetensors", safetensors_bytes(first, "F32"));
    if (!second.empty()) write("model-00002-of-00002.safetensors", safetensors_bytes(second, "F32"));
    std::string index = R"({"metadata":{"total_size":1},"weight_map":{)";
    for (const auto& [name, file] : map) index += "\"" + name + "\":\"" + file + "\",";
    index.back() = '}';
    write("model.safetensors.index.json", index + "}");
    return path();
  }
  std::vector<FloatTensor> tensors, first, second;
  std::vector<std::pair<std::string, std::string>> map;
};

}  // namespace herd::model::testing
